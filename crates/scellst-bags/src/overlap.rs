use std::borrow::Cow;

use rayon::prelude::*;
use scellst_types::{Micron, Point};

use crate::area::{disc_and_disc, of_ring, ring_and_disc, ring_and_square};
use crate::grid::check_finite;
use crate::{Bags, BagsError, SpotAreas, SpotShape};

/// The shape of a nucleus.
#[derive(Debug, Clone, PartialEq)]
pub enum Nucleus<'a> {
    /// A disc of this area, um2, around the centroid; NaN or 0 if it is not known.
    Disc {
        /// um2.
        area_um2: f64,
    },
    /// Its outline, um, an open ring that does not cross itself. Fewer than three corners are as an unknown area.
    Outline(Cow<'a, [Point<Micron>]>),
}

/// For every cell in a bag the share of its nucleus that lies in its spot, 0 to 1, in the order of [`Bags::cells`]:
/// a weight for the cell in its bag.
///
/// Areas are exact: outline and disc, outline and square, disc and disc. A nucleus of unknown shape, or with no area,
/// counts with its centroid alone, which lies in the spot: 1.
///
/// ```
/// use scellst_bags::{Nucleus, SpotAreas, assign_to, overlap_weights};
/// use scellst_types::Point;
///
/// let spots = [Point::new(0.0, 0.0)];
/// let spots = SpotAreas::squares(&spots, 10.0)?;
/// // In the middle, and with its centroid on the rim.
/// let cells = [Point::new(0.0, 0.0), Point::new(5.0, 0.0)];
/// let (bags, _) = assign_to(&cells, &spots)?;
/// let weights = overlap_weights(&bags, &cells, &spots, |_| Nucleus::Disc { area_um2: 12.0 })?;
/// assert!((weights[0] - 1.0).abs() < 1e-6 && (weights[1] - 0.5).abs() < 1e-6);
/// # Ok::<(), scellst_bags::BagsError>(())
/// ```
///
/// # Errors
/// [`BagsError::BrokenBags`] if a bag names a cell or spot beyond those given, [`BagsError::NotFinite`] for a cell or a
/// corner, [`BagsError::Setting`] for an area that is negative or infinite.
pub fn overlap_weights<'n>(
    bags: &Bags,
    cells: &[Point<Micron>],
    spots: &SpotAreas<'_>,
    nucleus: impl Fn(u32) -> Nucleus<'n> + Sync,
) -> Result<Vec<f32>, BagsError> {
    check_finite("cell", cells)?;
    let beyond = |what: &str, largest: Option<u32>, length: usize| match largest {
        Some(largest) if largest as usize >= length => {
            Err(BagsError::BrokenBags(format!("a bag names {what} {largest}, but there are {length}")))
        }
        _ => Ok(()),
    };
    beyond("cell", bags.cells().iter().copied().max(), cells.len())?;
    beyond("spot", bags.spots().last().copied(), spots.len())?;
    let of_bag = |bag: usize| -> Result<Vec<f32>, BagsError> {
        let spot = bags.spot(bag) as usize;
        let share = |&cell: &u32| share(cell, cells[cell as usize], &nucleus(cell), spot, spots);
        bags.bag(bag).iter().map(share).collect()
    };
    let of_bags: Vec<Vec<f32>> =
        (0..bags.len()).into_par_iter().with_min_len(64).map(of_bag).collect::<Result<_, _>>()?;
    Ok(of_bags.concat())
}

fn share(
    cell: u32,
    centroid: Point<Micron>,
    nucleus: &Nucleus<'_>,
    spot: usize,
    spots: &SpotAreas<'_>,
) -> Result<f32, BagsError> {
    let (centre, half) = (spots.centres()[spot], spots.half_um(spot));
    // The spot at the origin, its sides along the axes.
    let place = |p: &Point<Micron>| spots.turned_back(p.x - centre.x, p.y - centre.y);
    let (area, common) = match nucleus {
        Nucleus::Disc { area_um2 } => {
            if area_um2.is_infinite() || *area_um2 < 0.0 {
                return Err(BagsError::Setting {
                    setting: "area of a nucleus (um2)",
                    expected: "at least 0, or NaN where it is unknown",
                    found: format!("{area_um2} of cell {cell}"),
                });
            }
            if area_um2.is_nan() {
                return Ok(1.0);
            }
            let radius = (area_um2 / std::f64::consts::PI).sqrt();
            let common = match spots.shape() {
                SpotShape::Disc => disc_and_disc(centroid.distance(centre), radius, half),
                SpotShape::Square => {
                    let (x, y) = place(&centroid);
                    let (left, right, top, bottom) = (-half - x, half - x, -half - y, half - y);
                    ring_and_disc(&[(left, top), (right, top), (right, bottom), (left, bottom)], radius)
                }
            };
            (*area_um2, common)
        }
        Nucleus::Outline(ring) => {
            if let Err(BagsError::NotFinite { x, y, .. }) = check_finite("corner", ring) {
                return Err(BagsError::NotFinite { what: "a corner of cell", index: cell as usize, x, y });
            }
            let ring: Vec<(f64, f64)> = ring.iter().map(place).collect();
            let common = match spots.shape() {
                SpotShape::Disc => ring_and_disc(&ring, half),
                SpotShape::Square => ring_and_square(&ring, half),
            };
            (of_ring(&ring).abs(), common.abs())
        }
    };
    Ok(if area > 0.0 { (common / area).clamp(0.0, 1.0) as f32 } else { 1.0 })
}
