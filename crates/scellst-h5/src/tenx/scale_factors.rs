use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::H5Error;

const MAX_BYTES: u64 = 1 << 20;

/// `spatial/scalefactors_json.json` of Space Ranger: positive numbers, nothing where the file has none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct ScaleFactors {
    /// Diameter of a spot as Space Ranger draws it, or side of a bin, level-0 pixels. On Visium this is about 65 um
    /// (70 um after CytAssist), while the spot's probes cover 55 um.
    pub spot_diameter_fullres: Option<f64>,
    /// Diameter of a fiducial mark, level-0 pixels.
    pub fiducial_diameter_fullres: Option<f64>,
    /// Pixels of the hires image per level-0 pixel.
    pub tissue_hires_scalef: Option<f64>,
    /// Pixels of the lowres image per level-0 pixel.
    pub tissue_lowres_scalef: Option<f64>,
    /// Side of a bin of Visium HD, um.
    pub bin_size_um: Option<f64>,
    /// um per level-0 pixel, Visium HD only.
    pub microns_per_pixel: Option<f64>,
}

impl ScaleFactors {
    pub(crate) fn read(path: &Path) -> Result<Self, H5Error> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|e| H5Error::io(path, "open", e))?;
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(|e| H5Error::io(path, "read", e))?;
        let json: Value =
            serde_json::from_str(&text).map_err(|e| H5Error::broken(path, "/", format!("not JSON ({e})")))?;
        let number = |key: &str| match json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(n) if n.is_finite() && n > 0.0 => Ok(Some(n)),
                _ => Err(H5Error::broken(path, key, format!("a positive number was expected, found {value}"))),
            },
        };
        Ok(Self {
            spot_diameter_fullres: number("spot_diameter_fullres")?,
            fiducial_diameter_fullres: number("fiducial_diameter_fullres")?,
            tissue_hires_scalef: number("tissue_hires_scalef")?,
            tissue_lowres_scalef: number("tissue_lowres_scalef")?,
            bin_size_um: number("bin_size_um")?,
            microns_per_pixel: number("microns_per_pixel")?,
        })
    }
}
