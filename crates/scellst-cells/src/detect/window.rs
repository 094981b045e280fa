use std::ops::Range;

/// A rectangle of pixels of the grid.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Window {
    pub(crate) x: Range<usize>,
    pub(crate) y: Range<usize>,
}

impl Window {
    pub(crate) fn width(&self) -> usize {
        self.x.len()
    }

    pub(crate) fn height(&self) -> usize {
        self.y.len()
    }

    pub(crate) fn area(&self) -> usize {
        self.x.len() * self.y.len()
    }

    /// Grown by `margin` pixels on every side, within a grid of `size` columns and rows.
    pub(crate) fn grown(&self, margin: usize, size: (usize, usize)) -> Self {
        let grow = |r: &Range<usize>, n: usize| r.start.saturating_sub(margin)..(r.end + margin).min(n);
        Self { x: grow(&self.x, size.0), y: grow(&self.y, size.1) }
    }

    /// The part that lies in another.
    pub(crate) fn within(&self, other: &Self) -> Self {
        let cut = |a: &Range<usize>, b: &Range<usize>| a.start.max(b.start)..a.end.min(b.end);
        Self { x: cut(&self.x, &other.x), y: cut(&self.y, &other.y) }
    }
}
