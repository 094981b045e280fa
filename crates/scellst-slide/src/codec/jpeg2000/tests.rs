//! Streams of every make (`tests/data/jpeg2000.py`), and such as must be refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const SIZE: Size = Size { width: 48, height: 40 };

#[derive(Deserialize)]
struct Case {
    stream: String,
    #[serde(default)]
    reduced: Vec<String>,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn cases() -> BTreeMap<String, Case> {
    serde_json::from_str(include_str!("../../../tests/data/jpeg2000.json")).unwrap()
}

fn stream(name: &str) -> Vec<u8> {
    bytes(&cases()[name].stream)
}

fn decoded(stream: &[u8], components: Components) -> Result<RgbImage, Fault> {
    decode_piece(stream, components, (SIZE, SIZE), 0)
}

/// As in `jpeg2000.py`.
fn picture() -> RgbImage {
    RgbImage::from_fn(SIZE.width, SIZE.height, |x, y| {
        let (x, y) = (x as i32, y as i32);
        image::Rgb([20 + 3 * x + y, 200 - 2 * x - y, 60 + ((x - 24).pow(2) + (y - 20).pow(2)) / 8].map(|v| v as u8))
    })
}

#[test]
fn lossless_streams_give_the_picture() {
    let names = [
        "plain",
        "jp2",
        "no transform",
        "tiles",
        "layers",
        "markers",
        "precincts",
        "one resolution",
        "modes",
        "bypass",
    ];
    for name in names {
        assert!(decoded(&stream(name), Components::Rgb).unwrap() == picture(), "{name}");
    }
    // What went through a colour transform is RGB whatever a file calls it.
    assert!(decoded(&stream("plain"), Components::YCbCr).unwrap() == picture());
}

/// Chroma of half the samples is repeated, as OpenSlide has it.
#[test]
fn ycbcr_of_every_sampling() {
    for (name, dx, dy) in [("4:4:4", 1, 1), ("4:2:2", 2, 1), ("4:2:0", 2, 2)] {
        let found = decoded(&stream(name), Components::YCbCr).unwrap();
        for (x, y, pixel) in found.enumerate_pixels() {
            let (u, v) = (x / dx, y / dy);
            let [luma, cb, cr] = [20 + 3 * x + y, 100 + u + v / 2, 160 - u + v].map(f64::from);
            let (cb, cr) = (cb - 128.0, cr - 128.0);
            let expected = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb];
            for (found, expected) in pixel.0.iter().zip(expected) {
                let expected = expected.clamp(0.0, 255.0);
                assert!((f64::from(*found) - expected).abs() < 0.51, "{name} at {x}, {y}: {found} for {expected}");
            }
        }
    }
    // Components of full size that are called RGB are taken as they are.
    let found = decoded(&stream("4:4:4"), Components::Rgb).unwrap();
    assert!(found.enumerate_pixels().all(|(x, y, p)| u32::from(p.0[1]) == 100 + x + y / 2));
}

/// Against OpenJPEG: whole, a half and a quarter.
#[test]
fn resolutions_left_out() {
    for name in ["irreversible", "layers"] {
        let case = &cases()[name];
        assert_eq!(case.reduced.len(), 3);
        for (at_most, expected) in (0..).zip(&case.reduced) {
            let stream = bytes(&case.stream);
            let (found, skipped) = decode_coarser(&stream, Components::Rgb, (SIZE, SIZE), at_most).unwrap();
            assert_eq!(skipped, at_most);
            assert_eq!(found.dimensions(), (SIZE.width >> at_most, SIZE.height >> at_most));
            let largest = found.as_raw().iter().zip(bytes(expected)).map(|(a, b)| a.abs_diff(b)).max();
            assert!(largest <= Some(1), "{name} without {at_most}: {largest:?}");
        }
    }
}

/// Sizes round up, and where there are no more resolutions means go on from there.
#[test]
fn reduced_sizes() {
    for name in ["plain", "one resolution", "tiles", "precincts", "jp2", "4:2:2", "4:2:0"] {
        let whole = decoded(&stream(name), Components::YCbCr).unwrap();
        for halvings in 1..=8 {
            let found = decode_piece(&stream(name), Components::YCbCr, (SIZE, SIZE), halvings).unwrap();
            let means = mean_of_squares(&whole, 1 << halvings);
            assert_eq!(found.dimensions(), means.dimensions(), "{name} by {halvings}");
            if halvings <= BY_MEANS || name == "one resolution" {
                assert!(found == means, "{name} by {halvings}");
            }
            if halvings == 3 {
                let off: u64 = found.as_raw().iter().zip(means.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                assert!(off <= 4 * means.as_raw().len() as u64, "{name} by 8: {off}");
            }
        }
    }
}

/// Where the main header begins: after the SIZ segment of three components.
const MAIN: usize = 2 + 2 + 47;

#[test]
fn what_is_not_read_is_named() {
    for (name, word) in [("poc", "ff5f"), ("roi", "ff5e")] {
        let error = decoded(&stream(name), Components::Rgb).unwrap_err();
        assert!(error.1.contains(word), "{name}: {error:?}");
    }
    let plain = stream("plain");
    assert_eq!(plain[MAIN..MAIN + 2], [0xff, 0x52]);
    // Byte, what it becomes, what the error says.
    for (at, value, word) in [
        (0, 0, "beginning with ff 4f"),
        (6, 0x40, "part 1"),                      // high throughput
        (11, 49, "at most 48 x 40 px"),           // wider than the tile
        (11, 47, "of 48 x 40 px"),                // narrower
        (11, 0, "at least 1 px"),                 //
        (19, 1, "begin at 0"),                    // image offset
        (27, 1, "long enough for its tiles"),     // tiles of one column
        (41, 2, "3 components"),                  //
        (42, 0x87, "signed of 8"),                //
        (42, 11, "unsigned of 12"),               //
        (46, 3, "or half of the samples"),        //
        (MAIN + 7, 33, "1 to 32 layers"),         //
        (MAIN + 9, 17, "at most 16"),             // decompositions
        (MAIN + 10, 9, "at most 4096 samples"),   // code-blocks
        (MAIN + 4, 1, "all of its markers"),      // precincts that are not there
        (MAIN + 3, 13, "as long as its content"), // a COD segment one byte longer
    ] {
        let mut stream = plain.clone();
        stream[at] = value;
        let error = decoded(&stream, Components::Rgb).unwrap_err();
        let text = format!("{}, found {}", error.0, error.1);
        assert!(text.contains(word), "{at}: {text}");
    }
}

/// Packets may end anywhere, the length of the last tile-part be left open and the end marker missing.
#[test]
fn ends() {
    let plain = stream("plain");
    assert_eq!(plain[plain.len() - 2..], END);
    assert!(decoded(&plain[..plain.len() - 2], Components::Rgb).unwrap() == picture());
    let part = plain.windows(2).position(|w| w == [0xff, 0x90]).unwrap();
    let mut open = plain.clone();
    open[part + 6..part + 10].fill(0);
    assert!(decoded(&open, Components::Rgb).unwrap() == picture());
    assert!(decoded(&[&open[..], &[0, 0, 0]].concat(), Components::Rgb).unwrap() == picture());
    assert!(decoded(&open[..open.len() - 2], Components::Rgb).unwrap() == picture());
    for len in 0..plain.len() - 2 {
        assert!(decoded(&plain[..len], Components::Rgb).is_err(), "{len} bytes pass");
    }
    let tiles = stream("tiles");
    let last = tiles.windows(4).rposition(|w| w == [0xff, 0x90, 0, 10]).unwrap();
    let error = decoded(&[&tiles[..last], &END].concat(), Components::Rgb).unwrap_err();
    assert!(error.1.contains("none of tile 5"), "{error:?}");
}

/// Headers that promise far more than there is.
#[test]
fn promises() {
    let most = Size::new(1 << 20, 1 << 20);
    let mut wide = stream("plain");
    wide[8..16].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    wide[24..32].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let error = decode_piece(&wide, Components::Rgb, (most, SIZE), 0).unwrap_err();
    assert!(error.0.contains("long enough for 65536 x 65536 px"), "{error:?}");
    // Within what is free of that: blocks of 4 x 4 in 32 layers, and precincts of one sample.
    wide[8..16].copy_from_slice(&[0, 0, 8, 0, 0, 0, 8, 0]);
    wide[24..32].copy_from_slice(&[0, 0, 8, 0, 0, 0, 8, 0]);
    let mut blocks = wide.clone();
    (blocks[MAIN + 7], blocks[MAIN + 10], blocks[MAIN + 11]) = (32, 0, 0);
    let mut precincts = wide.clone();
    precincts[MAIN + 3] = 18;
    precincts[MAIN + 4] = 1;
    precincts.splice(MAIN + 14..MAIN + 14, [0x11; 6]);
    for stream in [blocks, precincts] {
        let error = decode_piece(&stream, Components::Rgb, (most, SIZE), 0).unwrap_err();
        assert!(error.0.contains("tables take at most"), "{error:?}");
    }
}

#[test]
fn boxes_that_are_none() {
    let jp2 = stream("jp2");
    for len in 0..jp2.len() - 2 {
        assert!(decoded(&jp2[..len], Components::Rgb).is_err(), "{len} bytes pass");
    }
    // Of another colour space: by number 17, grey.
    let colours = jp2.windows(4).position(|w| w == b"colr").unwrap();
    let mut grey = jp2.clone();
    assert_eq!(grey[colours + 10], 16);
    grey[colours + 10] = 17;
    assert!(decoded(&grey, Components::Rgb).unwrap_err().0.contains("sRGB"));
    // A length of 64 bits, and one up to the end.
    let code = jp2.windows(4).position(|w| w == b"jp2c").unwrap();
    let len = (jp2.len() - code + 4 + 8) as u64;
    let long = [&jp2[..code - 4], &[0, 0, 0, 1], b"jp2c", &len.to_be_bytes(), &jp2[code + 4..]].concat();
    assert!(decoded(&long, Components::Rgb).unwrap() == picture());
    let open = [&jp2[..code - 4], &[0, 0, 0, 0], &jp2[code..]].concat();
    assert!(decoded(&open, Components::Rgb).unwrap() == picture());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Any bytes changed: an error or some picture of the right size, but no panic.
    #[test]
    fn damaged(
        which in 0..16_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        headers: bool,
        halvings in 0..4_u32,
    ) {
        use std::sync::LazyLock;
        static STREAMS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| cases().values().map(|case| bytes(&case.stream)).collect());
        let mut stream = STREAMS[which].clone();
        let range = if headers { 140.min(stream.len()) } else { stream.len() };
        for (index, value) in flips {
            stream[index.index(range)] = value;
        }
        if let Ok(image) = decode_piece(&stream, Components::YCbCr, (SIZE, Size::new(1, 1)), halvings) {
            prop_assert!(image.width() <= SIZE.width.div_ceil(1 << halvings));
            prop_assert!(image.height() <= SIZE.height.div_ceil(1 << halvings));
        }
    }
}
