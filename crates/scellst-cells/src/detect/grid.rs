use std::ops::Range;

use image::RgbImage;
use scellst_types::Size;

use super::field::Field;
use super::stain::haematoxylin;
use super::window::Window;
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

/// The plane's pixels under a window.
pub(crate) struct Picture {
    window: Window,
    image: RgbImage,
    columns: Vec<usize>,
    rows: Vec<usize>,
}

impl Picture {
    /// The pixel of the plane at the centre of pixel `(x, y)` of the grid.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let (x, y) = (self.columns[x - self.window.x.start], self.rows[y - self.window.y.start]);
        self.image.get_pixel(x as u32, y as u32).0
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
    /// As many for each pixel, zeros among them.
    weights: Vec<f32>,
    count: usize,
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
        let weight = |i: usize, j: i64| {
            let centre = (i as f64 + 0.5) * self.scale;
            (1.0 - (j as f64 + 0.5 - centre).abs() / reach).max(0.0)
        };
        // The pixels whose centre is less than the reach away.
        let under = |i: usize| {
            let centre = (i as f64 + 0.5) * self.scale;
            ((centre - reach - 0.5).floor() as i64 + 1, (centre + reach - 0.5).ceil() as i64 - 1)
        };
        let most = range.clone().map(|i| under(i).1 - under(i).0 + 1).max().unwrap_or(1);
        let count = (most as usize).min(self.source);
        let (mut first, mut weights) = (Vec::new(), Vec::new());
        for i in range.clone() {
            let (from, to) = under(i);
            let start = from.clamp(0, last + 1 - count as i64);
            let mut row = vec![0.0f64; count];
            for j in from..=to {
                row[(j.clamp(0, last) - start) as usize] += weight(i, j);
            }
            let sum: f64 = row.iter().sum();
            first.push(start as usize);
            weights.extend(row.iter().map(|w| (w / sum) as f32));
        }
        let start = first.iter().copied().min().unwrap_or(0);
        let end = first.iter().map(|f| f + count).max().unwrap_or(0);
        Taps { first, weights, count, span: start..end }
    }
}

impl Taps {
    /// A row of the plane, from the span's first pixel on, brought to the grid.
    fn narrow(&self, row: &[f32], out: &mut [f32]) {
        match self.count {
            1 => self.narrow_by::<1>(row, out),
            2 => self.narrow_by::<2>(row, out),
            3 => self.narrow_by::<3>(row, out),
            4 => self.narrow_by::<4>(row, out),
            n => {
                for ((value, &first), weights) in out.iter_mut().zip(&self.first).zip(self.weights.chunks_exact(n)) {
                    let from = &row[first - self.span.start..][..n];
                    *value = from.iter().zip(weights).map(|(s, w)| s * w).sum();
                }
            }
        }
    }

    #[inline(always)]
    fn narrow_by<const N: usize>(&self, row: &[f32], out: &mut [f32]) {
        let (weights, _) = self.weights.as_chunks::<N>();
        for ((value, &first), weights) in out.iter_mut().zip(&self.first).zip(weights) {
            let from = &row[first - self.span.start..][..N];
            let mut sum = 0.0;
            for k in 0..N {
                sum += from[k] * weights[k];
            }
            *value = sum;
        }
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

    /// Haematoxylin over a window, and the picture that it was taken from.
    pub(crate) fn haematoxylin(&self, window: &Window, out: &mut Field) -> Result<Picture, CellsError> {
        let (tx, ty) = (self.x.taps(&window.x), self.y.taps(&window.y));
        let size = Size::new(tx.span.len() as u32, ty.span.len() as u32);
        let image = self.plane.read(tx.span.start as u32, ty.span.start as u32, size)?;
        out.reset(window);
        let (from, to) = (tx.span.len(), window.width());
        let mut stain = vec![0.0f32; from];
        // Rows of the plane on the grid's columns, the last few of them.
        let mut ring = vec![0.0f32; to * ty.count];
        let mut done = ty.span.start;
        let pixels = image.as_raw();
        for ((j, &first), weights) in ty.first.iter().enumerate().zip(ty.weights.chunks_exact(ty.count)) {
            for y in done.max(first)..first + ty.count {
                let row = &pixels[(y - ty.span.start) * from * 3..][..from * 3];
                haematoxylin(row, &mut stain);
                tx.narrow(&stain, &mut ring[y % ty.count * to..][..to]);
            }
            done = first + ty.count;
            let row = &mut out.data[j * to..][..to];
            for (k, &weight) in weights.iter().enumerate() {
                let from = &ring[(first + k) % ty.count * to..][..to];
                if k == 0 {
                    row.iter_mut().zip(from).for_each(|(o, s)| *o = weight * s);
                } else if weight != 0.0 {
                    row.iter_mut().zip(from).for_each(|(o, s)| *o += weight * s);
                }
            }
        }
        let columns = window.x.clone().map(|i| self.x.nearest(i) - tx.span.start).collect();
        let rows = window.y.clone().map(|j| self.y.nearest(j) - ty.span.start).collect();
        Ok(Picture { window: window.clone(), image, columns, rows })
    }
}
