use std::fmt;

use scellst_types::{Level0, Point};

use crate::Spots;

/// Share of spots outside of the slide from which something is wrong: a few at the rim may well be.
const OUTSIDE: f64 = 0.02;
/// Factors of scale that are no accident; the pitch of legacy arrays is measured up to 7 % short.
const SCALE: f64 = 1.25;
/// How well a factor must agree with the hires image's to be named after it.
const NAMED: f64 = 1.15;
/// Share of a slide's width and height, from its corner, that no section is confined to.
const CORNER: f64 = 0.25;
/// Share of spots on tissue under which they are another section's.
const ON_TISSUE: f64 = 0.5;

/// What is known beside the spots' coordinates; the more, the more mistakes are found.
#[derive(Clone, Copy, Default)]
pub struct PlacementEvidence<'a> {
    /// Width and height of the slide, level-0 pixels.
    pub slide_px: [f64; 2],
    /// um per level-0 pixel.
    pub mpp: Option<f64>,
    /// Distance of neighbouring spots on the array, um (Visium 100, legacy 200).
    pub pitch_um: Option<f64>,
    /// (row, column) of each spot on the array.
    pub array: Option<&'a [(i32, i32)]>,
    /// Pixels of the hires image per level-0 pixel (`tissue_hires_scalef`).
    pub hires_scale: Option<f64>,
    /// Whether a place of the slide is tissue; give only the spots that should be.
    pub on_tissue: Option<&'a dyn Fn(Point<Level0>) -> bool>,
}

impl fmt::Debug for PlacementEvidence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlacementEvidence")
            .field("slide_px", &self.slide_px)
            .field("mpp", &self.mpp)
            .field("pitch_um", &self.pitch_um)
            .field("array", &self.array.map(<[_]>::len))
            .field("hires_scale", &self.hires_scale)
            .finish_non_exhaustive()
    }
}

/// Why spots are most likely not where their coordinates say, with the evidence in its words.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum PlacementDoubt {
    /// x and y are exchanged.
    Swapped {
        /// Spots outside of the slide as they are, and with x and y exchanged.
        outside: [usize; 2],
        /// Whether rows of the array run along x and columns along y, mirrored.
        by_array: bool,
    },
    /// The coordinates belong to an image of another scale.
    Scaled {
        /// What they are to be multiplied with.
        factor: f64,
        /// Whether that is the factor of the hires image.
        hires: bool,
        /// Distance of neighbouring spots, px: measured and expected; nothing where only the extent speaks.
        pitch_px: Option<[f64; 2]>,
    },
    /// Many spots lie outside of the slide.
    Outside {
        /// How many.
        outside: usize,
        /// Of how many.
        all: usize,
        /// The largest x and y.
        farthest: [f64; 2],
        /// The slide's width and height.
        slide_px: [f64; 2],
    },
    /// The array is mirrored, as no array can be: the image was flipped, or an axis was.
    Mirrored,
    /// Most spots lie beside the tissue.
    OffTissue {
        /// How many lie on tissue.
        on: usize,
        /// Of how many.
        all: usize,
    },
}

impl fmt::Display for PlacementDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Swapped { outside: [as_is, swapped], by_array } => {
                f.write_str("x and y of the spots seem to be exchanged: ")?;
                match by_array {
                    true => f.write_str("the array's rows run along x and its columns along y, mirrored")?,
                    false => write!(f, "{as_is} lie outside of the slide, {swapped} with x and y exchanged")?,
                }
                f.write_str("; give (x, y), which is (pxl_col, pxl_row)")
            }
            Self::Scaled { factor, hires, pitch_px } => {
                let of = if hires { "the hires image" } else { "an image of another scale" };
                write!(f, "the spots' coordinates seem to be {of}'s: ")?;
                match pitch_px {
                    Some([found, expected]) => {
                        write!(
                            f,
                            "neighbours are {found:.1} px apart, {expected:.1} px were expected from the pitch and the mpp"
                        )?;
                    }
                    None => f.write_str("all lie in the upper left corner of the slide")?,
                }
                write!(f, "; full-resolution pixels are wanted, {factor:.4} times as large, or the mpp is wrong")
            }
            Self::Outside { outside, all, farthest: [x, y], slide_px: [w, h] } => write!(
                f,
                "{outside} of {all} spots lie outside of the slide: they reach to ({x:.0}, {y:.0}), the slide is {w:.0} x {h:.0} px; are slide and counts of one section?"
            ),
            Self::Mirrored => f.write_str(
                "the array of spots is mirrored on the slide; was the image flipped, or an axis of the coordinates?",
            ),
            Self::OffTissue { on, all } => write!(
                f,
                "only {on} of {all} spots lie on tissue; are slide and counts of one section, and the slide not turned?"
            ),
        }
    }
}

/// Looks for the mistakes that are made with spots' coordinates: hires-image pixels, x and y exchanged, another slide's.
/// The first that is found, the most telling first.
///
/// ```
/// use scellst_expr::{PlacementDoubt, PlacementEvidence, check_placement};
/// use scellst_types::Point;
///
/// // Every 24 px, where 137 px were expected: the hires image is 0.17 times as large.
/// let centres: Vec<_> = (0..100).map(|i| Point::new(f64::from(i % 10) * 24.0 + 300.0, f64::from(i / 10) * 24.0)).collect();
/// let evidence = PlacementEvidence {
///     slide_px: [11_000.0, 11_500.0],
///     mpp: Some(0.73),
///     pitch_um: Some(100.0),
///     hires_scale: Some(0.17),
///     ..Default::default()
/// };
/// let doubt = check_placement(&centres, &evidence).unwrap();
/// assert!(matches!(doubt, PlacementDoubt::Scaled { hires: true, .. }));
/// assert!(doubt.to_string().contains("24.0 px apart, 137.0 px were expected"));
/// ```
pub fn check_placement(centres: &[Point<Level0>], evidence: &PlacementEvidence<'_>) -> Option<PlacementDoubt> {
    if centres.is_empty() {
        return None;
    }
    let handed = evidence.array.filter(|a| a.len() == centres.len()).and_then(|array| Handedness::of(centres, array));
    let pitch = Spots::new(centres.to_vec(), 1.0).ok().and_then(|s| s.pitch_px()).filter(|&p| p > 0.0);
    let count = |swap: bool| {
        let margin = pitch.unwrap_or(0.0) / 2.0;
        let inside = |v: f64, side: f64| v >= -margin && v <= side + margin;
        let [w, h] = evidence.slide_px;
        let (w, h) = if swap { (h, w) } else { (w, h) };
        centres.iter().filter(|c| !(inside(c.x, w) && inside(c.y, h))).count()
    };
    let outside = [count(false), count(true)];
    let many = |n: usize| n as f64 > OUTSIDE * centres.len() as f64;
    let by_array = handed == Some(Handedness::Swapped);
    if by_array || (many(outside[0]) && !many(outside[1])) {
        return Some(PlacementDoubt::Swapped { outside, by_array });
    }
    let measured = evidence.pitch_um.zip(evidence.mpp).map(|(um, mpp)| um / mpp).zip(pitch);
    if let Some((expected, found)) = measured {
        let factor = expected / found;
        if !(SCALE.recip()..=SCALE).contains(&factor) {
            let hires = evidence.hires_scale.is_some_and(|s| (NAMED.recip()..=NAMED).contains(&(factor * s)));
            return Some(PlacementDoubt::Scaled { factor, hires, pitch_px: Some([found, expected]) });
        }
    }
    let farthest = centres.iter().fold([f64::MIN; 2], |[x, y], c| [x.max(c.x), y.max(c.y)]);
    if many(outside[0]) {
        let (outside, all, slide_px) = (outside[0], centres.len(), evidence.slide_px);
        return Some(PlacementDoubt::Outside { outside, all, farthest, slide_px });
    }
    if measured.is_none()
        && let Some(scale) = evidence.hires_scale
    {
        let within = farthest.iter().zip(evidence.slide_px).all(|(&far, side)| far <= side * scale.min(CORNER));
        if within && scale < CORNER {
            return Some(PlacementDoubt::Scaled { factor: scale.recip(), hires: true, pitch_px: None });
        }
    }
    if handed == Some(Handedness::Mirrored) {
        return Some(PlacementDoubt::Mirrored);
    }
    let on = centres.iter().filter(|&&c| evidence.on_tissue.is_none_or(|is_tissue| is_tissue(c))).count();
    ((on as f64) < ON_TISSUE * centres.len() as f64).then_some(PlacementDoubt::OffTissue { on, all: centres.len() })
}

/// How an array lies on the slide; it may be turned, but a mirrored one does not exist.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Handedness {
    Right,
    Swapped,
    Mirrored,
}

impl Handedness {
    /// From how x and y change along columns and rows; nothing for fewer than two rows or columns.
    fn of(centres: &[Point<Level0>], array: &[(i32, i32)]) -> Option<Self> {
        let n = centres.len() as f64;
        let mean = |f: &dyn Fn(usize) -> f64| (0..centres.len()).map(f).sum::<f64>() / n;
        let column = |i: usize| f64::from(array[i].1);
        let row = |i: usize| f64::from(array[i].0);
        let (mc, mr) = (mean(&column), mean(&row));
        let (mx, my) = (mean(&|i| centres[i].x), mean(&|i| centres[i].y));
        let cov = |a: &dyn Fn(usize) -> f64, b: &dyn Fn(usize) -> f64| mean(&|i| a(i) * b(i));
        let (c, r) = (|i: usize| column(i) - mc, |i: usize| row(i) - mr);
        let (x, y) = (|i: usize| centres[i].x - mx, |i: usize| centres[i].y - my);
        let (cc, rr, cr) = (cov(&c, &c), cov(&r, &r), cov(&c, &r));
        let det = cc * rr - cr * cr;
        if det <= 1e-9 * cc * rr {
            return None;
        }
        let solve = |v: &dyn Fn(usize) -> f64| {
            let (vc, vr) = (cov(v, &c), cov(v, &r));
            ((vc * rr - vr * cr) / det, (vr * cc - vc * cr) / det)
        };
        let ((xc, xr), (yc, yr)) = (solve(&x), solve(&y));
        Some(if xc * yr - xr * yc >= 0.0 {
            Self::Right
        } else if xr.abs() + yc.abs() > xc.abs() + yr.abs() {
            Self::Swapped
        } else {
            Self::Mirrored
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hexagonal array, turned by an angle, in level-0 pixels.
    fn hexagonal(pitch: f64, turned: f64) -> (Vec<Point<Level0>>, Vec<(i32, i32)>) {
        let array: Vec<(i32, i32)> = (0..40).flat_map(|r| (0..30).map(move |c| (r, 2 * c + r % 2))).collect();
        let (sin, cos) = turned.to_radians().sin_cos();
        let place = |&(r, c): &(i32, i32)| {
            let (x, y) = (f64::from(c) * pitch / 2.0 - 2000.0, f64::from(r) * pitch * 0.75f64.sqrt() - 2500.0);
            Point::new(x * cos - y * sin + 5000.0, x * sin + y * cos + 14_000.0)
        };
        (array.iter().map(place).collect(), array)
    }

    fn evidence(array: &[(i32, i32)]) -> PlacementEvidence<'_> {
        PlacementEvidence {
            slide_px: [11_000.0, 20_000.0],
            mpp: Some(0.73),
            pitch_um: Some(100.0),
            array: Some(array),
            hires_scale: Some(0.15),
            on_tissue: None,
        }
    }

    #[test]
    fn right_whatever_the_turn() {
        for turned in [0.0, 3.0, 90.0, 180.0, -90.0, 45.0] {
            let (centres, array) = hexagonal(137.0, turned);
            assert_eq!(check_placement(&centres, &evidence(&array)), None, "{turned}");
        }
        assert_eq!(check_placement(&[], &evidence(&[])), None);
    }

    #[test]
    fn swapped_with_and_without_an_array() {
        let (centres, array) = hexagonal(137.0, 2.0);
        let swapped: Vec<_> = centres.iter().map(|c| Point::new(c.y, c.x)).collect();
        let doubt = check_placement(&swapped, &evidence(&array)).unwrap();
        assert!(matches!(doubt, PlacementDoubt::Swapped { by_array: true, .. }), "{doubt}");
        let doubt = check_placement(&swapped, &PlacementEvidence { array: None, ..evidence(&array) }).unwrap();
        assert!(matches!(doubt, PlacementDoubt::Swapped { by_array: false, outside: [n, 0] } if n > 20), "{doubt}");
        let flipped: Vec<_> = centres.iter().map(|c| Point::new(11_000.0 - c.x, c.y)).collect();
        assert_eq!(check_placement(&flipped, &evidence(&array)), Some(PlacementDoubt::Mirrored));
    }

    #[test]
    fn another_scale_is_named_if_it_is_the_hires_image() {
        let (centres, array) = hexagonal(137.0, 0.0);
        let scaled = |by: f64| centres.iter().map(|c| Point::new(c.x * by, c.y * by)).collect::<Vec<_>>();
        let doubt = check_placement(&scaled(0.15), &evidence(&array)).unwrap();
        assert!(doubt.to_string().contains("the hires image's"), "{doubt}");
        let doubt = check_placement(&scaled(0.5), &evidence(&array)).unwrap();
        assert!(matches!(doubt, PlacementDoubt::Scaled { hires: false, factor, .. } if (factor - 2.0).abs() < 0.01));
        // Without an mpp the corner speaks.
        let unknown = PlacementEvidence { mpp: None, ..evidence(&array) };
        let doubt = check_placement(&scaled(0.15), &unknown).unwrap();
        assert!(matches!(doubt, PlacementDoubt::Scaled { hires: true, pitch_px: None, .. }), "{doubt}");
        assert_eq!(check_placement(&centres, &unknown), None);
    }

    #[test]
    fn another_slides_coordinates() {
        let (centres, array) = hexagonal(137.0, 0.0);
        let small = PlacementEvidence { slide_px: [6_000.0, 6_000.0], ..evidence(&array) };
        let doubt = check_placement(&centres, &small).unwrap();
        assert!(matches!(doubt, PlacementDoubt::Outside { outside, all: 1200, .. } if outside > 500), "{doubt}");
        let tissue = |p: Point<Level0>| p.x < 4000.0;
        let off = PlacementEvidence { on_tissue: Some(&tissue), ..evidence(&array) };
        assert!(matches!(check_placement(&centres, &off), Some(PlacementDoubt::OffTissue { all: 1200, .. })));
    }
}
