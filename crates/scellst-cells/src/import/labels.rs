use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ndarray::ArrayView2;
use scellst_types::Size;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use super::rings::Shape;
use super::{Format, Found, ImportOptions, Imported, Sink, npy};
use crate::CellsError;
use crate::detect::trace;

/// Pixels of the largest label image that is read: 1 GB as u32.
const MOST_PIXELS: u64 = 1 << 28;
/// Pixels of the largest nucleus: no picture shows one of 2048 x 2048, and its border must fit into memory.
const MOST_OF_ONE: u64 = 1 << 22;
/// A picture with one number for so many pieces is a mask.
const PIECES_OF_A_MASK: usize = 10;

/// Makes cells of a label image in memory: each number above 0 is a cell; see [`Format::Labels`].
///
/// ```
/// use scellst_cells::{ImportOptions, cells_from_labels};
///
/// let labels = ndarray::array![[0, 7, 7], [0, 7, 7], [0, 0, 0]];
/// let cells = cells_from_labels(labels.view(), &ImportOptions::default())?.cells;
/// assert_eq!((cells.id(0), cells.centroids()[0].x), ("7".to_owned(), 2.0));
/// assert_eq!(cells.outline(0), [[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]]);
/// # Ok::<(), scellst_cells::CellsError>(())
/// ```
///
/// # Errors
/// As [`read_cells`](crate::read_cells).
pub fn cells_from_labels(labels: ArrayView2<'_, u32>, options: &ImportOptions) -> Result<Imported, CellsError> {
    let (h, w) = labels.dim();
    let side = |n: usize| u32::try_from(n).map_err(|_| too_many(Size::new(u32::MAX, u32::MAX), MOST_PIXELS));
    cells(Path::new("label image"), Size::new(side(w)?, side(h)?), |x, y| labels[[y, x]], options)
}

pub(super) fn read_npy(path: &Path, options: &ImportOptions) -> Result<Imported, CellsError> {
    let (labels, size) = npy::read(path, MOST_PIXELS)?;
    of_rows(path, &labels, size, options)
}

pub(super) fn read_png(path: &Path, options: &ImportOptions) -> Result<Imported, CellsError> {
    let broken = |e: &dyn std::fmt::Display| CellsError::broken(path, "the picture", "a PNG of labels", e.to_string());
    let mut reader = image::ImageReader::open(path).map_err(|e| CellsError::io(path, "open", &e))?;
    reader.set_format(image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST_PIXELS * 4);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| broken(&e))?;
    let size = Size::new(picture.width(), picture.height());
    let labels: Vec<u32> = match picture {
        image::DynamicImage::ImageLuma8(p) => p.into_raw().into_iter().map(u32::from).collect(),
        image::DynamicImage::ImageLuma16(p) => p.into_raw().into_iter().map(u32::from).collect(),
        other => return Err(not_labels(path, &format!("{:?}", other.color()))),
    };
    of_rows(path, &labels, size, options)
}

pub(super) fn read_tiff(path: &Path, options: &ImportOptions) -> Result<Imported, CellsError> {
    let file = File::open(path).map_err(|e| CellsError::io(path, "open", &e))?;
    let broken = |e: &dyn std::fmt::Display| CellsError::broken(path, "the picture", "a TIFF of labels", e.to_string());
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MOST_PIXELS as usize * 4;
    limits.intermediate_buffer_size = 1 << 28;
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(|e| broken(&e))?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(|e| broken(&e))?;
    let size = Size::new(width, height);
    if size.pixels() > MOST_PIXELS {
        return Err(too_many(size, MOST_PIXELS));
    }
    match decoder.colortype().map_err(|e| broken(&e))? {
        ColorType::Gray(_) => {}
        other => return Err(not_labels(path, &format!("{other:?}"))),
    }
    let negative = |_| broken(&"a negative number");
    let labels: Vec<u32> = match decoder.read_image().map_err(|e| broken(&e))? {
        DecodingResult::U8(v) => v.into_iter().map(u32::from).collect(),
        DecodingResult::U16(v) => v.into_iter().map(u32::from).collect(),
        DecodingResult::U32(v) => v,
        DecodingResult::I16(v) => v.into_iter().map(|n| n.try_into().map_err(negative)).collect::<Result<_, _>>()?,
        DecodingResult::I32(v) => v.into_iter().map(|n| n.try_into().map_err(negative)).collect::<Result<_, _>>()?,
        _ => return Err(not_labels(path, "samples that are not whole numbers of 8, 16 or 32 bits")),
    };
    of_rows(path, &labels, size, options)
}

pub(super) fn too_many(size: Size, most: u64) -> CellsError {
    CellsError::OverLimit {
        what: format!("pixels of a label image ({size})"),
        limit: most,
        found: size.pixels(),
        hint: "cut it into parts, each with its placement, or export outlines".into(),
    }
}

/// Room for the labels of an image within the limit.
pub(super) fn zeroed(path: &Path, size: Size) -> Result<Vec<u32>, CellsError> {
    let mut labels = Vec::new();
    let n = size.pixels() as usize;
    labels.try_reserve_exact(n).map_err(|e| CellsError::Io {
        path: path.to_owned(),
        doing: "hold the labels of",
        reason: e.to_string(),
    })?;
    labels.resize(n, 0);
    Ok(labels)
}

fn not_labels(path: &Path, found: &str) -> CellsError {
    CellsError::Unsupported {
        path: path.to_owned(),
        place: "the picture".into(),
        found: found.into(),
        hint: "labels are one channel of 8, 16 or 32 bits".into(),
    }
}

fn of_rows(path: &Path, labels: &[u32], size: Size, options: &ImportOptions) -> Result<Imported, CellsError> {
    if labels.len() as u64 != size.pixels() {
        return Err(CellsError::broken(
            path,
            "the picture",
            format!("{} pixels", size.pixels()),
            labels.len().to_string(),
        ));
    }
    let w = size.width as usize;
    cells(path, size, |x, y| labels[y * w + x], options)
}

/// Pixels of one number that hang together by their eight neighbours.
#[derive(Debug, Clone, Copy)]
struct Piece {
    label: u32,
    /// Its first pixel in row order.
    start: (u32, u32),
    pixels: u64,
    /// Sums of the pixels' columns and rows.
    sum: [u64; 2],
    /// The piece that this one turned out to belong to; itself if none.
    parent: usize,
}

/// A run of equal numbers in a row: columns `from..to`.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: usize,
    to: usize,
    piece: usize,
}

fn cells(
    path: &Path,
    size: Size,
    label: impl Fn(usize, usize) -> u32,
    options: &ImportOptions,
) -> Result<Imported, CellsError> {
    let mut sink = Sink::new(path, options);
    sink.accept(Format::Labels)?;
    let mut by_label = BTreeMap::<u32, Vec<Piece>>::new();
    for piece in pieces(size, &label) {
        by_label.entry(piece.label).or_default().push(piece);
    }
    if let (1, Some(pieces)) = (by_label.len(), by_label.values().next().filter(|p| p.len() >= PIECES_OF_A_MASK)) {
        let found = format!("one number for {} pieces: a mask; number its pieces first", pieces.len());
        return Err(CellsError::broken(path, "the picture", "a number for each nucleus", found));
    }
    let (w, h) = (i64::from(size.width), i64::from(size.height));
    for (number, pieces) in by_label {
        let inside =
            |x: i64, y: i64| (0..w).contains(&x) && (0..h).contains(&y) && label(x as usize, y as usize) == number;
        let Some(largest) = pieces.iter().max_by_key(|p| (p.pixels, std::cmp::Reverse(p.start))) else { continue };
        if largest.pixels > MOST_OF_ONE {
            let found = format!("{} pixels", largest.pixels);
            return Err(CellsError::broken(
                path,
                format!("label {number}"),
                format!("at most {MOST_OF_ONE} pixels"),
                found,
            ));
        }
        let border = trace((i64::from(largest.start.0), i64::from(largest.start.1)), inside);
        let ring = corners(&border);
        let pixels = pieces.iter().map(|p| p.pixels).sum::<u64>() as f64;
        let mean = |k: usize| pieces.iter().map(|p| p.sum[k]).sum::<u64>() as f64 / pixels + 0.5;
        let shape = Shape { ring: &ring, centroid: [mean(0), mean(1)], area: pixels, parts_left: pieces.len() - 1 };
        let found = Found { id: Some(number.to_string()), shape: Some(shape), ..Found::default() };
        sink.add(found, || format!("label {number}"))?;
    }
    sink.finish(Format::Labels)
}

/// All pieces, by runs that join those of the row before.
fn pieces(size: Size, label: &impl Fn(usize, usize) -> u32) -> Vec<Piece> {
    let (w, h) = (size.width as usize, size.height as usize);
    let mut pieces = Vec::<Piece>::new();
    let (mut before, mut row) = (Vec::<Run>::new(), Vec::<Run>::new());
    for y in 0..h {
        row.clear();
        let mut first = 0;
        let mut x = 0;
        while x < w {
            let number = label(x, y);
            let from = x;
            while x < w && label(x, y) == number {
                x += 1;
            }
            if number == 0 {
                continue;
            }
            // Runs of the row before that touch this one, by a corner too.
            while before.get(first).is_some_and(|run| run.to < from) {
                first += 1;
            }
            let mut mine = None;
            for run in before.get(first..).unwrap_or(&[]).iter().take_while(|run| run.from <= x) {
                let root = root(&mut pieces, run.piece);
                if pieces[root].label != number {
                    continue;
                }
                mine = match mine {
                    None => Some(root),
                    // The earlier piece has the earlier first pixel.
                    Some(other) if other != root => {
                        let (keep, gone) = (root.min(other), root.max(other));
                        pieces[gone].parent = keep;
                        let Piece { pixels, sum, .. } = pieces[gone];
                        pieces[keep].pixels += pixels;
                        pieces[keep].sum = [pieces[keep].sum[0] + sum[0], pieces[keep].sum[1] + sum[1]];
                        Some(keep)
                    }
                    same => same,
                };
            }
            let mine = mine.unwrap_or_else(|| {
                let start = (from as u32, y as u32);
                pieces.push(Piece { label: number, start, pixels: 0, sum: [0, 0], parent: pieces.len() });
                pieces.len() - 1
            });
            let (a, b) = (from as u64, x as u64);
            let piece = &mut pieces[mine];
            piece.pixels += b - a;
            piece.sum = [piece.sum[0] + (a + b - 1) * (b - a) / 2, piece.sum[1] + y as u64 * (b - a)];
            row.push(Run { from, to: x, piece: mine });
        }
        std::mem::swap(&mut before, &mut row);
    }
    pieces.into_iter().enumerate().filter(|(i, p)| p.parent == *i).map(|(_, p)| p).collect()
}

/// The piece that `i` belongs to, the way there shortened.
fn root(pieces: &mut [Piece], mut i: usize) -> usize {
    while pieces[i].parent != i {
        let above = pieces[i].parent;
        pieces[i].parent = pieces[above].parent;
        i = above;
    }
    i
}

/// The corners of a border that runs along the pixels' edges.
fn corners(border: &[(i64, i64)]) -> Vec<[f64; 2]> {
    let n = border.len();
    let turns = |i: usize| {
        let (a, b, c) = (border[(i + n - 1) % n], border[i], border[(i + 1) % n]);
        (b.0 - a.0, b.1 - a.1) != (c.0 - b.0, c.1 - b.1)
    };
    (0..n).filter(|&i| turns(i)).map(|i| [border[i].0 as f64, border[i].1 as f64]).collect()
}
