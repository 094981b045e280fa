use rayon::prelude::*;
use scellst_types::{Micron, Point};

use crate::bags::fits_u32;
use crate::grid::{bounds, check_finite};
use crate::{Bags, BagsError, PointGrid, Qc};

/// Puts every cell into the disc that holds it: distance of centroid and centre at most half the diameter.
///
/// Where discs overlap the nearest centre has it, of equally near ones the spot that comes first. Only spots with a
/// cell become bags, ordered by spot, then cell. The result does not depend on the number of threads.
///
/// # Units
/// Cells' centroids, spots' centres and the diameter in um on the slide.
///
/// # Errors
/// [`BagsError::Empty`] without cells or spots, [`BagsError::NotFinite`], [`BagsError::Setting`] for the diameter,
/// [`BagsError::TooMany`], and [`BagsError::NoCellInAnySpot`] with both bounding boxes.
pub fn assign(cells: &[Point<Micron>], spots: &[Point<Micron>], diameter_um: f64) -> Result<(Bags, Qc), BagsError> {
    if !(diameter_um.is_finite() && diameter_um > 0.0) {
        return Err(BagsError::Setting {
            setting: "spot diameter (um)",
            expected: "above 0 and finite",
            found: diameter_um.to_string(),
        });
    }
    for (what, points) in [("cells", cells), ("spots", spots)] {
        if points.is_empty() {
            return Err(BagsError::Empty { what });
        }
        fits_u32(what, points.len())?;
    }
    check_finite("cell", cells)?;
    check_finite("spot", spots)?;
    let radius = diameter_um / 2.0;
    let grid = PointGrid::new(spots, radius)?;

    // Per cell the spot (or OUTSIDE) and whether several discs hold it.
    let (spot_of, in_several): (Vec<u32>, Vec<bool>) = cells
        .par_iter()
        .with_min_len(4096)
        .map(|&cell| {
            let mut best = (f64::INFINITY, OUTSIDE);
            let mut discs = 0;
            grid.for_each_within(cell, radius, |spot, squared| {
                discs += 1;
                if (squared, spot) < best {
                    best = (squared, spot);
                }
            });
            (best.1, discs > 1)
        })
        .unzip();

    let mut per_spot = vec![0_u32; spots.len()];
    for &spot in spot_of.iter().filter(|&&spot| spot != OUTSIDE) {
        per_spot[spot as usize] += 1;
    }
    if per_spot.iter().all(|&count| count == 0) {
        return Err(BagsError::NoCellInAnySpot {
            cells: cells.len(),
            spots: spots.len(),
            diameter_um,
            cell_box: describe_box(cells),
            spot_box: describe_box(spots),
        });
    }
    let bags = by_spot(&spot_of, &per_spot);
    let qc = Qc::new(cells.len(), &per_spot, in_several.iter().filter(|&&several| several).count());
    Ok((bags, qc))
}

/// The mark of a cell that no disc holds.
const OUTSIDE: u32 = u32::MAX;

/// Cells counted into their spots: each spot's cells rise since the cells are passed in order.
fn by_spot(spot_of: &[u32], per_spot: &[u32]) -> Bags {
    let mut next = Vec::with_capacity(per_spot.len());
    let mut total = 0;
    for &count in per_spot {
        next.push(total);
        total += count as usize;
    }
    let mut pairs = vec![(0, 0); total];
    for (cell, &spot) in spot_of.iter().enumerate().filter(|(_, spot)| **spot != OUTSIDE) {
        let at = &mut next[spot as usize];
        pairs[*at] = (spot, cell as u32);
        *at += 1;
    }
    Bags::from_sorted_pairs(pairs.into_iter())
}

fn describe_box(points: &[Point<Micron>]) -> String {
    match bounds(points) {
        Some((low, high)) => format!("x {:.1} to {:.1}, y {:.1} to {:.1}", low.x, high.x, low.y, high.y),
        None => "nothing".to_owned(),
    }
}
