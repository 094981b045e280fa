use std::f64::consts::{FRAC_PI_4, PI, SQRT_2};

use ndarray::ArrayView2;

use super::hull::Hull;
use super::mask::Mask;

/// The shape of a region of pixels, by the definitions of scikit-image's `regionprops`.
///
/// # Units
/// Lengths are in `um_per_px` times pixels, areas in its square: pixels for 1.
///
/// ```
/// use ndarray::Array2;
/// use scellst_cells::RegionShape;
///
/// // 6 x 3 pixels of 0.5 um.
/// let bar = Array2::from_shape_fn((10, 10), |(y, x)| (2..5).contains(&y) && (1..7).contains(&x));
/// let shape = RegionShape::of_mask(bar.view(), 0.5).ok_or("no pixel")?;
/// assert_eq!((shape.area, shape.perimeter), (4.5, 7.0));
/// assert_eq!((shape.extent, shape.solidity), (1.0, 1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionShape {
    /// Number of pixels times the area of one (`area`).
    pub area: f64,
    /// Through the centres of the border pixels of 4 neighbours, diagonal steps counted as such (`perimeter`).
    pub perimeter: f64,
    /// By Crofton's formula in four directions, nearer to the true length of a smooth outline (`perimeter_crofton`).
    pub perimeter_crofton: f64,
    /// Of the ellipse with the same second moments, the long axis from end to end (`axis_major_length`).
    pub major_axis: f64,
    /// The short axis (`axis_minor_length`).
    pub minor_axis: f64,
    /// Of that ellipse, 0 for a circle, 1 for a line (`eccentricity`).
    pub eccentricity: f64,
    /// Angle between the vertical and the long axis, radians, -pi/2 to pi/2, from downwards to the right positive
    /// (`orientation`).
    pub orientation: f64,
    /// Of the circle of the same area (`equivalent_diameter_area`).
    pub equivalent_diameter: f64,
    /// Greatest distance across, between middles of pixels' sides (`feret_diameter_max`).
    pub max_diameter: f64,
    /// Area over that of the convex hull's pixels, above 0 to 1 (`solidity`).
    pub solidity: f64,
    /// Area over that of the bounding box, above 0 to 1 (`extent`).
    pub extent: f64,
    /// 4 pi area / perimeter^2: about 1 for a circle, less for what is not round; above 1 for small regions, whose
    /// perimeter through the pixels' centres is short. NaN for a region without a perimeter.
    pub circularity: f64,
}

impl RegionShape {
    /// Of the pixels that are true, rows first, all of them one region; `None` if none is.
    pub fn of_mask(mask: ArrayView2<'_, bool>, um_per_px: f64) -> Option<Self> {
        Mask::of_array(mask).map(|m| Self::of(&m, um_per_px))
    }

    /// Of the pixels whose centre lies in a ring (even-odd) of corners in pixels, a pixel's centre at +0.5; `None` if
    /// none does, or if the ring's box is of over 16 million pixels.
    pub fn of_ring(ring: &[[f64; 2]], um_per_px: f64) -> Option<Self> {
        Mask::of_ring(ring).map(|m| Self::of(&m, um_per_px))
    }

    pub(super) fn of(mask: &Mask, um_per_px: f64) -> Self {
        let m = Moments::of(mask);
        let n = m.n as f64;
        let area = n * um_per_px * um_per_px;
        let (large, small) = m.eigenvalues();
        let hull = Hull::of(mask);
        let perimeter = perimeter(mask);
        Self {
            area,
            perimeter: perimeter * um_per_px,
            perimeter_crofton: crofton(mask) * um_per_px,
            major_axis: 4.0 * large.sqrt() * um_per_px,
            minor_axis: 4.0 * small.sqrt() * um_per_px,
            eccentricity: if large > 0.0 { (1.0 - small / large).max(0.0).sqrt() } else { 0.0 },
            orientation: m.orientation(),
            equivalent_diameter: (4.0 * area / PI).sqrt(),
            max_diameter: hull.widest() * um_per_px,
            solidity: n / hull.area() as f64,
            extent: n / ((mask.width - 2) * (mask.height - 2)) as f64,
            circularity: if perimeter > 0.0 { 4.0 * PI * n / (perimeter * perimeter) } else { f64::NAN },
        }
    }
}

/// Central second moments times the squared number of pixels: whole numbers.
struct Moments {
    n: i128,
    xx: i128,
    yy: i128,
    xy: i128,
}

impl Moments {
    fn of(mask: &Mask) -> Self {
        let (mut n, mut x, mut y, mut xx, mut yy, mut xy) = (0i64, 0i64, 0i64, 0i64, 0i64, 0i64);
        for (px, py) in mask.pixels() {
            let (px, py) = (px as i64, py as i64);
            n += 1;
            x += px;
            y += py;
            xx += px * px;
            yy += py * py;
            xy += px * py;
        }
        let [n, x, y, xx, yy, xy] = [n, x, y, xx, yy, xy].map(i128::from);
        Self { n, xx: n * xx - x * x, yy: n * yy - y * y, xy: n * xy - x * y }
    }

    /// Of the matrix of second moments, the larger first.
    fn eigenvalues(&self) -> (f64, f64) {
        let squared = (self.n * self.n) as f64;
        let (xx, yy, xy) = (self.xx as f64 / squared, self.yy as f64 / squared, self.xy as f64 / squared);
        let (middle, spread) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
        let large = middle + spread;
        // Their product is the determinant: exact where the difference would cancel.
        let determinant = (self.xx * self.yy - self.xy * self.xy) as f64 / (squared * squared);
        (large, if large > 0.0 { determinant / large } else { 0.0 })
    }

    fn orientation(&self) -> f64 {
        match self.yy - self.xx {
            0 if self.xy > 0 => FRAC_PI_4,
            0 => -FRAC_PI_4,
            difference => 0.5 * (2.0 * self.xy as f64).atan2(difference as f64),
        }
    }
}

/// Benkrid and Crookes' estimate: every border pixel by its neighbours on the border.
fn perimeter(mask: &Mask) -> f64 {
    let (w, inside) = (mask.width, mask.as_slice());
    let border = |i: usize| inside[i] && !(inside[i - 1] && inside[i + 1] && inside[i - w] && inside[i + w]);
    // The rim of the box is outside: its neighbours need not be looked at.
    let mut edge = vec![false; inside.len()];
    let inner = |y: usize| y * w + 1..y * w + w - 1;
    for y in 1..mask.height - 1 {
        inner(y).for_each(|i| edge[i] = border(i));
    }
    let (mut straight, mut diagonal, mut mixed) = (0u64, 0u64, 0u64);
    for y in 1..mask.height - 1 {
        for i in inner(y).filter(|&i| edge[i]) {
            let count = |of: [usize; 4]| of.iter().filter(|&&j| edge[j]).count();
            let sides = count([i - 1, i + 1, i - w, i + w]);
            let corners = count([i - w - 1, i - w + 1, i + w - 1, i + w + 1]);
            match (sides, corners) {
                (2 | 3, 0..=2) => straight += 1,
                (0, 2) | (1, 3) => diagonal += 1,
                (1, 1 | 2) => mixed += 1,
                _ => {}
            }
        }
    }
    straight as f64 + diagonal as f64 * SQRT_2 + mixed as f64 * (1.0 + SQRT_2) / 2.0
}

/// Crofton's formula in four directions: every square of four pixels adds by which of them are inside (Rivollier, thesis,
/// Saint-Etienne 2010).
fn crofton(mask: &Mask) -> f64 {
    let (straight, diagonal) = (FRAC_PI_4, FRAC_PI_4 / SQRT_2);
    // By this pixel (1), the one above (2), the one to the left (4), and the one above that (8).
    let weights: [f64; 16] = [
        0.0,
        straight + diagonal,
        diagonal,
        2.0 * diagonal,
        0.0,
        straight + diagonal,
        0.0,
        diagonal,
        straight,
        2.0 * straight,
        diagonal,
        diagonal,
        straight,
        2.0 * straight,
        0.0,
        0.0,
    ];
    let (w, inside) = (mask.width, mask.as_slice());
    let mut counts = [0u64; 16];
    for y in 1..mask.height {
        for i in y * w + 1..y * w + w {
            let square = [inside[i], inside[i - w], inside[i - 1], inside[i - w - 1]];
            counts[square.iter().rev().fold(0, |n, &m| 2 * n + usize::from(m))] += 1;
        }
    }
    counts.iter().zip(weights).map(|(&n, w)| n as f64 * w).sum()
}
