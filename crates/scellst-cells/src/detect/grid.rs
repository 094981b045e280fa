use std::ops::Range;

use image::RgbImage;
use scellst_types::Size;

use super::field::Field;
use super::stain::haematoxylin;
use crate::CellsError;
use crate::plane::Plane;

/// The grid on which nuclei are looked for: pixels of a chosen size in um over the whole of a plane.
///
/// Everything is a function of a pixel's place on this grid, never of the tile that it is computed in.
pub(crate) struct Grid<'a> {
    plane: &'a dyn Plane,
    x: Axis,
    y: Axis,
}

/// A rectangle of pixels of the grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Window {
    pub(crate) x: Range<usize>,
    pub(crate) y: Range<usize>,
}

impl Window {
    pub(crate) fn width(&self) -> usize {
        self.x.len()
    }
}

/// The plane's pixels under a window.
pub(crate) struct Picture {
    image: RgbImage,
    columns: Vec<usize>,
    rows: Vec<usize>,
}

impl Picture {
    /// The pixel of the plane at the centre of pixel `(x, y)` of the window.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        self.image.get_pixel(self.columns[x] as u32, self.rows[y] as u32).0
    }
}

struct Axis {
    source: usize,
    out: usize,
    /// Pixels of the plane to one of the grid.
    scale: f64,
}

/// For each pixel of a range of the grid: the first pixel of the plane that counts, and the weights from there on.
struct Taps {
    first: Vec<usize>,
    weights: Vec<Vec<f32>>,
    span: Range<usize>,
}

impl Axis {
    fn new(source: u32, scale: f64) -> Self {
        let out = (f64::from(source) / scale).round().max(1.0) as usize;
        Self { source: source as usize, out, scale }
    }

    /// The pixel of the plane that holds the centre of a pixel of the grid.
    fn nearest(&self, i: usize) -> usize {
        (((i as f64 + 0.5) * self.scale) as usize).min(self.source - 1)
    }

    /// A triangle as wide as a pixel of the coarser of the two grids; the plane's edge pixels repeat.
    fn taps(&self, range: &Range<usize>) -> Taps {
        let reach = self.scale.max(1.0);
        let last = self.source as i64 - 1;
        let (mut first, mut weights) = (Vec::new(), Vec::new());
        for i in range.clone() {
            let centre = (i as f64 + 0.5) * self.scale;
            let (from, to) = ((centre - reach - 0.5).floor() as i64, (centre + reach - 0.5).ceil() as i64);
            let start = from.clamp(0, last);
            let mut row = vec![0.0f64; (to.clamp(0, last) - start + 1) as usize];
            for j in from..=to {
                let weight = (1.0 - (j as f64 + 0.5 - centre).abs() / reach).max(0.0);
                row[(j.clamp(0, last) - start) as usize] += weight;
            }
            let sum: f64 = row.iter().sum();
            first.push(start as usize);
            weights.push(row.iter().map(|w| (w / sum) as f32).collect::<Vec<f32>>());
        }
        let start = first.iter().copied().min().unwrap_or(0);
        let end = first.iter().zip(&weights).map(|(f, w)| f + w.len()).max().unwrap_or(0);
        Taps { first, weights, span: start..end }
    }
}

impl<'a> Grid<'a> {
    /// `scale`: pixels of the plane to a pixel of the grid, along x and y.
    pub(crate) fn new(plane: &'a dyn Plane, scale: (f64, f64)) -> Self {
        let size = plane.size();
        Self { plane, x: Axis::new(size.width, scale.0), y: Axis::new(size.height, scale.1) }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.x.out, self.y.out)
    }

    /// The part of a rectangle, grown by `halo` pixels, that is on the grid.
    pub(crate) fn clipped(&self, core: &Window, halo: usize) -> Window {
        let grow = |r: &Range<usize>, n: usize| r.start.saturating_sub(halo)..(r.end + halo).min(n);
        Window { x: grow(&core.x, self.x.out), y: grow(&core.y, self.y.out) }
    }

    /// Haematoxylin over a window, and the picture that it was taken from.
    pub(crate) fn haematoxylin(&self, window: &Window) -> Result<(Field, Picture), CellsError> {
        let (tx, ty) = (self.x.taps(&window.x), self.y.taps(&window.y));
        let size = Size::new(tx.span.len() as u32, ty.span.len() as u32);
        let image = self.plane.read(tx.span.start as u32, ty.span.start as u32, size)?;
        let source = haematoxylin(&image);
        let (from, to) = (tx.span.len(), window.width());
        let mut narrow = vec![0.0f32; to * ty.span.len()];
        for (row, out) in source.chunks_exact(from).zip(narrow.chunks_exact_mut(to)) {
            for ((value, &first), weights) in out.iter_mut().zip(&tx.first).zip(&tx.weights) {
                let at = first - tx.span.start;
                *value = row[at..at + weights.len()].iter().zip(weights).map(|(s, w)| s * w).sum();
            }
        }
        let mut field = Field::new(to, window.y.len());
        for (j, out) in field.rows_mut().enumerate() {
            let at = ty.first[j] - ty.span.start;
            for (k, &weight) in ty.weights[j].iter().enumerate() {
                let row = &narrow[(at + k) * to..(at + k + 1) * to];
                out.iter_mut().zip(row).for_each(|(o, s)| *o += weight * s);
            }
        }
        let column = |i: usize| self.x.nearest(i) - tx.span.start;
        let row = |j: usize| self.y.nearest(j) - ty.span.start;
        let picture = Picture {
            columns: window.x.clone().map(column).collect(),
            rows: window.y.clone().map(row).collect(),
            image,
        };
        Ok((field, picture))
    }
}
