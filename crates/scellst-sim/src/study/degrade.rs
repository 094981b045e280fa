use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::StudyBags;
use crate::SimError;
use crate::random::{Stage, generator};

/// What goes wrong between a slide and its spots. All but [`Stain`](Self::Stain) spoil the training only: tests then
/// tell what the error costs the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "amount")]
pub enum Degradation {
    /// Nothing.
    None,
    /// This share of the nuclei is not found. One of a spot always is.
    Missed(f64),
    /// This share of the nuclei is taken for one with another of the spot: one cell with the mean of their embeddings.
    Merged(f64),
    /// This share of the nuclei is found twice, each time with other features, by one standard deviation of a type's.
    Split(f64),
    /// The picture lies so many um off the spots (discs of 55 um): cells that leave a disc make room for those of
    /// another one.
    Shift(f64),
    /// So much of the counts of a spot is left, 0 to 1.
    Depth(f64),
    /// The test slide is stained otherwise: all of its features are moved alike, in a random direction, by so many
    /// standard deviations of the features.
    Stain(f64),
}

/// Diameter of the discs that a shift is held against, um.
const DISC_UM: f64 = 55.0;

/// Cells of spots as a detector sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Cells x features, spot after spot.
    pub features: Array2<f32>,
    /// Spot `i` has the rows `offsets[i]..offsets[i + 1]`, at least one.
    pub offsets: Vec<u32>,
}

impl std::fmt::Display for Degradation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.parts() {
            (name, None) => f.write_str(name),
            (name, Some(amount)) => write!(f, "{name}:{amount}"),
        }
    }
}

impl std::str::FromStr for Degradation {
    type Err = SimError;
    fn from_str(text: &str) -> Result<Self, SimError> {
        let expected = "none or missed, merged, split, shift, depth, stain with an amount, such as missed:0.2";
        let wrong = || SimError::study("degradation", expected, format!("'{text}'"));
        if text == "none" {
            return Ok(Self::None);
        }
        let (name, amount) = text.split_once(':').ok_or_else(wrong)?;
        let amount: f64 = amount.parse().map_err(|_| wrong())?;
        let (made, most) = match name {
            "missed" => (Self::Missed(amount), 1.0),
            "merged" => (Self::Merged(amount), 1.0),
            "split" => (Self::Split(amount), 1.0),
            "depth" => (Self::Depth(amount), 1.0),
            "shift" => (Self::Shift(amount), 1e6),
            "stain" => (Self::Stain(amount), 1e3),
            _ => return Err(wrong()),
        };
        let least = if name == "depth" { f64::MIN_POSITIVE } else { 0.0 };
        if (least..=most).contains(&amount) {
            Ok(made)
        } else {
            Err(SimError::study(format!("degradation {name}"), format!("0 to {most}"), amount))
        }
    }
}

impl Degradation {
    /// Its name and amount.
    pub fn parts(&self) -> (&'static str, Option<f64>) {
        match *self {
            Self::None => ("none", None),
            Self::Missed(amount) => ("missed", Some(amount)),
            Self::Merged(amount) => ("merged", Some(amount)),
            Self::Split(amount) => ("split", Some(amount)),
            Self::Shift(amount) => ("shift", Some(amount)),
            Self::Depth(amount) => ("depth", Some(amount)),
            Self::Stain(amount) => ("stain", Some(amount)),
        }
    }

    /// The cells of spots as they are seen; `features` are those of all cells, `type_of` says which vary alike.
    ///
    /// # Errors
    /// [`SimError::OverLimit`] for more than 2^32 cells.
    pub fn see(
        &self,
        bags: &StudyBags,
        features: ArrayView2<'_, f32>,
        type_of: &[u32],
        seed: u64,
    ) -> Result<Seen, SimError> {
        let mut rng = generator(seed, Stage::Degradation, 0);
        let spread = matches!(self, Self::Split(_)).then(|| spread_within(features, type_of));
        let spots: Vec<&[usize]> = bags.iter().collect();
        let (mut rows, mut offsets) = (Vec::with_capacity(bags.len() * 20 * features.ncols()), vec![0u32]);
        let mut count = 0u64;
        for (at, spot) in spots.iter().enumerate() {
            let before = count;
            let mut add = |rng: &mut ChaCha8Rng, cell: &[usize], spread: Option<&Array1<f32>>| {
                count += 1;
                let n = cell.len() as f32;
                rows.extend((0..features.ncols()).map(|j| {
                    let mean = cell.iter().map(|&c| features[(c, j)]).sum::<f32>() / n;
                    mean + spread.map_or(0.0, |spread| normal(rng) * spread[j])
                }));
            };
            match *self {
                Self::None | Self::Depth(_) | Self::Stain(_) => {
                    spot.iter().for_each(|&cell| add(&mut rng, &[cell], None));
                }
                Self::Missed(share) => {
                    let found: Vec<usize> = spot.iter().copied().filter(|_| !rng.random_bool(share)).collect();
                    let last = [spot[rng.random_range(0..spot.len())]];
                    let found = if found.is_empty() { &last[..] } else { &found };
                    found.iter().for_each(|&cell| add(&mut rng, &[cell], None));
                }
                Self::Merged(share) => {
                    let mut left = spot.to_vec();
                    while let Some(cell) = left.pop() {
                        // A merger takes two nuclei: half as many mergers as nuclei that are merged.
                        let other = if rng.random_bool(share / (2.0 - share)) { left.pop() } else { None };
                        add(&mut rng, &[Some(cell), other].into_iter().flatten().collect::<Vec<_>>(), None);
                    }
                }
                Self::Split(share) => {
                    for &cell in *spot {
                        if rng.random_bool(share) {
                            add(&mut rng, &[cell], spread.as_ref());
                            add(&mut rng, &[cell], spread.as_ref());
                        } else {
                            add(&mut rng, &[cell], None);
                        }
                    }
                }
                Self::Shift(um) => {
                    let other = spots[(at + 1 + rng.random_range(0..spots.len().max(2) - 1)) % spots.len()];
                    for (&cell, &stranger) in spot.iter().zip(other) {
                        let seen = if rng.random_bool(left_by(um)) { stranger } else { cell };
                        add(&mut rng, &[seen], None);
                    }
                }
            }
            debug_assert!(count > before, "a spot keeps a cell");
            let limit = u64::from(u32::MAX);
            let end = u32::try_from(count).map_err(|_| SimError::OverLimit {
                what: "cells in spots",
                limit,
                found: count,
            })?;
            offsets.push(end);
        }
        let shape = (count as usize, features.ncols());
        let features = Array2::from_shape_vec(shape, rows)
            .map_err(|e| SimError::study("features of cells", format!("{shape:?}"), e))?;
        Ok(Seen { features, offsets })
    }

    /// Counts of spots (spots x genes) and their totals over all genes with less depth: each molecule is kept or not.
    /// Counts that are not whole are rounded first.
    pub fn thin(&self, counts: &mut Array2<f32>, totals: &mut [f64], seed: u64) {
        let Self::Depth(share) = *self else { return };
        let mut rng = generator(seed, Stage::Degradation, 1);
        let mut kept = |count: f64| {
            Binomial::new(count.max(0.0).round() as u64, share).map_or(count, |b| b.sample(&mut rng) as f64)
        };
        for (mut row, total) in counts.rows_mut().into_iter().zip(totals) {
            let here: f64 = row.iter().map(|&v| f64::from(v)).sum();
            let rest = kept(*total - here);
            row.mapv_inplace(|v| kept(f64::from(v)) as f32);
            *total = rest + row.iter().map(|&v| f64::from(v)).sum::<f64>();
        }
    }

    /// Features of a test slide (cells x features) as another stain gives them.
    pub fn stain(&self, features: &mut Array2<f32>, seed: u64) {
        let Self::Stain(amount) = *self else { return };
        let mut rng = generator(seed, Stage::Degradation, 2);
        let spread = features.std_axis(Axis(0), 0.0);
        let moved = spread.mapv(|sd| amount as f32 * sd * normal(&mut rng));
        *features += &moved;
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    StandardNormal.sample(rng)
}

/// Share of a disc's area that is no longer in it when it moves by so many um.
fn left_by(um: f64) -> f64 {
    let x = (um / DISC_UM).clamp(0.0, 1.0);
    (1.0 - std::f64::consts::FRAC_2_PI * (x.acos() - x * (1.0 - x * x).sqrt())).clamp(0.0, 1.0)
}

/// Standard deviation of each feature within types.
fn spread_within(features: ArrayView2<'_, f32>, type_of: &[u32]) -> Array1<f32> {
    let types = type_of.iter().max().map_or(0, |&most| most as usize + 1);
    let dims = features.ncols();
    let (mut sums, mut squares, mut cells) =
        (Array2::<f64>::zeros((types, dims)), Array1::<f64>::zeros(dims), vec![0.0; types]);
    for (row, &t) in features.rows().into_iter().zip(type_of) {
        cells[t as usize] += 1.0;
        sums.row_mut(t as usize).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        squares.zip_mut_with(&row, |sum, &v| *sum += f64::from(v).powi(2));
    }
    for (sum, &n) in sums.rows().into_iter().zip(&cells).filter(|(_, n)| **n > 0.0) {
        squares.zip_mut_with(&sum, |square, &s| *square -= s * s / n);
    }
    squares.mapv(|s| (s.max(0.0) / f64::max(features.nrows() as f64, 1.0)).sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bags() -> StudyBags {
        StudyBags::new((0..4000).map(|i| i % 40).collect(), 20)
    }

    fn features() -> Array2<f32> {
        Array2::from_shape_fn((40, 2), |(i, j)| if j == 0 { i as f32 } else { (i % 2) as f32 })
    }

    fn see(degradation: Degradation) -> Seen {
        let types: Vec<u32> = (0..40).map(|i| i % 2).collect();
        degradation.see(&bags(), features().view(), &types, 3).unwrap()
    }

    #[test]
    fn so_many_cells_are_seen_as_said() {
        let cells = |d| see(d).features.nrows() as f64 / 4000.0;
        assert_eq!(cells(Degradation::None), 1.0);
        assert!((cells(Degradation::Missed(0.3)) - 0.7).abs() < 0.03);
        assert_eq!(see(Degradation::Missed(1.0)).features.nrows(), 200);
        // Of n nuclei a share p in mergers of two: n (1 - p / 2) cells.
        assert!((cells(Degradation::Merged(0.4)) - 0.8).abs() < 0.03);
        assert!((cells(Degradation::Split(0.25)) - 1.25).abs() < 0.03);
        assert_eq!(cells(Degradation::Shift(20.0)), 1.0);
        assert_eq!(see(Degradation::None), see(Degradation::Depth(0.1)));
    }

    #[test]
    fn splits_vary_as_types_do_and_mergers_keep_the_mean() {
        // Of type 0 and 1 alike: feature 1 is constant in a type.
        let split = see(Degradation::Split(1.0));
        assert!(split.features.column(1).iter().all(|v| *v == 0.0 || *v == 1.0));
        let merged = see(Degradation::Merged(1.0));
        assert!(merged.features.nrows() == 2000 && merged.features.column(1).iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn a_shift_leaves_what_discs_share() {
        assert_eq!((left_by(0.0), left_by(55.0), left_by(1e9)), (0.0, 1.0, 1.0));
        // Two discs of diameter 1 half a diameter apart share 0.391 of their area.
        assert!((left_by(27.5) - 0.609).abs() < 1e-3);
    }

    #[test]
    fn depth_thins_and_stain_moves_all_cells_alike() {
        let mut counts = Array2::from_elem((200, 3), 50.0f32);
        let mut totals = vec![1000.0; 200];
        Degradation::Depth(0.2).thin(&mut counts, &mut totals, 1);
        assert!((counts.mean().unwrap() - 10.0).abs() < 0.5 && counts.iter().all(|v| v.fract() == 0.0));
        assert!((totals.iter().sum::<f64>() / 200.0 - 200.0).abs() < 5.0);
        let mut moved = features();
        Degradation::Stain(2.0).stain(&mut moved, 1);
        let by = &moved - &features();
        assert!(by.column(0).iter().all(|v| (v - by[(0, 0)]).abs() < 1e-5) && by[(0, 0)].abs() > 0.01);
    }

    #[test]
    fn degradations_are_read_and_checked() {
        for text in ["none", "missed:0.2", "merged:0", "split:1", "shift:30", "depth:0.1", "stain:0.5"] {
            assert_eq!(text.parse::<Degradation>().unwrap().to_string(), text);
        }
        for text in ["missed", "missed:1.5", "missed:x", "lost:0.1", "depth:0", "stain:NaN", "shift:-1", ""] {
            assert!(text.parse::<Degradation>().is_err(), "{text}");
        }
    }
}
