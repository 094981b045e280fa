//! Any bytes as the one tile of a sound TIFF, packed in whatever way the first byte says.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Compression, photometric interpretation, predictor.
const KINDS: [(u16, u16, u16); 12] = [
    (1, 2, 1),
    (5, 2, 2),
    (7, 6, 1),
    (7, 2, 1),
    (8, 2, 2),
    (33003, 2, 1),
    (33005, 2, 1),
    (34712, 2, 1),
    (32773, 2, 1),
    (50000, 2, 1),
    (7, 1, 1),
    (50001, 2, 1),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, tile)) = bytes.split_first() else { return };
    let (compression, photometric, predictor) = KINDS[usize::from(kind) % KINDS.len()];
    if let Some(slide) = scellst_slide_fuzz::open(&tiff(tile, compression, photometric, predictor)) {
        scellst_slide_fuzz::read(&slide);
    }
});

/// A little-endian TIFF of 64 x 64 px in one tile.
fn tiff(tile: &[u8], compression: u16, photometric: u16, predictor: u16) -> Vec<u8> {
    let samples = if photometric == 1 { 1_u32 } else { 3 };
    let bits_at = 8_u32;
    let tile_at = bits_at + 8;
    let tags: [(u16, u16, u32, u32); 12] = [
        (256, 4, 1, 64),
        (257, 4, 1, 64),
        (258, 3, samples, if samples == 1 { 8 } else { bits_at }),
        (259, 3, 1, compression.into()),
        (262, 3, 1, photometric.into()),
        (277, 3, 1, samples),
        (284, 3, 1, 1),
        (317, 3, 1, predictor.into()),
        (322, 4, 1, 64),
        (323, 4, 1, 64),
        (324, 4, 1, tile_at),
        (325, 4, 1, tile.len() as u32),
    ];
    let directory = (tile_at as usize + tile.len()).next_multiple_of(2);
    let mut out = b"II*\0".to_vec();
    out.extend((directory as u32).to_le_bytes());
    out.extend([8, 0, 8, 0, 8, 0, 0, 0]);
    out.extend(tile);
    out.resize(directory, 0);
    out.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in tags {
        out.extend(tag.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    out.extend([0; 4]);
    out
}
