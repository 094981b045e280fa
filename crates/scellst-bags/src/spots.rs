use scellst_types::{Micron, Point, SpotShape};

use crate::bags::fits_u32;
use crate::grid::check_finite;
use crate::{BagsError, PointGrid};

/// The areas of a section's spots, sorted to find those that hold a place.
///
/// Rims belong to the spot. The size is half the extent: a disc's radius, half of a square's side, um.
///
/// ```
/// use scellst_bags::{SpotAreas, assign_to};
/// use scellst_types::Point;
///
/// // Two bins of 8 um side by side.
/// let bins = [Point::new(4.0, 4.0), Point::new(12.0, 4.0)];
/// let cells = [Point::new(7.9, 0.1), Point::new(8.1, 7.0)];
/// let (bags, _) = assign_to(&cells, &SpotAreas::squares(&bins, 8.0)?)?;
/// assert_eq!(bags.iter().collect::<Vec<_>>(), [(0, &[0][..]), (1, &[1][..])]);
/// # Ok::<(), scellst_bags::BagsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SpotAreas<'a> {
    centres: &'a [Point<Micron>],
    shape: SpotShape,
    halves: Halves<'a>,
    /// Cosine and sine of the squares' angle.
    turn: (f64, f64),
    /// Spots of like size together, so that a large one does not slow down the search for small ones.
    classes: Vec<Class>,
}

#[derive(Debug, Clone, Copy)]
enum Halves<'a> {
    One(f64),
    Each(&'a [f64]),
}

#[derive(Debug, Clone)]
struct Class {
    grid: PointGrid,
    /// Half the extent of the largest spot, um.
    largest: f64,
    /// How far the class's largest spot reaches along an axis, um.
    reach: f64,
}

/// Sizes that a spot may have (half the extent, um).
const SIZES: (f64, f64) = (1e-3, 1e7);
/// Within a class the largest spot is less than 2 to this power times the smallest.
const CLASS_LOG2: i32 = 2;

impl<'a> SpotAreas<'a> {
    /// Discs of one diameter, um.
    ///
    /// # Errors
    /// [`BagsError::Empty`] without spots, [`BagsError::NotFinite`], [`BagsError::Setting`] for a size that is not 0.002
    /// to 20,000,000 um, [`BagsError::TooMany`].
    pub fn discs(centres: &'a [Point<Micron>], diameter_um: f64) -> Result<Self, BagsError> {
        Self::new(centres, SpotShape::Disc, Halves::One(diameter_um / 2.0))
    }

    /// Squares along the axes, of one side, um.
    ///
    /// # Errors
    /// As [`SpotAreas::discs`].
    pub fn squares(centres: &'a [Point<Micron>], side_um: f64) -> Result<Self, BagsError> {
        Self::new(centres, SpotShape::Square, Halves::One(side_um / 2.0))
    }

    /// Spots of their own sizes each: radii of discs, or half the sides of squares, um.
    ///
    /// # Errors
    /// As [`SpotAreas::discs`], and [`BagsError::Lengths`] for another number of sizes.
    pub fn of_sizes(centres: &'a [Point<Micron>], shape: SpotShape, halves_um: &'a [f64]) -> Result<Self, BagsError> {
        if halves_um.len() != centres.len() {
            return Err(BagsError::Lengths { what: "sizes of spots", expected: centres.len(), found: halves_um.len() });
        }
        Self::new(centres, shape, Halves::Each(halves_um))
    }

    fn new(centres: &'a [Point<Micron>], shape: SpotShape, halves: Halves<'a>) -> Result<Self, BagsError> {
        if centres.is_empty() {
            return Err(BagsError::Empty { what: "spots" });
        }
        fits_u32("spots", centres.len())?;
        check_finite("spot", centres)?;
        let sizes = match halves {
            Halves::One(ref half) => std::slice::from_ref(half),
            Halves::Each(halves) => halves,
        };
        if let Some(spot) = sizes.iter().position(|half| !(SIZES.0..=SIZES.1).contains(half)) {
            return Err(BagsError::Setting {
                setting: "size of a spot (half its extent, um)",
                expected: "0.001 to 10,000,000",
                found: match halves {
                    Halves::One(half) => half.to_string(),
                    Halves::Each(halves) => format!("{} at spot {spot}", halves[spot]),
                },
            });
        }
        let mut areas = Self { centres, shape, halves, turn: (1.0, 0.0), classes: Vec::new() };
        areas.classes = areas.classes()?;
        Ok(areas)
    }

    /// Squares turned by an angle, radians from the x axis towards the y axis (clockwise in a picture): bins of
    /// Visium HD lie a little askew on the slide. Discs do not mind.
    ///
    /// # Errors
    /// [`BagsError::Setting`] if the angle is not finite.
    pub fn turned(mut self, radians: f64) -> Result<Self, BagsError> {
        if !radians.is_finite() {
            let found = radians.to_string();
            return Err(BagsError::Setting { setting: "angle of the squares", expected: "finite", found });
        }
        self.turn = (radians.cos(), radians.sin());
        let reaches: Vec<f64> = self.classes.iter().map(|class| self.reach(class.largest)).collect();
        self.classes.iter_mut().zip(reaches).for_each(|(class, reach)| class.reach = reach);
        Ok(self)
    }

    fn classes(&self) -> Result<Vec<Class>, BagsError> {
        // Buckets as large as a spot: a place has at most four to look at.
        let class = |largest: f64, grid| Class { grid, largest, reach: self.reach(largest) };
        let halves = match self.halves {
            Halves::One(half) => return Ok(vec![class(half, PointGrid::new(self.centres, 2.0 * half)?)]),
            Halves::Each(halves) => halves,
        };
        let mut members = std::collections::BTreeMap::<i32, Vec<u32>>::new();
        for (spot, half) in (0..).zip(halves) {
            members.entry((half.log2() / f64::from(CLASS_LOG2)).floor() as i32).or_default().push(spot);
        }
        let build = |spots: Vec<u32>| {
            let largest = spots.iter().map(|&s| halves[s as usize]).fold(0.0, f64::max);
            let centres: Vec<_> = spots.iter().map(|&s| self.centres[s as usize]).collect();
            Ok(class(largest, PointGrid::new(&centres, 2.0 * largest)?.renamed(&spots)))
        };
        members.into_values().map(build).collect()
    }

    /// How far a spot of half this extent reaches along the axes of the slide, and a little further for rounding.
    fn reach(&self, half: f64) -> f64 {
        let (cos, sin) = self.turn;
        let share = match self.shape {
            SpotShape::Disc => 1.0,
            SpotShape::Square => cos.abs() + sin.abs(),
        };
        half * share * (1.0 + 1e-9) + 1e-6
    }

    /// Number of spots.
    pub fn len(&self) -> usize {
        self.centres.len()
    }

    /// Whether there is none; never, by construction.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// Centres, um.
    pub fn centres(&self) -> &'a [Point<Micron>] {
        self.centres
    }

    /// What spots cover.
    pub fn shape(&self) -> SpotShape {
        self.shape
    }

    /// A disc's radius or half of a square's side, um.
    ///
    /// # Panics
    /// If there is no such spot.
    pub fn half_um(&self, spot: usize) -> f64 {
        match self.halves {
            Halves::One(half) => half,
            Halves::Each(halves) => halves[spot],
        }
    }

    /// Half the extent of the largest spot, um.
    pub fn largest_half_um(&self) -> f64 {
        match self.halves {
            Halves::One(half) => half,
            Halves::Each(halves) => halves.iter().copied().fold(0.0, f64::max),
        }
    }

    /// The spot that holds a place, the nearest centre's of several and of those the first; and whether there were
    /// several.
    pub fn spot_at(&self, place: Point<Micron>) -> Option<(u32, bool)> {
        let mut best = (f64::INFINITY, u32::MAX);
        let mut spots = 0_u32;
        for class in &self.classes {
            class.grid.for_each_near(place, class.reach, |spot, centre| {
                let (dx, dy) = (place.x - centre.x, place.y - centre.y);
                let squared = dx * dx + dy * dy;
                let half = self.half_um(spot as usize);
                let inside = match self.shape {
                    SpotShape::Disc => squared <= half * half,
                    SpotShape::Square => {
                        let (x, y) = self.turned_back(dx, dy);
                        x.abs() <= half && y.abs() <= half
                    }
                };
                if inside {
                    spots += 1;
                    if (squared, spot) < best {
                        best = (squared, spot);
                    }
                }
            });
        }
        (spots > 0).then_some((best.1, spots > 1))
    }

    /// An offset from a centre, along the axes of the squares.
    pub(crate) fn turned_back(&self, dx: f64, dy: f64) -> (f64, f64) {
        let (cos, sin) = self.turn;
        (cos * dx + sin * dy, cos * dy - sin * dx)
    }
}
