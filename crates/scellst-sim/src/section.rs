use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use ndarray::{Array2, ArrayView2};
use scellst_cells::{Cell, Cells};
use scellst_expr::{Expression, Spots};
use scellst_slide::{PyramidCompression, PyramidOptions, PyramidWriter};
use scellst_types::{MicronsPerPixel, Size};

use crate::ground::Ground;
use crate::nucleus::Nucleus;
use crate::paint::Painter;
use crate::programme::Programme;
use crate::{SimConfig, SimError, count, place};

/// Told how many rows of pixels are done, and of how many.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// A section of which everything is known.
///
/// Memory: the cells with their expected expression (4 bytes for each cell and gene) and counts; the picture is drawn
/// when it is asked for.
#[derive(Debug)]
pub struct SyntheticSection {
    config: SimConfig,
    mpp: MicronsPerPixel,
    ground: Ground,
    nuclei: Vec<Nucleus>,
    cells: Cells,
    programme: Programme,
    expected: Array2<f32>,
    cell_counts: Expression,
    spots: Spots,
    array: Vec<(u32, u32)>,
    members: Vec<Vec<u32>>,
    spot_counts: Expression,
}

/// What [`SyntheticSection::write`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The slide, a pyramidal TIFF.
    pub slide: PathBuf,
    /// The configuration, JSON: enough to make the section again.
    pub config: PathBuf,
}

impl SyntheticSection {
    /// Makes a section. The same configuration gives the same section, whatever the number of threads.
    ///
    /// # Errors
    /// [`SimError::Config`] and [`SimError::OverLimit`] as [`SimConfig::validate`] has them.
    pub fn generate(config: &SimConfig) -> Result<Self, SimError> {
        config.validate()?;
        let mpp = MicronsPerPixel::square(config.mpp).map_err(|e| SimError::config("mpp", "a resolution", e))?;
        let ground = Ground::new(config);
        let nuclei = place::place(config, &ground)?;
        let programme = Programme::new(config);
        let (expected, counts) = count::cells(config, &programme, &nuclei)?;
        let (centres, array) = count::array(config, &ground);
        let (members, sums) = count::spots(config, &centres, &nuclei, &counts)?;

        let mut cells = Cells::new();
        for nucleus in &nuclei {
            cells.push(Cell {
                outline: nucleus.outline(mpp),
                area_um2: nucleus.area_um2 as f32,
                class: Some(config.types[nucleus.cell_type].name.clone()),
                ..Cell::at(mpp.to_level0(nucleus.centre))
            })?;
        }
        let genes: Vec<String> = programme.genes().iter().map(|g| g.name.clone()).collect();
        let cell_names = (0..cells.len()).map(|i| cells.id(i)).collect();
        let spot_names = array.iter().map(|(row, column)| format!("spot_{row:03}x{column:03}")).collect();
        let centres = centres.into_iter().map(|c| mpp.to_level0(c)).collect();
        Ok(Self {
            config: config.clone(),
            mpp,
            ground,
            nuclei,
            cells,
            expected,
            cell_counts: Expression::new(counts, genes.clone(), cell_names)?,
            spots: Spots::new(centres, config.spots.diameter_um)?,
            array,
            members,
            spot_counts: Expression::new(sums, genes, spot_names)?,
            programme,
        })
    }

    /// What it was made from.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Resolution of level 0.
    pub fn mpp(&self) -> MicronsPerPixel {
        self.mpp
    }

    /// Size of level 0, px.
    pub fn size(&self) -> Size {
        let px = |um: f64| (um / self.config.mpp).round().max(1.0) as u32;
        Size::new(px(self.config.size_um.0), px(self.config.size_um.1))
    }

    /// The cells: centroid and outline in level-0 px, area, and the type's name as class.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The cells as they were drawn: type, region, size, shape and stain. In the order of [`SyntheticSection::cells`].
    pub fn nuclei(&self) -> &[Nucleus] {
        &self.nuclei
    }

    /// The genes and what decides each of them.
    pub fn programme(&self) -> &Programme {
        &self.programme
    }

    /// Expected counts of every cell at a typical library size, cells x genes: all that type, area and stain decide,
    /// without what nothing in the picture shows. No method can do better than to predict these.
    pub fn expected(&self) -> ArrayView2<'_, f32> {
        self.expected.view()
    }

    /// Counts of every cell: whole numbers, drawn around [`SyntheticSection::expected`].
    pub fn cell_counts(&self) -> &Expression {
        &self.cell_counts
    }

    /// The spots whose centre lies on tissue.
    pub fn spots(&self) -> &Spots {
        &self.spots
    }

    /// Row and column of each spot in the array; columns count half steps, as Visium's do.
    pub fn spot_array(&self) -> &[(u32, u32)] {
        &self.array
    }

    /// The cells of each spot, as rows of [`SyntheticSection::cells`]: those whose centroid lies in the disc.
    pub fn spot_cells(&self) -> &[Vec<u32>] {
        &self.members
    }

    /// Counts of every spot: the sums over its cells.
    pub fn spot_counts(&self) -> &Expression {
        &self.spot_counts
    }

    /// Draws pixels `[x, x + width) x [y, y + height)` of level 0, in the caller's rayon pool. Pixels beyond the slide
    /// are glass.
    ///
    /// # Errors
    /// [`SimError::OverLimit`] for more than 2^28 pixels.
    pub fn render(&self, x: u32, y: u32, size: Size) -> Result<RgbImage, SimError> {
        const MOST: u64 = 1 << 28;
        if size.pixels() > MOST {
            return Err(SimError::OverLimit { what: "pixels of a picture", limit: MOST, found: size.pixels() });
        }
        Ok(Painter::new(&self.config, &self.ground, &self.nuclei)?.draw(x, y, size.width, size.height))
    }

    /// Writes the slide as a pyramidal TIFF with its resolution, drawn one row of tiles at a time.
    ///
    /// # Errors
    /// [`SimError::Slide`] if it cannot be written; nothing is left behind then.
    pub fn write_slide(&self, path: impl AsRef<Path>, progress: Progress<'_>) -> Result<(), SimError> {
        let size = self.size();
        let painter = Painter::new(&self.config, &self.ground, &self.nuclei)?;
        let compression = match self.config.picture.jpeg_quality {
            Some(quality) => PyramidCompression::Jpeg { quality },
            None => PyramidCompression::Deflate,
        };
        let options = PyramidOptions { compression, mpp: Some(self.mpp), ..PyramidOptions::default() };
        let mut writer = PyramidWriter::create(path, size, &options)?;
        let total = u64::from(size.height);
        progress(0, total);
        while let Some(rows) = writer.next_rows() {
            writer.push_rows(&painter.draw(0, rows.start, size.width, rows.end - rows.start))?;
            progress(u64::from(rows.end), total);
        }
        Ok(writer.finish()?)
    }

    /// Writes `slide.tif` and `simulation.json` (the configuration) into a folder, which is made if it is not there.
    ///
    /// The truth is not written here, since its format is the caller's choice: see [`SyntheticSection::cells`],
    /// [`SyntheticSection::cell_counts`] and [`SyntheticSection::spot_counts`].
    ///
    /// # Errors
    /// [`SimError::Io`] and [`SimError::Slide`]; no half-written file is left behind.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<Written, SimError> {
        let folder = folder.as_ref();
        let io = |path: &Path, doing| {
            let path = path.to_owned();
            move |e: std::io::Error| SimError::Io { path, doing, reason: e.to_string() }
        };
        fs::create_dir_all(folder).map_err(io(folder, "make the folder"))?;
        let written = Written { slide: folder.join("slide.tif"), config: folder.join("simulation.json") };
        self.write_slide(&written.slide, &|_, _| {})?;
        let text = serde_json::to_string_pretty(&self.config).map_err(|e| SimError::Io {
            path: written.config.clone(),
            doing: "encode",
            reason: e.to_string(),
        })?;
        let temporary = folder.join(format!(".simulation.json.{}.tmp", std::process::id()));
        fs::write(&temporary, text + "\n").and_then(|()| fs::rename(&temporary, &written.config)).map_err(|e| {
            let _ = fs::remove_file(&temporary);
            io(&written.config, "write")(e)
        })?;
        Ok(written)
    }
}
