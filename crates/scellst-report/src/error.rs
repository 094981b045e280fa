use std::path::PathBuf;

/// What can go wrong in drawing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A picture that cannot be written.
    #[error("cannot write the picture {}: {reason}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Lists that should be of one length.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Of what.
        what: &'static str,
        /// One a place.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The area to draw has nothing of the slide.
    #[error("the area to draw, {area}, has no part of the slide of {slide} pixels")]
    Outside {
        /// What was asked for.
        area: String,
        /// What there is.
        slide: String,
    },
    /// The slide cannot be read.
    #[error(transparent)]
    Slide(#[from] scellst_slide::SlideError),
}
