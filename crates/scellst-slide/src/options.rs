use scellst_types::MicronsPerPixel;

/// How much memory and work a file may ask for, whatever its header says.
///
/// The defaults read every ordinary slide; they bound what a hostile file can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one decoded image: a region that is read at once, or a plain JPEG or PNG, which is
    /// held in memory whole (3 bytes a pixel). Default 2^30, about 18,900 x 18,900 px.
    pub max_image_bytes: u64,
    /// Bytes of one tile or strip, both as stored and decoded. Default 2^27 (128 MiB).
    pub max_tile_bytes: u64,
    /// TIFF directories (pages and their sub-images), and instances of a DICOM slide. Default 1024.
    pub max_directories: u32,
    /// Files of a folder that are looked into for the instances of a DICOM slide. Default 4096.
    pub max_files: u32,
    /// Bytes that the values of all TIFF tags together take in memory, lists of tile offsets
    /// included (16 bytes a tile); and bytes of headers that are read of all of a DICOM slide's
    /// instances. Default 2^26 (64 MiB).
    pub max_tag_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_image_bytes: 1 << 30,
            max_tile_bytes: 1 << 27,
            max_directories: 1024,
            max_files: 4096,
            max_tag_bytes: 1 << 26,
        }
    }
}

/// How to open a slide.
///
/// ```
/// use scellst_slide::OpenOptions;
/// use scellst_types::MicronsPerPixel;
///
/// let options = OpenOptions { mpp: Some(MicronsPerPixel::square(0.25)?), ..OpenOptions::default() };
/// # Ok::<(), scellst_types::UnitError>(())
/// ```
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// What the file may ask for.
    pub limits: Limits,
    /// The resolution of level 0, um/px, in place of whatever the file says.
    pub mpp: Option<MicronsPerPixel>,
    /// Bytes of decoded tiles that [`Slide::read`](crate::Slide::read) keeps for later reads, shared
    /// by all threads and clones. 0 keeps none. Default 2^27 (128 MiB).
    pub cache_bytes: usize,
    /// Opens the slide as though it had no label, no macro picture (which shows the label) and no
    /// associated image of unknown content: they are neither listed nor can they be read, so that
    /// nothing done with the slide can leak what is written on the glass. Default false.
    pub without_label: bool,
    /// When the OpenSlide library reads the slide. Default [`UseOpenSlide::Fallback`].
    #[cfg(feature = "openslide")]
    pub openslide: UseOpenSlide,
}

/// When a slide is read by the system's OpenSlide library (feature `openslide`).
#[cfg(feature = "openslide")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UseOpenSlide {
    /// Never.
    Never,
    /// Where this crate has no reader for it.
    #[default]
    Fallback,
    /// For every slide.
    Always,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            mpp: None,
            cache_bytes: 1 << 27,
            without_label: false,
            #[cfg(feature = "openslide")]
            openslide: UseOpenSlide::default(),
        }
    }
}
