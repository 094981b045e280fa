//! What of the tissue is fit for use.

mod focus;
mod fold;
mod pen;
mod picture;

use scellst_types::{Level0, Point};
use serde::{Deserialize, Serialize};

use crate::tissue::ground::count;
use crate::tissue::patches;
use crate::{Slide, SlideError, TissueConfig, TissueMask};

/// What counts as a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QcConfig {
    /// What counts as tissue.
    pub tissue: TissueConfig,
    /// Tissue more blurred than by a Gaussian of this sigma is flagged, um. At 1.25 um a nucleus of 6 um still shows,
    /// its chromatin no more. In-focus scans of a 20x objective are at 0.3 to 0.8 um.
    pub max_blur_um: f64,
    /// Smaller patches of blur are not flagged, um2, and smaller sharp gaps in them are.
    pub min_blurred_um2: f64,
    /// A fold is at least so many times as dense as three quarters of the tissue (sum of the three channels' optical
    /// densities above the glass, least over 36 um). Two layers are 2; keratin and crowded, strongly stained nuclei
    /// come near.
    pub fold_density: f32,
    /// Smaller folds are not flagged, um2.
    pub min_fold_um2: f64,
}

impl Default for QcConfig {
    fn default() -> Self {
        Self {
            tissue: TissueConfig::default(),
            max_blur_um: 1.25,
            min_blurred_um2: 20_000.0,
            fold_density: 2.0,
            min_fold_um2: 5_000.0,
        }
    }
}

/// What may be wrong with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QcFlag {
    /// Tissue out of focus.
    Blurred,
    /// Ink, on tissue or beside it.
    Pen,
    /// Tissue that lies double.
    Fold,
}

impl QcFlag {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Blurred, Self::Pen, Self::Fold];
}

/// What was found at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QcFlags {
    /// On tissue.
    pub tissue: bool,
    /// See [`QcFlag::Blurred`].
    pub blurred: bool,
    /// See [`QcFlag::Pen`].
    pub pen: bool,
    /// See [`QcFlag::Fold`].
    pub fold: bool,
}

impl QcFlags {
    /// Tissue without a fault.
    pub fn is_good(self) -> bool {
        self.tissue && !(self.blurred || self.pen || self.fold)
    }
}

/// A slide's quality in numbers; shares from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QcSummary {
    /// Of the slide.
    pub tissue_share: f64,
    /// Tissue, mm2.
    pub tissue_mm2: f64,
    /// Of the tissue; `None` where the focus could not be judged: the slide's pixels are larger than 2 um.
    pub blurred_share: Option<f64>,
    /// Of the tissue.
    pub pen_share: f64,
    /// Of the tissue.
    pub fold_share: f64,
    /// Of the tissue: without any fault.
    pub good_share: f64,
    /// Median blur of the tissue as the sigma of a Gaussian, um; `None` where it could not be judged.
    pub blur_um: Option<f64>,
    /// Colour of the glass, 8-bit RGB; `None` where none shows.
    pub glass_colour: Option<[u8; 3]>,
}

/// Tissue and its faults as masks of about 12 um a pixel.
///
/// Ink and folds are found on a thumbnail; focus on pixels of 0.7 to 2 um, for which the tiles with tissue are read once.
/// The result does not depend on the number of threads; memory is that of [`TissueMask::of_slide`] and of the tiles in
/// flight (64 MiB).
///
/// ```no_run
/// use scellst_slide::{QcConfig, QcFlag, Slide, SlideQc};
///
/// let slide = Slide::open("slide.svs")?;
/// let qc = SlideQc::of_slide(&slide, &QcConfig::default())?;
/// println!("{:?} of the tissue are out of focus", qc.share_of_tissue(QcFlag::Blurred));
/// qc.picture(&slide, 1200)?.save("qc.png")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// When not to use it: for stains other than H&E (pen and fold know its colours), and for homogeneous matter (colloid,
/// mucus) without any detail, which cannot be told from tissue far out of focus.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideQc {
    tissue: TissueMask,
    blurred: TissueMask,
    pen: TissueMask,
    fold: TissueMask,
    /// Side of a pixel of the masks, um.
    pixel_um: f64,
    /// Median blur; `None` where it could not be judged.
    blur_um: Option<f64>,
    focus_judged: bool,
}

impl SlideQc {
    /// Looks a slide over.
    ///
    /// # Errors
    /// [`SlideError::NoMpp`] if the slide has no resolution, and what reading it finds wrong.
    pub fn of_slide(slide: &Slide, config: &QcConfig) -> Result<Self, SlideError> {
        let ground = TissueMask::ground(slide, &config.tissue)?;
        let found = TissueMask::from_ground(&ground, &config.tissue);
        let size = ground.size;
        let ink = pen::pen(&ground);
        let tissue = found.with_mask(pen::without_strokes(&found, &found.with_mask(ink.clone())));
        let fold = fold::fold(&ground, &tissue, &ink, config);

        let blur = focus::blur(slide, &tissue)?;
        let mut blurred: Vec<bool> = match &blur {
            // NaN, where there is no tissue, is not above.
            Some(sigma) => sigma.iter().map(|&s| f64::from(s) > config.max_blur_um).collect(),
            None => vec![false; ink.len()],
        };
        let least = ground.pixels(config.min_blurred_um2);
        patches::flip(&mut blurred, size, true, |patch| patch.len() < least);
        if blurred.contains(&true) {
            patches::flip(&mut blurred, size, false, |gap| {
                gap.len() < least && gap.iter().all(|&at| tissue.as_slice()[at])
            });
        }
        let mut known: Vec<f32> = blur.iter().flatten().copied().filter(|s| !s.is_nan()).collect();
        let middle = known.len() / 2;
        let blur_um = (!known.is_empty()).then(|| f64::from(*known.select_nth_unstable_by(middle, f32::total_cmp).1));
        Ok(Self {
            blurred: tissue.with_mask(blurred),
            pen: tissue.with_mask(ink),
            fold: tissue.with_mask(fold),
            tissue,
            pixel_um: ground.pixel_um,
            blur_um,
            focus_judged: blur.is_some(),
        })
    }

    /// Where the tissue is. Under ink, which is as dark as tissue, it is taken to be where it is beside the ink.
    pub fn tissue(&self) -> &TissueMask {
        &self.tissue
    }

    /// Where a fault is: [`TissueMask`] as a mask of any kind. Blur and folds are on tissue, ink may be beside it.
    pub fn mask(&self, flag: QcFlag) -> &TissueMask {
        match flag {
            QcFlag::Blurred => &self.blurred,
            QcFlag::Pen => &self.pen,
            QcFlag::Fold => &self.fold,
        }
    }

    /// What was found at a place; nothing outside of the slide.
    pub fn flags_at(&self, p: Point<Level0>) -> QcFlags {
        QcFlags {
            tissue: self.tissue.contains(p),
            blurred: self.blurred.contains(p),
            pen: self.pen.contains(p),
            fold: self.fold.contains(p),
        }
    }

    /// The share of the tissue that has a fault, 0 to 1; `None` for blur where the slide's pixels are too large to judge
    /// it. 0 where there is no tissue.
    pub fn share_of_tissue(&self, flag: QcFlag) -> Option<f64> {
        (flag != QcFlag::Blurred || self.focus_judged).then(|| self.share(|at| self.mask(flag).as_slice()[at]))
    }

    /// Colour of the glass: see [`TissueMask::glass_colour`].
    pub fn glass_colour(&self) -> Option<[u8; 3]> {
        self.tissue.glass_colour()
    }

    /// All in numbers.
    pub fn summary(&self) -> QcSummary {
        let faults = QcFlag::ALL.map(|flag| self.mask(flag).as_slice());
        QcSummary {
            tissue_share: self.tissue.area_share(),
            tissue_mm2: count(self.tissue.as_slice()) as f64 * self.pixel_um.powi(2) / 1e6,
            blurred_share: self.share_of_tissue(QcFlag::Blurred),
            pen_share: self.share(|at| self.pen.as_slice()[at]),
            fold_share: self.share(|at| self.fold.as_slice()[at]),
            good_share: self.share(|at| !faults.iter().any(|fault| fault[at])),
            // No detail at all has no number.
            blur_um: self.blur_um.filter(|um| um.is_finite()),
            glass_colour: self.glass_colour(),
        }
    }

    fn share(&self, counts: impl Fn(usize) -> bool) -> f64 {
        let tissue = self.tissue.as_slice();
        let with = (0..tissue.len()).filter(|&at| tissue[at] && counts(at)).count();
        with as f64 / count(tissue).max(1) as f64
    }
}
