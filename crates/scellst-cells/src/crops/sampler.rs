use std::ops::Range;

use image::RgbImage;
use scellst_types::{Level0, Point, Size};

use super::{Border, CropSpec};

/// Fractional bits of a weight.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

/// Cuts crops out of regions of one level.
pub(crate) struct Sampler {
    spec: CropSpec,
    x: Axis,
    y: Axis,
}

/// Along one direction.
struct Axis {
    /// Pixels of the level.
    len: i64,
    /// Level-0 pixels to one of the level.
    down: f64,
    /// Pixels of the level to one of the crop.
    scale: f64,
}

/// Which pixels of the level make up each pixel of a crop, and with which weights.
#[derive(Default)]
struct Taps {
    /// First pixel of the level and where its weights begin and end.
    each: Vec<(i64, usize, usize)>,
    weights: Vec<i32>,
    span: Range<i64>,
}

/// Memory that a thread uses again for each crop.
#[derive(Default)]
pub(crate) struct Scratch {
    x: Taps,
    y: Taps,
    patch: Vec<u8>,
    narrow: Vec<u8>,
    sums: Vec<i32>,
}

/// A rectangle of a level's pixels that has been read.
pub(crate) struct Area {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) image: RgbImage,
}

impl Axis {
    fn position(&self, level0: f64) -> f64 {
        level0 / self.down
    }

    /// For the middle `count` of `full` pixels around a centre, as Pillow's `BILINEAR` with `box=` places them.
    ///
    /// Everything is reckoned from the whole pixel of the centre: shifting slide and centre by whole pixels changes no
    /// bit, and a pixel of the middle is the same whether or not the rest is computed.
    fn taps(&self, level0: f64, full: u32, count: u32, taps: &mut Taps) {
        let centre = self.position(level0);
        let base = centre.floor();
        let start = (centre - base) - f64::from(full) * self.scale / 2.0;
        let reach = self.scale.max(1.0);
        let skip = (full - count) / 2;
        taps.each.clear();
        taps.weights.clear();
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for i in skip..skip + count {
            let at = start + (f64::from(i) + 0.5) * self.scale;
            let (from, to) = ((at - reach + 0.5).floor() as i64, (at + reach + 0.5).floor() as i64);
            let weight = |j: i64| (1.0 - ((j as f64 + 0.5 - at) / reach).abs()).max(0.0);
            let sum: f64 = (from..to).map(weight).sum();
            let begin = taps.weights.len();
            taps.weights.extend((from..to).map(|j| (weight(j) / sum * f64::from(1 << BITS)).round() as i32));
            taps.each.push((base as i64 + from, begin, taps.weights.len()));
            (low, high) = (low.min(base as i64 + from), high.max(base as i64 + to));
        }
        taps.span = low..high;
    }

    /// The pixels of the level that a crop around a centre takes from, mirrored ones included.
    fn needs(&self, level0: f64, spec: &CropSpec) -> Range<i64> {
        // One pixel more than the filter reaches on either side, against rounding.
        let half = f64::from(spec.centre_px) * self.scale / 2.0 + self.scale.max(1.0) + 1.0;
        let centre = self.position(level0);
        let (mut low, mut high) = ((centre - half).floor() as i64, (centre + half).ceil() as i64);
        if spec.border == Border::Mirror {
            let (below, above) = (-low, high - self.len);
            high = high.max(below);
            low = low.min(self.len - above.max(0));
        }
        low.clamp(0, self.len)..high.clamp(0, self.len)
    }
}

impl Sampler {
    /// `level`: size of the level; `down`: level-0 pixels to one of it; `scale`: pixels of it to one of the crop.
    pub(crate) fn new(spec: CropSpec, level: Size, down: (f64, f64), scale: (f64, f64)) -> Self {
        let axis = |len: u32, down: f64, scale: f64| Axis { len: i64::from(len), down, scale };
        Self { spec, x: axis(level.width, down.0, scale.0), y: axis(level.height, down.1, scale.1) }
    }

    /// Where a centroid lies on the level, px.
    pub(crate) fn position(&self, p: Point<Level0>) -> (f64, f64) {
        (self.x.position(p.x), self.y.position(p.y))
    }

    /// Columns and rows of the level that a crop takes from.
    pub(crate) fn needs(&self, p: Point<Level0>) -> (Range<i64>, Range<i64>) {
        (self.x.needs(p.x, &self.spec), self.y.needs(p.y, &self.spec))
    }

    /// Writes the crop around a centroid, `centre_px` squared x 3 bytes; `area` holds what [`Sampler::needs`] names.
    pub(crate) fn cut(&self, p: Point<Level0>, area: &Area, scratch: &mut Scratch, out: &mut [u8]) {
        let (full, side) = (self.spec.size_px, self.spec.centre_px);
        let Scratch { x, y, patch, narrow, sums } = scratch;
        self.x.taps(p.x, full, side, x);
        self.y.taps(p.y, full, side, y);
        let (columns, rows) = (x.span.clone(), y.span.clone());
        let inside = columns.start >= 0 && columns.end <= self.x.len && rows.start >= 0 && rows.end <= self.y.len;
        // Pixels, bytes in a line, and which pixel of the level is the first.
        let (source, stride, left, top) = if inside {
            (area.image.as_raw().as_slice(), area.image.width() as usize * 3, area.x, area.y)
        } else {
            self.gather(area, &columns, &rows, patch);
            (patch.as_slice(), (columns.end - columns.start) as usize * 3, columns.start, rows.start)
        };
        let width = side as usize * 3;
        narrow.resize((rows.end - rows.start) as usize * width, 0);
        for (row, line) in rows.clone().zip(narrow.chunks_exact_mut(width)) {
            let source = &source[(row - top) as usize * stride..][..stride];
            for (&(first, begin, end), pixel) in x.each.iter().zip(line.chunks_exact_mut(3)) {
                let mut sum = [HALF; 3];
                let from = (first - left) as usize * 3;
                for (p, &w) in source[from..].chunks_exact(3).zip(&x.weights[begin..end]) {
                    sum[0] += i32::from(p[0]) * w;
                    sum[1] += i32::from(p[1]) * w;
                    sum[2] += i32::from(p[2]) * w;
                }
                pixel.iter_mut().zip(sum).for_each(|(v, s)| *v = to_byte(s));
            }
        }
        sums.resize(width, 0);
        for (&(first, begin, end), line) in y.each.iter().zip(out.chunks_exact_mut(width)) {
            sums.fill(HALF);
            let from = (first - rows.start) as usize * width;
            for (row, &w) in narrow[from..].chunks_exact(width).zip(&y.weights[begin..end]) {
                sums.iter_mut().zip(row).for_each(|(s, &v)| *s += i32::from(v) * w);
            }
            line.iter_mut().zip(sums.iter()).for_each(|(v, &s)| *v = to_byte(s));
        }
    }

    /// The rectangle with what the border rule puts beyond the slide.
    fn gather(&self, area: &Area, columns: &Range<i64>, rows: &Range<i64>, patch: &mut Vec<u8>) {
        patch.clear();
        let stride = area.image.width() as usize * 3;
        for row in rows.clone() {
            let line =
                self.source(row, self.y.len).map(|r| &area.image.as_raw()[(r - area.y) as usize * stride..][..stride]);
            for column in columns.clone() {
                match (line, self.source(column, self.x.len)) {
                    (Some(line), Some(c)) => {
                        let at = (c - area.x) as usize * 3;
                        patch.extend_from_slice(&line[at..at + 3]);
                    }
                    _ => patch.extend_from_slice(&[255; 3]),
                }
            }
        }
    }

    /// Which pixel of the level stands at a place that may be beyond it.
    fn source(&self, at: i64, len: i64) -> Option<i64> {
        if (0..len).contains(&at) {
            return Some(at);
        }
        match self.spec.border {
            Border::White => None,
            Border::Mirror => {
                // ... 1 0 | 0 1 2 .. n-1 | n-1 n-2 ..., as often as needed.
                let folded = at.rem_euclid(2 * len);
                Some(if folded < len { folded } else { 2 * len - 1 - folded })
            }
        }
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}
