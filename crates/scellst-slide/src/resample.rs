//! Shrinking and enlarging.

use image::RgbImage;
use scellst_types::Size;

/// A rectangle of an image, in its pixels; edges, not pixel centres: the whole of an image of 10 x 5
/// pixels is from (0, 0) to (10, 5). It may reach beyond the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Left edge.
    pub x0: f64,
    /// Upper edge.
    pub y0: f64,
    /// Right edge, to the right of the left.
    pub x1: f64,
    /// Lower edge, below the upper.
    pub y1: f64,
}

impl Window {
    /// All of an image.
    pub fn whole(image: &RgbImage) -> Self {
        Self { x0: 0.0, y0: 0.0, x1: f64::from(image.width()), y1: f64::from(image.height()) }
    }
}

/// Fractional bits of a weight.
const BITS: u32 = 22;
const HALF: i32 = 1 << (BITS - 1);

/// The part of an image in `window`, in `out` pixels.
///
/// A separable triangle filter, widened by the scale when shrinking (so that every source pixel
/// counts), rounded to nearest after each of the two passes: what Pillow's
/// `Image.resize(size, BILINEAR, box=window)` computes. Pixels of the source beside the window take
/// part; beyond the source's frame its edge is repeated.
///
/// Only the window's surroundings are read and nothing of the source is copied, so that many crops
/// may be taken from one large region.
///
/// # Panics
/// If the window is not finite or has no area, or if the source is empty while `out` is not.
pub fn resample(src: &RgbImage, window: Window, out: Size) -> RgbImage {
    let mut image = RgbImage::new(out.width, out.height);
    if out.pixels() == 0 {
        return image;
    }
    let Window { x0, y0, x1, y1 } = window;
    let sound = [x0, y0, x1, y1].iter().all(|v| v.is_finite()) && x1 > x0 && y1 > y0;
    assert!(sound, "a window must be finite and have an area: {window:?}");
    assert!(src.width() > 0 && src.height() > 0, "the source has no pixels");

    let columns = Weights::new(src.width(), (x0, x1), out.width);
    let rows = Weights::new(src.height(), (y0, y1), out.height);

    // First along x, for the rows that the second pass needs.
    let (top, bottom) = rows.span();
    let width = out.width as usize * 3;
    let mut narrow = vec![0_u8; (bottom - top) * width];
    let stride = src.width() as usize * 3;
    for (line, narrow) in
        src.as_raw()[top * stride..bottom * stride].chunks_exact(stride).zip(narrow.chunks_exact_mut(width))
    {
        for (taps, pixel) in columns.taps.iter().zip(narrow.chunks_exact_mut(3)) {
            let mut sum = [HALF; 3];
            let source = &line[taps.first * 3..(taps.first + taps.count) * 3];
            for (p, &w) in source.chunks_exact(3).zip(columns.of(taps)) {
                sum[0] += i32::from(p[0]) * w;
                sum[1] += i32::from(p[1]) * w;
                sum[2] += i32::from(p[2]) * w;
            }
            for (value, s) in pixel.iter_mut().zip(sum) {
                *value = to_byte(s);
            }
        }
    }
    // Then along y, whole rows at a time.
    let mut sums = vec![0_i32; width];
    for (taps, line) in rows.taps.iter().zip(image.chunks_exact_mut(width)) {
        sums.fill(HALF);
        let source = &narrow[(taps.first - top) * width..(taps.first - top + taps.count) * width];
        for (row, &w) in source.chunks_exact(width).zip(rows.of(taps)) {
            for (s, &p) in sums.iter_mut().zip(row) {
                *s += i32::from(p) * w;
            }
        }
        for (value, &s) in line.iter_mut().zip(&sums) {
            *value = to_byte(s);
        }
    }
    image
}

fn to_byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Which source pixels an output pixel is made of.
struct Taps {
    first: usize,
    count: usize,
    /// Where its weights begin.
    weights: usize,
}

/// The weights of all output pixels along one axis.
struct Weights {
    taps: Vec<Taps>,
    weights: Vec<i32>,
}

impl Weights {
    /// For `count` output pixels over `low..high` of a line of `len` pixels.
    fn new(len: u32, (low, high): (f64, f64), count: u32) -> Self {
        let scale = (high - low) / f64::from(count);
        // A triangle one output pixel to either side, and never less than one source pixel.
        let support = scale.max(1.0);
        let mut this = Self { taps: Vec::with_capacity(count as usize), weights: Vec::new() };
        let mut shares = Vec::new();
        for i in 0..count {
            let centre = low + (f64::from(i) + 0.5) * scale;
            let last = f64::from(len - 1);
            // Pixels whose centre lies within the support, of those there are.
            let first = (centre - support + 0.5).floor().clamp(0.0, last) as usize;
            let end = (centre + support + 0.5).floor().clamp(first as f64 + 1.0, f64::from(len)) as usize;
            shares.clear();
            shares.extend((first..end).map(|p| (1.0 - ((p as f64 + 0.5 - centre) / support).abs()).max(0.0)));
            let sum: f64 = shares.iter().sum();
            this.taps.push(Taps { first, count: end - first, weights: this.weights.len() });
            if sum > 0.0 {
                let one = f64::from(1_u32 << BITS);
                this.weights.extend(shares.iter().map(|share| (share / sum * one).round() as i32));
            } else {
                // Beyond the frame: the nearest pixel.
                let nearest = if centre < f64::from(len) / 2.0 { 0 } else { end - first - 1 };
                this.weights.extend((0..end - first).map(|k| if k == nearest { 1 << BITS } else { 0 }));
            }
        }
        this
    }

    fn of(&self, taps: &Taps) -> &[i32] {
        &self.weights[taps.weights..taps.weights + taps.count]
    }

    /// The source pixels that are needed at all.
    fn span(&self) -> (usize, usize) {
        let first = self.taps.iter().map(|t| t.first).min().unwrap_or(0);
        let end = self.taps.iter().map(|t| t.first + t.count).max().unwrap_or(0);
        (first, end)
    }
}
