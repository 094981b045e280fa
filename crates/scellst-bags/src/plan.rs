use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use scellst_types::{Micron, Point, SectionId};
use serde::{Deserialize, Serialize};

use crate::grid::{check_finite, check_radius};
use crate::split::shuffle;
use crate::{Bags, BagsError, PointGrid, Split};

/// The bags of a section, for splits and for looking whether they leak. Bags are numbered section after section.
#[derive(Debug, Clone, PartialEq)]
pub struct SectionBags {
    /// Its name.
    pub id: SectionId,
    /// Whose tissue it is, if known.
    pub patient: Option<String>,
    /// SHA-256 of the slide's file, if known.
    pub slide_sha256: Option<String>,
    /// How far a spot reaches from its centre, um: a disc's radius, half a square's diagonal.
    pub spot_radius_um: f64,
    /// Row of each bag's spot in the section's table of spots.
    pub spots: Vec<u32>,
    /// Centre of each bag's spot, um.
    pub centres: Vec<Point<Micron>>,
}

impl SectionBags {
    /// The bags of a section whose spots have these centres; patient and slide unknown.
    ///
    /// # Errors
    /// [`BagsError::BrokenBags`] if a bag belongs to a spot beyond them.
    pub fn new(id: SectionId, bags: &Bags, centres: &[Point<Micron>], spot_radius_um: f64) -> Result<Self, BagsError> {
        let centre = |&spot: &u32| {
            let beyond = || {
                BagsError::BrokenBags(format!("section {id}: a bag names spot {spot}, but there are {}", centres.len()))
            };
            centres.get(spot as usize).copied().ok_or_else(beyond)
        };
        let of_bags = bags.spots().iter().map(centre).collect::<Result<_, _>>()?;
        let spots = bags.spots().to_vec();
        Ok(Self { id, patient: None, slide_sha256: None, spot_radius_um, spots, centres: of_bags })
    }

    /// Number of bags.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    pub(crate) fn check(sections: &[Self]) -> Result<(), BagsError> {
        for section in sections {
            if section.spots.len() != section.len() {
                let (expected, found) = (section.len(), section.spots.len());
                return Err(BagsError::Lengths { what: "spots of bags", expected, found });
            }
            check_finite("spot", &section.centres)?;
            check_radius(section.spot_radius_um)?;
        }
        let mut names: Vec<&SectionId> = sections.iter().map(|section| &section.id).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(BagsError::BrokenSplit(format!("section {} is there twice", pair[0]))),
            None => Ok(()),
        }
    }
}

/// What stays together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SplitBy {
    /// Nothing: every bag for itself. Neighbouring spots look alike, so that scores flatter.
    Random,
    /// Sections.
    Section,
    /// Patients, with all their sections.
    Patient,
    /// Squares of a section. Training bags at most `gap_um` from a test bag of their section are dropped.
    Block {
        /// Side of a square, um.
        side_um: f64,
        /// What is to lie between training and test, centre to centre, um: at least [`crate::Reach::um`].
        gap_um: f64,
    },
}

/// How much is held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// About this share of the bags, once: whole groups, in random order, while they fit (but always one).
    Share(f64),
    /// So many parts of about one size, each held out in its turn.
    Folds(usize),
}

/// A rule that makes splits: the same rule makes the same splits on every machine.
///
/// ```
/// use scellst_bags::{Held, SectionBags, SplitBy, SplitPlan};
/// use scellst_types::{Point, SectionId};
///
/// // Two sections of 10 x 10 spots, 100 um apart.
/// let section = |name: &str| SectionBags {
///     id: SectionId(name.into()),
///     patient: None,
///     slide_sha256: None,
///     spot_radius_um: 27.5,
///     spots: (0..100).collect(),
///     centres: (0..100).map(|i| Point::new(100.0 * f64::from(i % 10), 100.0 * f64::from(i / 10))).collect(),
/// };
/// let sections = [section("A"), section("B")];
/// let by = SplitBy::Block { side_um: 500.0, gap_um: 150.0 };
/// let splits = SplitPlan { by, held: Held::Folds(4), seed: 1 }.split(&sections)?;
/// assert_eq!(splits.len(), 4);
/// assert!(splits.iter().all(|split| split.validation.len() == 50 && !split.dropped.is_empty()));
/// # Ok::<(), scellst_bags::BagsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitPlan {
    /// What stays together.
    pub by: SplitBy,
    /// How much is held out.
    pub held: Held,
    /// Of the order in which groups are dealt out.
    pub seed: u64,
}

impl SplitPlan {
    /// The splits: one for [`Held::Share`], as many as parts for [`Held::Folds`].
    ///
    /// # Errors
    /// [`BagsError::Setting`] for a share not between 0 and 1, fewer than two folds, more folds than groups, lengths
    /// that are not positive, or if nothing is left to train on; [`BagsError::BrokenSplit`] if a section has no patient
    /// where patients are to stay together.
    pub fn split(&self, sections: &[SectionBags]) -> Result<Vec<Split>, BagsError> {
        SectionBags::check(sections)?;
        let mut groups = self.groups(sections)?;
        shuffle(&mut groups, &mut ChaCha8Rng::seed_from_u64(self.seed));
        let held = self.deal(groups)?;
        held.into_iter().map(|held| self.without(held, sections)).collect()
    }

    /// Bags that stay together, in an order that does not depend on chance.
    fn groups(&self, sections: &[SectionBags]) -> Result<Vec<Vec<usize>>, BagsError> {
        let bags: usize = sections.iter().map(SectionBags::len).sum();
        let mut groups = BTreeMap::<(usize, i64, i64), Vec<usize>>::new();
        let mut patients = BTreeMap::<String, usize>::new();
        if let SplitBy::Block { side_um, gap_um } = self.by {
            let right = side_um.is_finite() && side_um >= 1.0 && gap_um.is_finite() && gap_um >= 0.0;
            if !right {
                return Err(BagsError::Setting {
                    setting: "side and gap of the blocks (um)",
                    expected: "at least 1, and at least 0, and finite",
                    found: format!("{side_um} and {gap_um}"),
                });
            }
        }
        let mut first = 0;
        for (number, section) in sections.iter().enumerate() {
            let low = crate::grid::bounds(&section.centres).map_or(Point::new(0.0, 0.0), |(low, _)| low);
            let patient = match (self.by, &section.patient) {
                (SplitBy::Patient, None) => {
                    let problem = format!("section {} names no patient, but patients are to stay together", section.id);
                    return Err(BagsError::BrokenSplit(problem));
                }
                (SplitBy::Patient, Some(name)) => {
                    let next = patients.len();
                    *patients.entry(crate::leakage::plain(name)).or_insert(next)
                }
                _ => 0,
            };
            for (bag, centre) in (first..).zip(&section.centres) {
                let key = match self.by {
                    SplitBy::Random => (bag, 0, 0),
                    SplitBy::Section => (number, 0, 0),
                    SplitBy::Patient => (patient, 0, 0),
                    SplitBy::Block { side_um, .. } => {
                        let along = |offset: f64| (offset / side_um) as i64;
                        (number, along(centre.y - low.y), along(centre.x - low.x))
                    }
                };
                groups.entry(key).or_default().push(bag);
            }
            first += section.len();
        }
        if bags == 0 {
            return Err(BagsError::Empty { what: "bags" });
        }
        Ok(groups.into_values().collect())
    }

    /// The bags that each split holds out.
    fn deal(&self, groups: Vec<Vec<usize>>) -> Result<Vec<Vec<usize>>, BagsError> {
        let wrong = |setting, expected, found: String| Err(BagsError::Setting { setting, expected, found });
        match self.held {
            Held::Share(share) => {
                if !(share > 0.0 && share < 1.0) {
                    return wrong("share to hold out", "above 0 and below 1", share.to_string());
                }
                let bags: usize = groups.iter().map(Vec::len).sum();
                let room = share * bags as f64;
                let mut held: Vec<usize> = Vec::new();
                for group in groups {
                    // Rounding must not lose the last bag that fits.
                    if held.is_empty() || (held.len() + group.len()) as f64 <= room + 1e-9 {
                        held.extend(group);
                    }
                }
                Ok(vec![held])
            }
            Held::Folds(folds) => {
                if folds < 2 || folds > groups.len() {
                    let found = format!("{folds} folds of {} groups", groups.len());
                    return wrong(
                        "number of folds",
                        "at least 2, at most one a group (bag, section, patient, block)",
                        found,
                    );
                }
                // The largest groups first, each to the smallest fold so far: folds of about one size.
                let mut groups = groups;
                groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
                let mut held = vec![Vec::new(); folds];
                let mut sizes: std::collections::BTreeSet<(usize, usize)> = (0..folds).map(|fold| (0, fold)).collect();
                for group in groups {
                    if let Some((size, fold)) = sizes.pop_first() {
                        sizes.insert((size + group.len(), fold));
                        held[fold].extend(group);
                    }
                }
                Ok(held)
            }
        }
    }

    /// The split that holds these out.
    fn without(&self, mut held: Vec<usize>, sections: &[SectionBags]) -> Result<Split, BagsError> {
        held.sort_unstable();
        let (mut train, mut dropped) = (Vec::new(), Vec::new());
        let mut first = 0;
        for section in sections {
            let end = first + section.len();
            let of_section = &held[held.partition_point(|&bag| bag < first)..held.partition_point(|&bag| bag < end)];
            let others = (first..end).filter(|bag| of_section.binary_search(bag).is_err());
            match self.by {
                SplitBy::Block { gap_um, .. } if gap_um > 0.0 => {
                    let centres: Vec<_> = of_section.iter().map(|&bag| section.centres[bag - first]).collect();
                    let grid = PointGrid::new(&centres, gap_um)?;
                    for bag in others {
                        let mut near = false;
                        grid.for_each_within(section.centres[bag - first], gap_um, |_, _| near = true);
                        if near { dropped.push(bag) } else { train.push(bag) }
                    }
                }
                _ => train.extend(others),
            }
            first = end;
        }
        if train.is_empty() {
            return Err(BagsError::Setting {
                setting: "split",
                expected: "such that a bag is left to train on: smaller blocks, a smaller gap or share, or more groups",
                found: format!(
                    "{:?} with {:?}: {} bags held out, {} in the gap",
                    self.by,
                    self.held,
                    held.len(),
                    dropped.len()
                ),
            });
        }
        Ok(Split { train, validation: held, dropped })
    }
}

/// Splits with what they were made of, to be written (as JSON or TOML by serde) and read back.
///
/// Positions among bags mean nothing when the cells, and so the bags, are others: [`SplitFile::check`] before use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SplitFile {
    /// Raised whenever an older program would read it wrongly.
    pub version: u32,
    /// The rule, if a rule made them.
    pub plan: Option<SplitPlan>,
    /// The sections, in the order that numbers their bags.
    pub sections: Vec<SplitSection>,
    /// The splits.
    pub splits: Vec<Split>,
}

/// A section in a [`SplitFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSection {
    /// Its name.
    pub id: SectionId,
    /// Row of each bag's spot in the section's table of spots.
    pub spots: Vec<u32>,
}

const VERSION: u32 = 1;

impl SplitFile {
    /// Splits of these sections.
    ///
    /// # Errors
    /// As [`SplitFile::check`].
    pub fn new(plan: Option<SplitPlan>, sections: &[SectionBags], splits: Vec<Split>) -> Result<Self, BagsError> {
        let of = |s: &SectionBags| SplitSection { id: s.id.clone(), spots: s.spots.clone() };
        let file = Self { version: VERSION, plan, sections: sections.iter().map(of).collect(), splits };
        file.check(sections)?;
        Ok(file)
    }

    /// Whether it is about these sections and bags, and its splits are splits of them.
    ///
    /// # Errors
    /// [`BagsError::BrokenSplit`] with the first difference.
    pub fn check(&self, sections: &[SectionBags]) -> Result<(), BagsError> {
        let broken = |problem: String| Err(BagsError::BrokenSplit(problem));
        if self.version != VERSION {
            return broken(format!("version {} of the description, expected {VERSION}", self.version));
        }
        if self.sections.len() != sections.len() {
            return broken(format!("it is about {} sections, expected {}", self.sections.len(), sections.len()));
        }
        for (written, section) in self.sections.iter().zip(sections) {
            if written.id != section.id {
                return broken(format!("it is about section {} where {} is", written.id, section.id));
            }
            if written.spots != section.spots {
                return broken(format!(
                    "section {} has other bags ({}) than when it was written ({}): the cells or the filters are others",
                    section.id,
                    section.len(),
                    written.spots.len()
                ));
            }
        }
        let bags = sections.iter().map(SectionBags::len).sum();
        self.splits.iter().try_for_each(|split| split.check(bags))
    }
}
