use std::path::Path;

use hdf5::Dataset;
use hdf5::types::VarLenUnicode;
use ndarray::{Array2, ArrayView4, Axis};
use scellst_types::{CellIndex, Level0, MicronsPerPixel, Point};

use crate::atomic::NewFile;
use crate::{Compression, H5Error};

/// What a file of crops says of its cells, one entry a cell, and of the crops.
#[derive(Debug, Clone)]
pub struct CropsHeader<'a> {
    /// Names of the cells: `barcode`.
    pub ids: &'a [String],
    /// Middles of the crops, level-0 pixels.
    pub centroids: &'a [Point<Level0>],
    /// The spot that a cell lies in: `spot`, `None` for in none. Empty if spots are not known.
    pub spots: &'a [Option<String>],
    /// Numbers of the classes, -1 for none: `label`. Empty for no classes; see [`cell_label`].
    pub labels: &'a [i64],
    /// Side of a crop, px.
    pub size_px: usize,
    /// Resolution of a crop, um/px.
    pub crop_mpp: f64,
    /// Resolution of the slide's level 0.
    pub slide_mpp: MicronsPerPixel,
}

/// The number that sCellST gives to the classes of CellViT and HoVer-Net (`Connective`, `Dead`, `Epithelial`,
/// `Inflammatory`, `Neoplastic`, in any case): 0 to 4; -1 for all others and for none.
pub fn cell_label(class: Option<&str>) -> i64 {
    const CLASSES: [&str; 5] = ["connective", "dead", "epithelial", "inflammatory", "neoplastic"];
    let class = class.map(str::to_lowercase);
    CLASSES.iter().zip(0..).find(|(c, _)| class.as_deref() == Some(**c)).map_or(-1, |(_, n)| n)
}

/// Writes crops as HEST and sCellST keep them, in any order, memory flat in their number:
///
/// | dataset | shape | type | what |
/// |---|---|---|---|
/// | `img` | (cells, rows, columns, 3) | uint8 | RGB; attributes `patch_size_target` (px), `patch_size_src` (level-0 px), `pixel_size` (um a level-0 px), `downsample` |
/// | `coords` | (cells, 2) | int64 | x and y of the upper left corner, level-0 px, rounded down |
/// | `barcode` | (cells, 1) | text | name |
/// | `spot` | (cells, 1) | text | name of the spot, `None` for none |
/// | `label` | (cells, 1) | int64 | number of the class, -1 for none |
/// | `centroid` | (cells, 2) | float64 | x and y of the middle, level-0 px; in neither of the two |
///
/// The file appears under its name with [`CropsWriter::finish`]; dropped before that, nothing is left behind.
///
/// ```
/// use ndarray::Array4;
/// use scellst_h5::{CropsHeader, CropsWriter};
/// use scellst_types::{CellIndex, MicronsPerPixel, Point};
///
/// let dir = tempfile::tempdir()?;
/// let header = CropsHeader {
///     ids: &["a".to_owned(), "b".to_owned()],
///     centroids: &[Point::new(100.5, 80.0), Point::new(120.0, 90.0)],
///     spots: &[Some("spot_3".to_owned()), None],
///     labels: &[4, -1],
///     size_px: 72,
///     crop_mpp: 0.25,
///     slide_mpp: MicronsPerPixel::square(0.5)?,
/// };
/// let mut writer = CropsWriter::create(dir.path().join("crops.h5"), &header, None)?;
/// writer.write(&[CellIndex(1), CellIndex(0)], Array4::zeros((2, 72, 72, 3)).view())?;
/// writer.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CropsWriter {
    // Before `new`: datasets are closed before the file is.
    img: Dataset,
    new: NewFile,
    side: usize,
    /// Which cells are written.
    seen: Vec<bool>,
    missing: usize,
}

impl CropsWriter {
    /// Starts a file beside `path` and writes all of it but the crops.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] if the header's lengths do not fit, a place is not finite or a number is not above 0,
    /// [`H5Error::Io`] if the directory cannot be written.
    pub fn create(
        path: impl AsRef<Path>,
        header: &CropsHeader<'_>,
        compression: Option<Compression>,
    ) -> Result<Self, H5Error> {
        let path = path.as_ref();
        header.check(path)?;
        if let Some(Compression::Gzip(level)) = compression
            && !(1..=9).contains(&level)
        {
            return Err(H5Error::misuse(path, format!("gzip level {level}, 1 to 9 was expected")));
        }
        let new = NewFile::create(path)?;
        let img = create(&new, header, compression).map_err(|e| new.library("img", e))?;
        let cells = header.ids.len();
        Ok(Self { img, new, side: header.size_px, seen: vec![false; cells], missing: cells })
    }

    /// Puts crops in their cells' places, `(cells, rows, columns, RGB)`.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] for another shape, a cell that there is not or that was written before;
    /// [`H5Error::Library`] if the disc is full.
    pub fn write(&mut self, cells: &[CellIndex], crops: ArrayView4<'_, u8>) -> Result<(), H5Error> {
        let expected = (cells.len(), self.side, self.side, 3);
        if crops.dim() != expected {
            let what = format!("crops of shape {:?} were given, {expected:?} was expected", crops.dim());
            return Err(H5Error::misuse(self.new.target(), what));
        }
        let mut start = 0;
        while start < cells.len() {
            // Cells that follow one another are written at once.
            let first = cells[start].get();
            let run = cells[start..].iter().zip(first..).take_while(|(c, n)| c.get() == *n).count();
            for cell in first..first + run {
                match self.seen.get_mut(cell) {
                    Some(seen) if !*seen => *seen = true,
                    Some(_) => return Err(self.misuse(format!("cell {cell} was given twice"))),
                    None => return Err(self.misuse(format!("cell {cell} of {} was given", self.seen.len()))),
                }
            }
            let part = crops.slice_axis(Axis(0), (start..start + run).into());
            let place = (first..first + run, .., .., ..);
            self.img.write_slice(part, place).map_err(|e| self.new.library("img", e))?;
            self.missing -= run;
            start += run;
        }
        Ok(())
    }

    /// Closes the file and gives it its name.
    ///
    /// # Errors
    /// [`H5Error::Misuse`] if crops are missing, [`H5Error::Library`] or [`H5Error::Io`] if the disc is full or the
    /// file cannot be moved; nothing is left behind then.
    pub fn finish(self) -> Result<(), H5Error> {
        if self.missing > 0 {
            return Err(self.misuse(format!("finished with {} of {} crops missing", self.missing, self.seen.len())));
        }
        let Self { img, new, .. } = self;
        drop(img);
        new.finish()
    }

    fn misuse(&self, what: String) -> H5Error {
        H5Error::misuse(self.new.target(), what)
    }
}

impl CropsHeader<'_> {
    fn check(&self, path: &Path) -> Result<(), H5Error> {
        let wrong = |what: String| Err(H5Error::misuse(path, what));
        let cells = self.ids.len();
        for (what, n, may_lack) in [
            ("centroids", self.centroids.len(), false),
            ("spots", self.spots.len(), true),
            ("labels", self.labels.len(), true),
        ] {
            if n != cells && !(may_lack && n == 0) {
                return wrong(format!("{n} {what} were given for {cells} cells"));
            }
        }
        if let Some(i) = self.centroids.iter().position(|p| !p.is_finite()) {
            return wrong(format!("the place of cell {i} is {:?}", self.centroids[i]));
        }
        if !((1..=4096).contains(&self.size_px) && self.crop_mpp.is_finite() && self.crop_mpp > 0.0) {
            return wrong(format!("crops of {} px at {} um/px were asked for", self.size_px, self.crop_mpp));
        }
        Ok(())
    }

    /// Side of a crop, level-0 px.
    fn source(&self) -> (f64, f64) {
        let um = self.size_px as f64 * self.crop_mpp;
        (um / self.slide_mpp.x(), um / self.slide_mpp.y())
    }
}

/// All datasets; the crops still to come.
fn create(new: &NewFile, header: &CropsHeader<'_>, compression: Option<Compression>) -> Result<Dataset, hdf5::Error> {
    let (cells, side, file) = (header.ids.len(), header.size_px, new.file());
    // It is no anndata file.
    for name in ["encoding-type", "encoding-version"] {
        file.delete_attr(name)?;
    }
    let plain = || file.new_dataset_builder().obj_track_times(false).no_chunk();
    let (w, h) = header.source();
    let corner = |i: usize, axis: usize| {
        let p = header.centroids[i];
        if axis == 0 { (p.x - w / 2.0).floor() as i64 } else { (p.y - h / 2.0).floor() as i64 }
    };
    plain().with_data(&Array2::from_shape_fn((cells, 2), |(i, axis)| corner(i, axis))).create("coords")?;
    let centroid = |i: usize, axis: usize| if axis == 0 { header.centroids[i].x } else { header.centroids[i].y };
    plain().with_data(&Array2::from_shape_fn((cells, 2), |(i, axis)| centroid(i, axis))).create("centroid")?;
    let label = |i: usize| header.labels.get(i).copied().unwrap_or(-1);
    plain().with_data(&Array2::from_shape_fn((cells, 1), |(i, _)| label(i))).create("label")?;
    write_texts(file, "barcode", cells, |i| &header.ids[i])?;
    write_texts(file, "spot", cells, |i| header.spots.get(i).and_then(Option::as_deref).unwrap_or("None"))?;

    let mut builder = file.new_dataset::<u8>().obj_track_times(false).shape((cells, side, side, 3));
    builder = match compression {
        Some(Compression::Gzip(level)) if cells > 0 => builder.chunk((1, side, side, 3)).deflate(level),
        _ => builder.no_chunk(),
    };
    let img = builder.create("img")?;
    let number = |name: &str, value: f64| img.new_attr::<f64>().create(name)?.write_scalar(&value);
    number("pixel_size", header.slide_mpp.mean())?;
    number("downsample", header.crop_mpp / header.slide_mpp.mean())?;
    let whole = |name: &str, value: i64| img.new_attr::<i64>().create(name)?.write_scalar(&value);
    whole("patch_size_target", side as i64)?;
    whole("patch_size_src", w.round() as i64)?;
    Ok(img)
}

/// A column of texts, a block at a time.
fn write_texts<'t>(
    file: &hdf5::Group,
    name: &str,
    cells: usize,
    text: impl Fn(usize) -> &'t str,
) -> Result<(), hdf5::Error> {
    const BLOCK: usize = 1 << 14;
    let builder = file.new_dataset::<VarLenUnicode>().obj_track_times(false).no_chunk();
    let column = builder.shape((cells, 1)).create(name)?;
    for start in (0..cells).step_by(BLOCK) {
        let end = (start + BLOCK).min(cells);
        let texts: Vec<VarLenUnicode> = (start..end)
            .map(|i| text(i).parse().map_err(|_| hdf5::Error::from(format!("a text with a NUL: row {i}").as_str())))
            .collect::<Result<_, _>>()?;
        let texts = ndarray::Array1::from(texts);
        column.write_slice(texts.view().insert_axis(Axis(1)), (start..end, 0..1))?;
    }
    Ok(())
}
