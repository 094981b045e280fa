use ndarray::ArrayView2;

/// The pixels of one region in their bounding box, with a rim of one pixel around that belongs to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mask {
    /// Of the box with its rim, px.
    pub(super) width: usize,
    pub(super) height: usize,
    /// In row order.
    inside: Vec<bool>,
    /// Where the first column and row of the box, without the rim, lie in the picture.
    pub(super) left: i64,
    pub(super) top: i64,
}

/// A region's box may have so many pixels.
const MOST_PIXELS: f64 = 16e6;

impl Mask {
    /// Of a picture's pixels those that are true; `None` if none is.
    pub(super) fn of_array(picture: ArrayView2<'_, bool>) -> Option<Self> {
        let (mut x, mut y) = ((usize::MAX, 0), (usize::MAX, 0));
        for ((row, column), _) in picture.indexed_iter().filter(|(_, m)| **m) {
            x = (x.0.min(column), x.1.max(column));
            y = (y.0.min(row), y.1.max(row));
        }
        if x.0 > x.1 {
            return None;
        }
        let (width, height) = (x.1 - x.0 + 3, y.1 - y.0 + 3);
        let mut inside = vec![false; width * height];
        for ((row, column), _) in picture.indexed_iter().filter(|(_, m)| **m) {
            inside[(row - y.0 + 1) * width + column - x.0 + 1] = true;
        }
        Some(Self { width, height, inside, left: x.0 as i64, top: y.0 as i64 })
    }

    /// The pixels whose centre lies in a ring (even-odd), whose corners are in px of a picture, a pixel's centre at
    /// +0.5. `None` if there are none, or more than can be meant.
    pub(super) fn of_ring(ring: &[[f64; 2]]) -> Option<Self> {
        let bounds = |k: usize| ring.iter().fold((f64::MAX, f64::MIN), |(a, b), c| (a.min(c[k]), b.max(c[k])));
        let ((x0, x1), (y0, y1)) = (bounds(0), bounds(1));
        let (left, top) = ((x0 - 0.5).ceil(), (y0 - 0.5).ceil());
        let (right, bottom) = ((x1 - 0.5).floor(), (y1 - 0.5).floor());
        // Infinite and NaN ones are refused too.
        let sound = right >= left && bottom >= top && (right - left + 3.0) * (bottom - top + 3.0) <= MOST_PIXELS;
        if !sound || left.abs().max(top.abs()) > 1e15 {
            return None;
        }
        let (width, height) = ((right - left) as usize + 3, (bottom - top) as usize + 3);
        let mut inside = vec![false; width * height];
        let mut cuts: Vec<f64> = Vec::new();
        for (row, line) in inside.chunks_exact_mut(width).enumerate().skip(1).take(height - 2) {
            let at = top + (row - 1) as f64 + 0.5;
            cuts.clear();
            for (k, a) in ring.iter().enumerate() {
                let b = ring[(k + 1) % ring.len()];
                if (a[1] > at) != (b[1] > at) {
                    cuts.push(a[0] + (at - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
                }
            }
            cuts.sort_unstable_by(f64::total_cmp);
            for pair in cuts.chunks_exact(2) {
                let column = |cut: f64| (((cut - 0.5).ceil() - left).max(0.0) as usize + 1).min(width - 1);
                line[column(pair[0])..column(pair[1]).max(column(pair[0]))].fill(true);
            }
        }
        if !inside.contains(&true) {
            return None;
        }
        Some(Self { width, height, inside, left: left as i64, top: top as i64 }.tight())
    }

    /// Without empty rows and columns at the edges of the box.
    fn tight(self) -> Self {
        let row = |y: usize| self.inside[y * self.width..][..self.width].contains(&true);
        let column = |x: usize| (0..self.height).any(|y| self.at(x, y));
        let span = |n: usize, any: &dyn Fn(usize) -> bool| {
            let first = (0..n).find(|&i| any(i)).unwrap_or(1);
            (first, (0..n).rev().find(|&i| any(i)).unwrap_or(first))
        };
        let ((y0, y1), (x0, x1)) = (span(self.height, &row), span(self.width, &column));
        if (x0, y0, x1 + 2, y1 + 2) == (1, 1, self.width, self.height) {
            return self;
        }
        let (width, height) = (x1 - x0 + 3, y1 - y0 + 3);
        let mut inside = Vec::with_capacity(width * height);
        for y in y0 - 1..=y1 + 1 {
            inside.extend_from_slice(&self.inside[y * self.width + x0 - 1..][..width]);
        }
        Self { width, height, inside, left: self.left + x0 as i64 - 1, top: self.top + y0 as i64 - 1 }
    }

    /// Of the box with its rim.
    pub(super) fn at(&self, x: usize, y: usize) -> bool {
        self.inside[y * self.width + x]
    }

    pub(super) fn as_slice(&self) -> &[bool] {
        &self.inside
    }

    /// Columns and rows of the region's pixels in the box with its rim, row by row.
    pub(super) fn pixels(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.inside.len()).filter(|&i| self.inside[i]).map(|i| (i % self.width, i / self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &Mask) -> Vec<String> {
        let line = |y: usize| (0..mask.width).map(|x| if mask.at(x, y) { '#' } else { '.' }).collect();
        (0..mask.height).map(line).collect()
    }

    #[test]
    fn a_ring_holds_the_pixels_whose_centres_it_surrounds() {
        let square = [[2.4, 3.4], [4.6, 3.4], [4.6, 5.4], [2.4, 5.4]];
        let mask = Mask::of_ring(&square).unwrap();
        assert_eq!(rows(&mask), [".....", ".###.", ".###.", "....."]);
        assert_eq!((mask.left, mask.top), (2, 3));
        // Even-odd: where a ring covers itself twice there is a hole.
        let outer = [[0.0, 0.0], [6.0, 0.0], [6.0, 6.0], [0.0, 6.0], [0.0, 0.0]];
        let inner = [[2.0, 2.0], [4.0, 2.0], [4.0, 4.0], [2.0, 4.0], [2.0, 2.0]];
        let twice = [outer, inner].concat();
        assert_eq!(Mask::of_ring(&twice).unwrap().pixels().count(), 32);
    }

    #[test]
    fn the_box_is_tight() {
        // The spike reaches over centres of rows that it does not cover.
        let spiked = [[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [2.6, 3.0], [2.55, 9.0], [2.51, 3.0], [0.0, 3.0]];
        let mask = Mask::of_ring(&spiked).unwrap();
        assert_eq!((mask.width, mask.height), (6, 5));
    }

    #[test]
    fn what_holds_no_pixel_is_none() {
        assert!(Mask::of_ring(&[]).is_none());
        assert!(Mask::of_ring(&[[0.1, 0.1], [0.3, 0.1], [0.2, 0.3]]).is_none());
        assert!(Mask::of_ring(&[[0.0, 0.0], [9.0, 9.0], [18.0, 18.0]]).is_none());
        assert!(Mask::of_ring(&[[0.0, 0.0], [1e9, 0.0], [0.0, 1e9]]).is_none());
        assert!(Mask::of_ring(&[[0.0, 0.0], [f64::NAN, 0.0], [0.0, f64::INFINITY]]).is_none());
        assert!(Mask::of_array(ndarray::Array2::from_elem((3, 3), false).view()).is_none());
    }
}
