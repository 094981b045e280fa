//! Whether what is known of a slide's resolution fits together.

use std::fmt;

use crate::{Mpp, MppSource};

/// Statements of the same resolution differ by rounding and by calibration: Aperio's description and
/// its tags by up to 2 % in practice. A unit or a level mistaken for another is off by far more.
const STATEMENTS: f64 = 1.05;

/// Cameras differ: at 20x scanners have 0.44 to 0.55 um/px. Some have finer pixels than that (MIRAX:
/// 0.24 at 20x), so that this is a reason to look and none to refuse.
const OBJECTIVE: f64 = 1.6;

/// Spots of legacy arrays lie askew by up to a tenth of the pitch (those of `her2st` come out 7 % too
/// near), and the mistakes that this is to find are off by two and more.
const PITCH: f64 = 1.25;

/// Something that speaks for another resolution than the one that is used.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum MppEvidence {
    /// Another statement.
    Statement(Mpp),
    /// The magnification of the objective, which is usually 10 / mpp.
    ObjectivePower(f64),
    /// The distance of neighbouring spots, as measured in level-0 pixels and as the array has it.
    SpotPitch {
        /// Level-0 pixels.
        px: f64,
        /// Micrometres.
        um: f64,
    },
}

impl MppEvidence {
    /// The um/px, x and y, that it speaks for.
    fn value(self) -> (f64, f64) {
        match self {
            Self::Statement(mpp) => (mpp.value.x(), mpp.value.y()),
            Self::ObjectivePower(power) => (10.0 / power, 10.0 / power),
            Self::SpotPitch { px, um } => (um / px, um / px),
        }
    }

    /// By what factor it may differ.
    fn tolerance(self) -> f64 {
        match self {
            Self::Statement(_) => STATEMENTS,
            Self::ObjectivePower(_) => OBJECTIVE,
            Self::SpotPitch { .. } => PITCH,
        }
    }
}

impl fmt::Display for MppEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (x, y) = self.value();
        match self {
            Self::Statement(mpp) => write!(f, "{x:.4} x {y:.4} ({})", mpp.source),
            Self::ObjectivePower(power) => write!(f, "about {x:.4} (objective of {power}x)"),
            Self::SpotPitch { px, um } => write!(f, "{x:.4} (spots {px:.1} px apart that should be {um} um apart)"),
        }
    }
}

/// Two things known of a slide's resolution that cannot both be true; see
/// [`Slide::mpp_doubts`](crate::Slide::mpp_doubts).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MppDoubt {
    /// What is used.
    pub used: Mpp,
    /// What speaks against it.
    pub against: MppEvidence,
}

impl MppDoubt {
    /// The doubt that evidence casts on a resolution, if it does.
    pub(crate) fn between(used: Mpp, against: MppEvidence) -> Option<Self> {
        let apart = |a: f64, b: f64| (a / b).max(b / a);
        let (x, y) = against.value();
        let factor = apart(used.value.x(), x).max(apart(used.value.y(), y));
        // A NaN is no agreement.
        let agrees = factor <= against.tolerance();
        (!agrees).then_some(Self { used, against })
    }

    /// Whether the slide cannot be used before somebody decides: the file contradicts itself, and it
    /// is not the caller who said what is used.
    pub(crate) fn is_fatal(&self) -> bool {
        self.used.source != MppSource::Caller && matches!(self.against, MppEvidence::Statement(_))
    }
}

impl fmt::Display for MppDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} um/px, but {}", MppEvidence::Statement(self.used), self.against)
    }
}

/// All doubts that statements (the most trusted, which is used, first) and objective cast.
pub(crate) fn doubts(statements: &[Mpp], objective_power: Option<f64>) -> Vec<MppDoubt> {
    let Some((&used, others)) = statements.split_first() else { return Vec::new() };
    let others = others.iter().map(|&other| MppEvidence::Statement(other));
    let power = objective_power.map(MppEvidence::ObjectivePower);
    others.chain(power).filter_map(|evidence| MppDoubt::between(used, evidence)).collect()
}

#[cfg(test)]
mod tests {
    use scellst_types::MicronsPerPixel;

    use super::*;

    fn mpp(x: f64, y: f64, source: MppSource) -> Mpp {
        Mpp { value: MicronsPerPixel::new(x, y).unwrap(), source }
    }

    #[test]
    fn statements_that_agree_and_that_do_not() {
        let used = mpp(0.25, 0.25, MppSource::AperioDescription);
        let close = mpp(0.252, 0.248, MppSource::ResolutionTags);
        let one_axis = mpp(0.25, 0.5, MppSource::ResolutionTags);
        assert_eq!(doubts(&[used, close], Some(40.0)), []);
        let found = doubts(&[used, close, one_axis], Some(20.0));
        assert_eq!(found.len(), 2);
        assert!(found[0].is_fatal() && !found[1].is_fatal());
        let text = found[0].to_string();
        assert_eq!(
            text,
            "0.2500 x 0.2500 (Aperio image description) um/px, but 0.2500 x 0.5000 (TIFF resolution tags)"
        );
        assert!(found[1].to_string().ends_with("about 0.5000 (objective of 20x)"));
        assert_eq!(doubts(&[], Some(40.0)), []);
    }

    #[test]
    fn the_caller_decides() {
        let said = mpp(0.5, 0.5, MppSource::Caller);
        let found = doubts(&[said, mpp(0.25, 0.25, MppSource::OmeXml)], None);
        assert!(found.len() == 1 && !found[0].is_fatal());
    }

    #[test]
    fn scanners_objectives() {
        for (value, power) in [(0.2253, 40.0), (0.2738, 40.0), (0.4415, 20.0), (0.5032, 20.0), (1.0, 10.0)] {
            assert_eq!(doubts(&[mpp(value, value, MppSource::OmeXml)], Some(power)), []);
        }
        let used = mpp(0.5, 0.5, MppSource::OmeXml);
        for power in [40.0, 0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(doubts(&[used], Some(power)).len(), 1, "{power}");
        }
    }
}
