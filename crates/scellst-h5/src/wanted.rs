//! Which rows and columns of a stored matrix are read.

use std::ops::Range;

/// Marks a stored column that is left out.
pub(crate) const LEFT_OUT: u32 = u32::MAX;

/// A part of a matrix: a range of rows and, for each stored column, where it goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) rows: Range<usize>,
    /// For each stored column its place in what is read, or [`LEFT_OUT`]; two columns of one place are added up.
    /// Nothing: all columns as they are.
    pub(crate) places: Option<Vec<u32>>,
}

impl Wanted {
    pub(crate) fn everything(rows: usize) -> Self {
        Self { rows: 0..rows, places: None }
    }

    /// Where a stored column goes, if it is wanted.
    pub(crate) fn place(&self, column: u32) -> Option<u32> {
        match &self.places {
            None => Some(column),
            Some(places) => places.get(column as usize).copied().filter(|&p| p != LEFT_OUT),
        }
    }
}
