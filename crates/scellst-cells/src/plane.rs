use image::RgbImage;
use scellst_slide::{Level, Slide};
use scellst_types::Size;

use crate::CellsError;

/// One image that is read by rectangles: a level of a slide, or a picture in memory.
pub(crate) trait Plane: Sync {
    /// Width and height, px.
    fn size(&self) -> Size;
    /// A rectangle that lies inside.
    fn read(&self, x: u32, y: u32, size: Size) -> Result<RgbImage, CellsError>;
}

pub(crate) struct LevelPlane<'a> {
    pub(crate) slide: &'a Slide,
    pub(crate) level: Level<'a>,
}

impl Plane for LevelPlane<'_> {
    fn size(&self) -> Size {
        self.level.size()
    }

    fn read(&self, x: u32, y: u32, size: Size) -> Result<RgbImage, CellsError> {
        Ok(self.slide.read(&self.level.region(i64::from(x), i64::from(y), size))?)
    }
}

impl Plane for RgbImage {
    fn size(&self) -> Size {
        Size::new(self.width(), self.height())
    }

    fn read(&self, x: u32, y: u32, size: Size) -> Result<RgbImage, CellsError> {
        Ok(image::imageops::crop_imm(self, x, y, size.width, size.height).to_image())
    }
}
