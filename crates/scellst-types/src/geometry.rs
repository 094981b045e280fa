use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use crate::UnitError;

/// A coordinate system of a slide; sealed, since its units are part of what the crates agree on.
pub trait Space: sealed::Sealed + Copy + Send + Sync + 'static {
    /// The unit, for messages: `px` or `um`.
    const UNIT: &'static str;
}

/// Pixels of a slide's finest level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level0;

/// Micrometres on the slide, from the same corner as [`Level0`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Micron;

impl Space for Level0 {
    const UNIT: &'static str = "px";
}
impl Space for Micron {
    const UNIT: &'static str = "um";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Level0 {}
    impl Sealed for super::Micron {}
}

/// A place in the space `S`.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Point<S: Space> {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
    #[serde(skip)]
    space: PhantomData<S>,
}

impl<S: Space> Point<S> {
    /// The point `(x, y)`.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y, space: PhantomData }
    }

    /// Euclidean distance, in the unit of the space.
    pub fn distance(self, other: Self) -> f64 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Whether both coordinates are finite.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

impl<S: Space> fmt::Debug for Point<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}) {}", self.x, self.y, S::UNIT)
    }
}

impl<S: Space> Add for Point<S> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl<S: Space> Sub for Point<S> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

/// A half-open rectangle `[min, max)` in the space `S`; may be empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect<S: Space> {
    min: Point<S>,
    max: Point<S>,
}

impl<S: Space> Rect<S> {
    /// The rectangle between two corners.
    ///
    /// # Errors
    /// [`UnitError::Rectangle`] if a coordinate is not finite or `max` lies before `min`.
    pub fn new(min: Point<S>, max: Point<S>) -> Result<Self, UnitError> {
        if min.is_finite() && max.is_finite() && min.x <= max.x && min.y <= max.y {
            Ok(Self { min, max })
        } else {
            Err(UnitError::Rectangle { x0: min.x, y0: min.y, x1: max.x, y1: max.y })
        }
    }

    /// The square of the given side around a centre.
    ///
    /// # Errors
    /// [`UnitError::Rectangle`] if the side is negative or anything is not finite.
    pub fn centred(centre: Point<S>, side: f64) -> Result<Self, UnitError> {
        let half = Point::new(side / 2.0, side / 2.0);
        Self::new(centre - half, centre + half)
    }

    /// Upper left corner, inside unless the rectangle is empty.
    pub fn min(&self) -> Point<S> {
        self.min
    }

    /// Lower right corner, outside.
    pub fn max(&self) -> Point<S> {
        self.max
    }

    /// Extent along x.
    pub fn width(&self) -> f64 {
        self.max.x - self.min.x
    }

    /// Extent along y.
    pub fn height(&self) -> f64 {
        self.max.y - self.min.y
    }

    /// Whether the point lies inside, the lower and right edges excluded.
    pub fn contains(&self, p: Point<S>) -> bool {
        (self.min.x..self.max.x).contains(&p.x) && (self.min.y..self.max.y).contains(&p.y)
    }

    /// What two rectangles share, if anything.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let min = Point::new(self.min.x.max(other.min.x), self.min.y.max(other.min.y));
        let max = Point::new(self.max.x.min(other.max.x), self.max.y.min(other.max.y));
        (min.x < max.x && min.y < max.y).then_some(Self { min, max })
    }
}

/// Width and height of an image in its own pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// `width` columns by `height` rows.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rectangles_refuse_disorder_and_nan() {
        let at = |x, y| Point::<Level0>::new(x, y);
        assert!(Rect::new(at(0.0, 0.0), at(1.0, -1.0)).is_err());
        assert!(Rect::new(at(f64::NAN, 0.0), at(1.0, 1.0)).is_err());
        assert!(Rect::centred(at(0.0, 0.0), -1.0).is_err());
        assert!(Rect::new(at(2.0, 2.0), at(2.0, 2.0)).is_ok());
    }

    #[test]
    fn half_open() {
        let r = Rect::new(Point::<Level0>::new(0.0, 0.0), Point::new(2.0, 2.0)).unwrap();
        assert!(r.contains(Point::new(0.0, 0.0)));
        assert!(!r.contains(Point::new(2.0, 1.0)));
    }

    proptest! {
        #[test]
        fn a_shared_rectangle_lies_in_both(a in 0.0..50.0f64, b in 0.0..50.0f64, w in 1.0..50.0f64, v in 1.0..50.0f64) {
            let r = |x: f64, w: f64| Rect::<Micron>::new(Point::new(x, x), Point::new(x + w, x + w)).unwrap();
            let (p, q) = (r(a, w), r(b, v));
            prop_assert_eq!(p.intersection(&q), q.intersection(&p));
            if let Some(s) = p.intersection(&q) {
                prop_assert!(p.contains(s.min()) && q.contains(s.min()));
                prop_assert!(s.width() <= p.width() && s.width() <= q.width());
            }
        }
    }
}
