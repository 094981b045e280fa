/// What can be wrong with cells, spots and bags.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BagsError {
    /// No cell lies in any spot: nearly always two coordinate systems.
    #[error(
        "none of {cells} cells lies in any of {spots} spots of {diameter_um} um; cells lie within {cell_box} um, spots within {spot_box} um; likely a wrong mpp, x and y swapped, spot coordinates of another image level (hires instead of full resolution), or another slide's spots or cells"
    )]
    NoCellInAnySpot {
        /// How many cells.
        cells: usize,
        /// How many spots.
        spots: usize,
        /// Diameter (or side) of the largest spot, um.
        diameter_um: f64,
        /// Bounding box of the cells, um.
        cell_box: String,
        /// Bounding box of the spots' centres, um.
        spot_box: String,
    },
    /// Nothing to assign.
    #[error("there are no {what}; a bag needs both cells and spots")]
    Empty {
        /// `cells` or `spots`.
        what: &'static str,
    },
    /// A coordinate that is no number.
    #[error("{what} {index} lies at ({x}, {y}) um; coordinates must be finite and below 1e9")]
    NotFinite {
        /// `cell`, `spot` or `centre`.
        what: &'static str,
        /// Which one.
        index: usize,
        /// Its x, um.
        x: f64,
        /// Its y, um.
        y: f64,
    },
    /// A setting outside of its range.
    #[error("{setting} is {found}, but must be {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// Arrays that should be of one length.
    #[error("{found} {what}, expected {expected}")]
    Lengths {
        /// Of what.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A number that is none, or too large.
    #[error("{what} at row {row}, column {column} is {value}; it must be finite and below 1e15")]
    Value {
        /// Of what table.
        what: &'static str,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// What it is.
        value: f64,
    },
    /// A split that contradicts itself or its sections.
    #[error("broken split: {0}")]
    BrokenSplit(String),
    /// Test data that training has seen.
    #[error("training and test are not apart: {0}")]
    Leakage(String),
    /// Arrays that make no bags.
    #[error("broken bags: {0}")]
    BrokenBags(String),
    /// More than the index types hold.
    #[error("{found} {what} are too many, at most {most} fit; work in parts")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        most: usize,
    },
}
