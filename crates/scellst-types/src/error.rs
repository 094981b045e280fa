/// A value that is no length, resolution or rectangle.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Micrometres per pixel must be finite and above zero.
    #[error("micrometres per pixel must be positive and finite, found {x} x {y}")]
    Resolution {
        /// Along x, um/px.
        x: f64,
        /// Along y, um/px.
        y: f64,
    },
    /// A rectangle's corners must be finite and in order.
    #[error("not a rectangle: from ({x0}, {y0}) to ({x1}, {y1})")]
    Rectangle {
        /// Left edge.
        x0: f64,
        /// Upper edge.
        y0: f64,
        /// Right edge.
        x1: f64,
        /// Lower edge.
        y1: f64,
    },
}
