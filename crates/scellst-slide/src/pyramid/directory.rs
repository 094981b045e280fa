//! The directories of a pyramidal TIFF.

use scellst_types::{MicronsPerPixel, Size};

use super::{Chroma, PyramidCompression, PyramidOptions};

/// Bytes at the start that are kept for the header of either kind.
pub(crate) const HEADER: usize = 16;

/// A level as it was written.
#[derive(Debug)]
pub(crate) struct LevelData {
    pub(crate) size: Size,
    /// Offset and length of every tile, in row order.
    pub(crate) tiles: Vec<(u64, u64)>,
}

impl LevelData {
    pub(crate) fn new(size: Size) -> Self {
        Self { size, tiles: Vec::new() }
    }
}

/// A picture beside the pyramid as it was written: lossless, one strip.
#[derive(Debug)]
pub(crate) struct PictureData {
    pub(crate) name: String,
    pub(crate) size: Size,
    /// Offset and length.
    pub(crate) strip: (u64, u64),
}

/// What the directories tell of.
pub(crate) struct Contents<'a> {
    pub(crate) levels: &'a [&'a LevelData],
    pub(crate) pictures: &'a [PictureData],
    pub(crate) options: &'a PyramidOptions,
    /// Empty for none.
    pub(crate) jpeg_tables: &'a [u8],
}

/// The header, and the directories to be put at `position` (even).
pub(crate) fn encode_directories(contents: &Contents<'_>, position: u64) -> (Vec<u8>, Vec<u8>) {
    // Generous: 16 bytes a tile and a page of tags a directory.
    let tiles = contents.levels.iter().map(|level| 4096 + 16 * level.tiles.len() as u64).sum::<u64>();
    let most = tiles + 4096 * contents.pictures.len() as u64;
    let big = position + most > u64::from(u32::MAX);
    let mut block = Block { bytes: Vec::new(), position, big };
    // Where the offset of the next directory is to be put: in the header, then in the one before.
    let mut link: Option<usize> = None;
    let mut first = 0;
    let levels = (0..contents.levels.len()).map(|i| level_entries(contents, i, big));
    let pictures = contents.pictures.iter().map(|picture| picture_entries(picture, big));
    for entries in levels.chain(pictures) {
        let (start, next) = block.directory(entries);
        match link {
            None => first = start,
            Some(at) => block.patch(at, start),
        }
        link = Some(next);
    }
    let mut header = Vec::with_capacity(HEADER);
    header.extend(b"II");
    if big {
        header.extend([43, 0, 8, 0, 0, 0]);
        header.extend(first.to_le_bytes());
    } else {
        header.extend([42, 0]);
        header.extend((first as u32).to_le_bytes());
    }
    (header, block.bytes)
}

/// A tag with its values as they are stored.
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    bytes: Vec<u8>,
}

fn short(tag: u16, values: &[u16]) -> Entry {
    Entry { tag, kind: 3, count: values.len() as u64, bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
}

fn long(tag: u16, value: u32) -> Entry {
    Entry { tag, kind: 4, count: 1, bytes: value.to_le_bytes().to_vec() }
}

fn ascii(tag: u16, text: &str) -> Entry {
    let bytes = [text.as_bytes(), &[0]].concat();
    Entry { tag, kind: 2, count: bytes.len() as u64, bytes }
}

/// Offsets or lengths, in 32 bits, or 64 in a BigTIFF.
fn words(tag: u16, values: impl Iterator<Item = u64>, big: bool) -> Entry {
    let mut bytes = Vec::new();
    let mut count = 0;
    for value in values {
        let all = value.to_le_bytes();
        bytes.extend(if big { &all[..] } else { &all[..4] });
        count += 1;
    }
    Entry { tag, kind: if big { 16 } else { 4 }, count, bytes }
}

/// Pixels per centimetre as a fraction of two 32-bit numbers.
fn resolution(tag: u16, mpp: f64) -> Entry {
    let per_cm = 10_000.0 / mpp;
    // The largest denominator that is a power of two and leaves the numerator room.
    let mut denominator = 1_u32 << 20;
    while denominator > 1 && per_cm * f64::from(denominator) > f64::from(u32::MAX) {
        denominator /= 2;
    }
    let numerator = (per_cm * f64::from(denominator)).round() as u32;
    let bytes = [numerator.max(1).to_le_bytes(), denominator.to_le_bytes()].concat();
    Entry { tag, kind: 5, count: 1, bytes }
}

fn software() -> Entry {
    ascii(305, concat!("scellst-slide ", env!("CARGO_PKG_VERSION")))
}

/// Strips and no mark of a reduced image: so that readers of pyramids pass it by, and others see what
/// it is by its description.
fn picture_entries(picture: &PictureData, big: bool) -> Vec<Entry> {
    vec![
        long(254, 0),
        long(256, picture.size.width),
        long(257, picture.size.height),
        short(258, &[8, 8, 8]),
        short(259, &[8]),
        short(262, &[2]),
        ascii(270, &picture.name),
        words(273, std::iter::once(picture.strip.0), big),
        short(277, &[3]),
        long(278, picture.size.height),
        words(279, std::iter::once(picture.strip.1), big),
        short(284, &[1]),
        software(),
        short(317, &[2]),
    ]
}

fn level_entries(contents: &Contents<'_>, index: usize, big: bool) -> Vec<Entry> {
    let (options, level, full) = (contents.options, contents.levels[index], contents.levels[0].size);
    let jpeg = matches!(options.compression, PyramidCompression::Jpeg { .. });
    let mut entries = vec![
        long(254, u32::from(index > 0)),
        long(256, level.size.width),
        long(257, level.size.height),
        short(258, &[8, 8, 8]),
        short(259, &[if jpeg { 7 } else { 8 }]),
        short(262, &[if jpeg { 6 } else { 2 }]),
        short(277, &[3]),
    ];
    let scale = |full: u32, own: u32| f64::from(full) / f64::from(own);
    let own = |mpp: MicronsPerPixel| {
        mpp.coarser_by(scale(full.width, level.size.width), scale(full.height, level.size.height)).ok()
    };
    let mpp = options.mpp.and_then(own);
    if let Some(mpp) = mpp {
        entries.extend([resolution(282, mpp.x()), resolution(283, mpp.y())]);
    }
    entries.push(short(284, &[1]));
    if mpp.is_some() {
        entries.push(short(296, &[3]));
    }
    entries.push(software());
    if !jpeg {
        entries.push(short(317, &[2]));
    }
    entries.extend([
        long(322, options.tile),
        long(323, options.tile),
        words(324, level.tiles.iter().map(|t| t.0), big),
        words(325, level.tiles.iter().map(|t| t.1), big),
    ]);
    if jpeg {
        let tables = contents.jpeg_tables;
        entries.push(Entry { tag: 347, kind: 7, count: tables.len() as u64, bytes: tables.to_vec() });
        entries.push(short(530, if options.chroma == Chroma::Full { &[1, 1] } else { &[2, 2] }));
        // A halved sample is the mean of its 2 x 2 pixels: it lies in their middle.
        entries.push(short(531, &[1]));
    }
    entries
}

/// Bytes to be put at a position of the file.
struct Block {
    bytes: Vec<u8>,
    position: u64,
    big: bool,
}

impl Block {
    fn word(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    fn here(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }

    fn put(&mut self, value: u64, len: usize) {
        self.bytes.extend(&value.to_le_bytes()[..len]);
    }

    fn patch(&mut self, at: usize, value: u64) {
        let len = self.word();
        self.bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }

    /// Appends a directory after its longer values; where it begins, and where in the block the
    /// offset of its successor (0 for now) lies.
    fn directory(&mut self, entries: Vec<Entry>) -> (u64, usize) {
        let word = self.word();
        let mut fields = Vec::new();
        for entry in &entries {
            let mut field = entry.bytes.clone();
            if field.len() > word {
                field = self.here().to_le_bytes()[..word].to_vec();
                self.bytes.extend(&entry.bytes);
                if self.bytes.len() % 2 == 1 {
                    self.bytes.push(0);
                }
            }
            field.resize(word, 0);
            fields.push(field);
        }
        let start = self.here();
        self.put(entries.len() as u64, if self.big { 8 } else { 2 });
        for (entry, field) in entries.iter().zip(fields) {
            self.put(u64::from(entry.tag), 2);
            self.put(u64::from(entry.kind), 2);
            self.put(entry.count, word);
            self.bytes.extend(field);
        }
        let next = self.bytes.len();
        self.put(0, word);
        (start, next)
    }
}
