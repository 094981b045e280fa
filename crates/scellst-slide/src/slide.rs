use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use scellst_types::{LevelIndex, MicronsPerPixel, Size};

use crate::associated::make_names_unique;
use crate::cache::PieceCache;
use crate::reader::Reader;
use crate::source::Source;
use crate::{
    AssociatedImage, Format, Level, LevelRegion, Limits, Mpp, MppDoubt, MppEvidence, MppSource, OpenOptions,
    SlideError, doubt, open, region, thumbnail,
};

/// A whole-slide image: a pyramid of levels, read by regions.
///
/// Clones share the open file and the cache; all methods may be called from many threads.
#[derive(Clone)]
pub struct Slide {
    inner: Arc<Inner>,
}

struct Inner {
    path: std::path::PathBuf,
    limits: Limits,
    reader: Box<dyn Reader>,
    about: About,
    cache: PieceCache,
}

/// What a format's reader says of the file besides its levels.
pub(crate) struct About {
    pub(crate) format: Format,
    /// Every plausible statement of the resolution, the most trusted first.
    pub(crate) mpp: Vec<Mpp>,
    pub(crate) objective_power: Option<f64>,
    pub(crate) associated: Vec<AssociatedImage>,
}

impl std::fmt::Debug for Slide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slide({}, {}, {} px)", self.path().display(), self.format(), self.size())
    }
}

impl Slide {
    /// Opens a slide with the default [`OpenOptions`]. The format is found by the file's content;
    /// its directory is read and checked, its pixels are not. A DICOM slide is given by its folder or
    /// by any one of its files.
    ///
    /// # Errors
    /// [`SlideError::Io`], [`SlideError::Broken`], [`SlideError::Unsupported`] or
    /// [`SlideError::OverLimit`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SlideError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens a slide.
    ///
    /// # Errors
    /// As [`Slide::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, SlideError> {
        let path = path.as_ref();
        Ok(Self::of_reader(path, open::path(path, options)?, options))
    }

    /// Opens a slide whose file is in memory: one that came over a network or out of an archive.
    /// Messages name it `name`.
    ///
    /// # Errors
    /// As [`Slide::open`].
    pub fn from_bytes(
        name: impl AsRef<Path>,
        bytes: impl Into<Arc<[u8]>>,
        options: &OpenOptions,
    ) -> Result<Self, SlideError> {
        let name = name.as_ref();
        let opened = open::source(Source::memory(name, bytes.into()), options)?;
        Ok(Self::of_reader(name, opened, options))
    }

    fn of_reader(path: &Path, (reader, mut about): (Box<dyn Reader>, About), options: &OpenOptions) -> Self {
        make_names_unique(&mut about.associated);
        if let Some(value) = options.mpp {
            about.mpp.insert(0, Mpp { value, source: MppSource::Caller });
        }
        let inner = Inner {
            path: path.to_owned(),
            limits: options.limits.clone(),
            reader,
            about,
            cache: PieceCache::new(options.cache_bytes),
        };
        let slide = Self { inner: Arc::new(inner) };
        for doubt in slide.mpp_doubts() {
            log::warn!("{}: {doubt}", path.display());
        }
        slide
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.inner.about.format
    }

    /// Width and height of level 0, px.
    pub fn size(&self) -> Size {
        self.inner.reader.levels().first().map_or(Size::new(0, 0), |level| level.size)
    }

    /// Resolution of level 0 and where it comes from: the most trusted of [`Slide::mpp_statements`];
    /// `None` where there is none.
    ///
    /// It is not checked against the others, see [`Slide::require_mpp`].
    pub fn mpp(&self) -> Option<Mpp> {
        self.mpp_statements().first().copied()
    }

    /// Everything that the caller and the file say of the resolution of level 0, the most trusted
    /// first. What is not between 0.02 and 20 um/px is left out: a photograph's 72 dpi is no
    /// resolution on the glass.
    pub fn mpp_statements(&self) -> &[Mpp] {
        &self.inner.about.mpp
    }

    /// What speaks against [`Slide::mpp`]: other statements that differ by over 5 % along x or y, and
    /// an objective whose usual 10 / power um/px is off by a factor of over 1.6. Each is also logged as
    /// a warning when the slide is opened.
    pub fn mpp_doubts(&self) -> Vec<MppDoubt> {
        doubt::doubts(self.mpp_statements(), self.objective_power())
    }

    /// Resolution of level 0, um/px.
    ///
    /// # Errors
    /// [`SlideError::NoMpp`] where there is none; [`SlideError::MppConflict`] where the file gives two
    /// that differ by over 5 % and the caller gave none ([`OpenOptions::mpp`]).
    pub fn require_mpp(&self) -> Result<MicronsPerPixel, SlideError> {
        let mpp = self.mpp().ok_or_else(|| SlideError::NoMpp { path: self.path().to_owned() })?;
        match self.mpp_doubts().into_iter().find(MppDoubt::is_fatal) {
            Some(doubt) => Err(self.conflict(doubt)),
            None => Ok(mpp.value),
        }
    }

    /// Checks the resolution by an array of spots that lies on the slide: `px` is the distance of
    /// neighbouring spots in level-0 pixels, `um` what it is on the array (100 um on Visium, 200 um on
    /// legacy arrays). The most common mistakes, coordinates of another image or another level's mpp,
    /// are off by a factor of two and more.
    ///
    /// # Errors
    /// [`SlideError::NoMpp`]; [`SlideError::MppConflict`] where they differ by over a quarter.
    pub fn check_spot_pitch(&self, px: f64, um: f64) -> Result<(), SlideError> {
        let used = self.mpp().ok_or_else(|| SlideError::NoMpp { path: self.path().to_owned() })?;
        match MppDoubt::between(used, MppEvidence::SpotPitch { px, um }) {
            Some(doubt) => Err(self.conflict(doubt)),
            None => Ok(()),
        }
    }

    fn conflict(&self, doubt: MppDoubt) -> SlideError {
        SlideError::MppConflict { path: self.path().to_owned(), doubt: Box::new(doubt) }
    }

    /// Magnification of the objective (20 for 20x), where the file gives it.
    pub fn objective_power(&self) -> Option<f64> {
        self.inner.about.objective_power
    }

    /// Images beside the pyramid: their names and sizes. Their pixels are read by
    /// [`Slide::read_associated`] and by nothing else.
    pub fn associated(&self) -> &[AssociatedImage] {
        &self.inner.about.associated
    }

    /// Reads an associated image by its name, 8-bit RGB.
    ///
    /// A label may carry a patient's name, and so may a macro picture, which shows it: see
    /// [`OpenOptions::without_label`].
    ///
    /// # Errors
    /// [`SlideError::Misuse`] where there is none of that name; otherwise as [`Slide::read`].
    pub fn read_associated(&self, name: &str) -> Result<RgbImage, SlideError> {
        let all = self.associated();
        let index = all.iter().position(|image| image.name == name).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|image| image.name.as_str()).collect();
            let expected = if names.is_empty() { "a slide that has some".to_owned() } else { names.join(", ") };
            SlideError::misuse("associated image", expected, name)
        })?;
        self.inner.reader.associated(index)
    }

    /// Names of the image's channels where the file gives them (OME-TIFF), in the order of the file;
    /// pixels are read as RGB whatever they are.
    pub fn channels(&self) -> &[String] {
        self.inner.reader.channels()
    }

    /// Number of levels, at least 1.
    pub fn level_count(&self) -> usize {
        self.inner.reader.levels().len()
    }

    /// A level by its index.
    ///
    /// # Errors
    /// [`SlideError::Misuse`] where there is no such level.
    pub fn level(&self, index: LevelIndex) -> Result<Level<'_>, SlideError> {
        self.levels()
            .nth(index.get())
            .ok_or_else(|| SlideError::misuse("level", format!("0 to {}", self.level_count() - 1), index.to_string()))
    }

    /// All levels, the finest first.
    pub fn levels(&self) -> impl Iterator<Item = Level<'_>> {
        let infos = self.inner.reader.levels().iter();
        (0..).zip(infos).map(|(i, info)| Level { slide: self, index: LevelIndex(i), info })
    }

    /// The coarsest level that is no coarser than wanted: whose downsampling is at most `downsample`
    /// (1 % more is let pass: halving 9911 rows gives 2.0002). Level 0 if there is none.
    pub fn level_for_downsample(&self, downsample: f64) -> Level<'_> {
        let infos = self.inner.reader.levels();
        let level0 = Level { slide: self, index: LevelIndex(0), info: &infos[0] };
        self.levels().filter(|level| level.downsample() <= downsample * 1.01).last().unwrap_or(level0)
    }

    /// Reads a region, 8-bit RGB; what lies outside of the slide is white (255). Tiles that are
    /// missing from a sparse TIFF are white too. Decoded tiles go through the cache, unless the
    /// region is larger than it.
    ///
    /// # Errors
    /// [`SlideError::Misuse`] for a region of another slide, [`SlideError::OverLimit`] for a region
    /// of more than [`Limits::max_image_bytes`], and what decoding finds wrong.
    pub fn read(&self, region: &LevelRegion) -> Result<RgbImage, SlideError> {
        region::read(self, region, true)
    }

    /// As [`Slide::read`] past the cache: for going once through all of [`Level::tiles`].
    ///
    /// # Errors
    /// As [`Slide::read`].
    pub fn read_uncached(&self, region: &LevelRegion) -> Result<RgbImage, SlideError> {
        region::read(self, region, false)
    }

    /// The whole slide as a picture whose longer side has at most `max_side` pixels, and how many
    /// level-0 pixels one of its pixels covers (at least 1). The slide is gone through tile by tile:
    /// memory is that of a picture of up to twice that side and of the tiles in flight.
    ///
    /// # Errors
    /// [`SlideError::Misuse`] if `max_side` is 0; otherwise as [`Slide::read`].
    pub fn thumbnail(&self, max_side: u32) -> Result<(RgbImage, f64), SlideError> {
        thumbnail::thumbnail(self, max_side)
    }

    pub(crate) fn reader(&self) -> &dyn Reader {
        &*self.inner.reader
    }

    pub(crate) fn cache(&self) -> &PieceCache {
        &self.inner.cache
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }
}
