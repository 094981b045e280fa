use serde::{Deserialize, Serialize};

use crate::BagsError;

/// Which cells lie in which spot, as CSR arrays: bag `i` belongs to spot `spots[i]` and holds
/// `cells[offsets[i]..offsets[i + 1]]`.
///
/// By construction no bag is empty, spots rise strictly, cells rise strictly within a bag, and no cell is in two bags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Bags {
    offsets: Vec<u32>,
    cells: Vec<u32>,
    spots: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    offsets: Vec<u32>,
    cells: Vec<u32>,
    spots: Vec<u32>,
}

impl TryFrom<Parts> for Bags {
    type Error = BagsError;
    fn try_from(parts: Parts) -> Result<Self, BagsError> {
        Self::new(parts.offsets, parts.cells, parts.spots)
    }
}

impl From<Bags> for Parts {
    fn from(Bags { offsets, cells, spots }: Bags) -> Self {
        Self { offsets, cells, spots }
    }
}

impl Bags {
    /// From the three arrays: `offsets` has one entry more than `spots`.
    ///
    /// # Errors
    /// [`BagsError::BrokenBags`] if they contradict each other or what a bag is.
    pub fn new(offsets: Vec<u32>, cells: Vec<u32>, spots: Vec<u32>) -> Result<Self, BagsError> {
        let broken = |problem| Err(BagsError::BrokenBags(problem));
        if offsets.len() != spots.len() + 1 {
            return broken(format!(
                "{} offsets for {} spots, expected {}",
                offsets.len(),
                spots.len(),
                spots.len() + 1
            ));
        }
        if offsets[0] != 0 || offsets[spots.len()] as usize != cells.len() {
            return broken(format!(
                "offsets run from {} to {}, expected from 0 to {} (the cells)",
                offsets[0],
                offsets[spots.len()],
                cells.len()
            ));
        }
        if let Some(bag) = offsets.windows(2).position(|pair| pair[0] >= pair[1]) {
            return broken(format!("bag {bag} is empty (offsets {} and {})", offsets[bag], offsets[bag + 1]));
        }
        if let Some(bag) = spots.windows(2).position(|pair| pair[0] >= pair[1]) {
            return broken(format!("spot {} follows spot {}; spots must rise", spots[bag + 1], spots[bag]));
        }
        for (bag, range) in offsets.windows(2).enumerate() {
            let cells = &cells[range[0] as usize..range[1] as usize];
            if let Some(at) = cells.windows(2).position(|pair| pair[0] >= pair[1]) {
                return broken(format!(
                    "cell {} follows cell {} in bag {bag}; cells must rise",
                    cells[at + 1],
                    cells[at]
                ));
            }
        }
        let mut sorted = cells.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return broken(format!("cell {} is in two bags", pair[0]));
        }
        Ok(Self { offsets, cells, spots })
    }

    /// From arrays that hold what [`Bags::new`] would check.
    pub(crate) fn from_sorted(offsets: Vec<u32>, cells: Vec<u32>, spots: Vec<u32>) -> Self {
        Self { offsets, cells, spots }
    }

    /// Number of bags.
    pub fn len(&self) -> usize {
        self.spots.len()
    }

    /// Whether there is no bag.
    pub fn is_empty(&self) -> bool {
        self.spots.is_empty()
    }

    /// Number of cells in all bags.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// The cells of a bag, rising.
    ///
    /// # Panics
    /// If there is no such bag.
    pub fn bag(&self, bag: usize) -> &[u32] {
        &self.cells[self.offsets[bag] as usize..self.offsets[bag + 1] as usize]
    }

    /// The spot of a bag: a row of the spots' table.
    ///
    /// # Panics
    /// If there is no such bag.
    pub fn spot(&self, bag: usize) -> u32 {
        self.spots[bag]
    }

    /// Spot and cells of every bag, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &[u32])> {
        (0..self.len()).map(|bag| (self.spots[bag], self.bag(bag)))
    }

    /// Where each bag starts in [`Bags::cells`], and the end of the last.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The cells of all bags, bag after bag.
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// The spot of each bag.
    pub fn spots(&self) -> &[u32] {
        &self.spots
    }

    /// Cells of every spot of a table of so many, those without a bag included: what a picture of the bags shows.
    ///
    /// # Errors
    /// [`BagsError::BrokenBags`] if a bag belongs to a spot beyond the table.
    pub fn cells_per_spot(&self, spots: usize) -> Result<Vec<u32>, BagsError> {
        let mut counts = vec![0; spots];
        for (spot, cells) in self.iter() {
            let Some(count) = counts.get_mut(spot as usize) else {
                return Err(BagsError::BrokenBags(format!("a bag names spot {spot}, but there are {spots}")));
            };
            *count = cells.len() as u32;
        }
        Ok(counts)
    }

    /// Only these bags (positions among the bags, in any order); the order stays that of the spots.
    ///
    /// # Errors
    /// [`BagsError::BrokenBags`] if there is no such bag or one is named twice.
    pub fn subset(&self, bags: &[usize]) -> Result<Self, BagsError> {
        let mut wanted = bags.to_vec();
        wanted.sort_unstable();
        if let Some(pair) = wanted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BagsError::BrokenBags(format!("bag {} is asked for twice", pair[0])));
        }
        if let Some(&last) = wanted.last().filter(|&&last| last >= self.len()) {
            return Err(BagsError::BrokenBags(format!("bag {last} is asked for, but there are {}", self.len())));
        }
        let mut out = Self { offsets: vec![0], cells: Vec::new(), spots: Vec::new() };
        for bag in wanted {
            out.spots.push(self.spots[bag]);
            out.cells.extend_from_slice(self.bag(bag));
            out.offsets.push(out.cells.len() as u32);
        }
        Ok(out)
    }

    /// The bags of several sections as one, as if their tables of cells and spots were laid end to end:
    /// `(bags, number of cells in the section's table, number of spots in it)`.
    ///
    /// # Errors
    /// [`BagsError::BrokenBags`] if a bag points beyond its section's table, [`BagsError::TooMany`] above `u32::MAX`.
    pub fn concat(sections: &[(&Bags, usize, usize)]) -> Result<Self, BagsError> {
        let mut out = Self { offsets: vec![0], cells: Vec::new(), spots: Vec::new() };
        let (mut first_cell, mut first_spot) = (0_usize, 0_usize);
        for (section, &(bags, cells, spots)) in sections.iter().enumerate() {
            let beyond = |what: &str, largest: Option<u32>, length| match largest {
                Some(largest) if largest as usize >= length => Err(BagsError::BrokenBags(format!(
                    "section {section}: a bag names {what} {largest}, but there are {length}"
                ))),
                _ => Ok(()),
            };
            beyond("cell", bags.cells.iter().copied().max(), cells)?;
            beyond("spot", bags.spots.last().copied(), spots)?;
            let (last_cell, last_spot) = (first_cell.saturating_add(cells), first_spot.saturating_add(spots));
            fits_u32("cells", last_cell)?;
            fits_u32("spots", last_spot)?;
            let end = out.cells.len() as u32;
            out.cells.extend(bags.cells.iter().map(|&cell| cell + first_cell as u32));
            out.spots.extend(bags.spots.iter().map(|&spot| spot + first_spot as u32));
            out.offsets.extend(bags.offsets[1..].iter().map(|&offset| offset + end));
            (first_cell, first_spot) = (last_cell, last_spot);
        }
        Ok(out)
    }
}

pub(crate) fn fits_u32(what: &'static str, found: usize) -> Result<(), BagsError> {
    let most = u32::MAX as usize;
    if found <= most { Ok(()) } else { Err(BagsError::TooMany { what, found, most }) }
}
