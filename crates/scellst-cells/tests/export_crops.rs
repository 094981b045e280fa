//! Crops beside Pillow at every scale and edge (`data/crops.py`), and as numpy's files.

use image::{Rgb, RgbImage};
use ndarray::Array4;
use scellst_cells::{Border, CellsError, CropBlock, CropSpec, CropStream, NpyCropWriter, crops};
use scellst_slide::{OpenOptions, Slide};
use scellst_types::{CellIndex, MicronsPerPixel, Point};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    width: u32,
    height: u32,
    crops: Vec<Case>,
    header: String,
}

#[derive(Deserialize)]
struct Case {
    mpp: f64,
    x: f64,
    y: f64,
    size: u32,
    want: f64,
    border: Border,
    pixels: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/crops.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

struct Opened {
    slide: Slide,
    folder: tempfile::TempDir,
}

fn open(w: u32, h: u32, mpp: f64) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    RgbImage::from_fn(w, h, |x, y| Rgb([0, 57, 114].map(|c| ((x * 37 + y * 91 + x * y * 13 + c) % 251) as u8)))
        .save(&path)
        .unwrap();
    let mpp = Some(MicronsPerPixel::square(mpp).unwrap());
    let slide = Slide::open_with(&path, &OpenOptions { mpp, ..Default::default() }).unwrap();
    Opened { slide, folder }
}

/// Both round to whole numbers after each pass, and weights differ in their last bit: at most 1 apart. The picture has
/// all 251 values side by side, so that a window half a pixel off, or one without the widened filter, is tens off.
#[test]
fn shrunk_enlarged_and_beyond_the_edge_as_pillow_has_it() {
    let golden = golden();
    for case in golden.crops {
        let opened = open(golden.width, golden.height, case.mpp);
        let spec = CropSpec { size_px: case.size, centre_px: case.size, mpp: case.want, border: case.border };
        let found = crops(&opened.slide, &[Point::new(case.x, case.y)], &spec).unwrap();
        let expected = bytes(&case.pixels);
        assert_eq!(found.len(), expected.len());
        let worst = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "{} to {} um/px, {:?}: off by {worst}", case.mpp, case.want, case.border);
    }
}

/// 2,000 cells in an order that is not the slide's: rows of the file are those of the cells, each what it is alone.
#[test]
fn rows_are_in_the_order_of_the_cells() {
    let opened = open(1500, 1200, 0.25);
    let place = |i: usize| Point::new((i as f64 * 0.618_034).fract() * 1500.0, (i as f64 * 0.754_878).fract() * 1200.0);
    let places: Vec<_> = (0..2000).map(place).collect();
    let spec = CropSpec { size_px: 12, centre_px: 8, ..CropSpec::default() };
    let path = opened.folder.path().join("crops.npy");
    let mut writer = NpyCropWriter::create(&path, places.len(), 8).unwrap();
    CropStream::new(&opened.slide, &places, &spec).unwrap().for_each(|block| writer.write(&block.unwrap()).unwrap());
    writer.finish().unwrap();
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file.len(), 128 + 2000 * 8 * 8 * 3);
    assert_eq!(file[128..], crops(&opened.slide, &places, &spec).unwrap().into_raw_vec_and_offset().0);
    for i in [0, 1, 777, 1999] {
        let alone = crops(&opened.slide, &places[i..=i], &spec).unwrap();
        assert_eq!(file[128 + i * 192..][..192], alone.into_raw_vec_and_offset().0);
    }
}

fn block(cells: &[u32], side: usize) -> CropBlock {
    let crops = Array4::from_shape_fn((cells.len(), side, side, 3), |(i, y, x, c)| {
        (cells[i] as usize * 50 + y * 7 + x * 3 + c) as u8
    });
    CropBlock { cells: cells.iter().map(|&c| CellIndex(c)).collect(), crops }
}

#[test]
fn the_file_is_numpys_and_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crops.npy");
    let mut writer = NpyCropWriter::create(&path, 5, 7).unwrap();
    writer.write(&block(&[4, 0, 1], 7)).unwrap();
    // A block whose crops lie otherwise in memory.
    let mut turned = block(&[2, 3], 7);
    turned.crops =
        turned.crops.clone().permuted_axes([0, 2, 1, 3]).as_standard_layout().into_owned().permuted_axes([0, 2, 1, 3]);
    assert!(!turned.crops.is_standard_layout());
    writer.write(&turned).unwrap();
    let refused = |e: CellsError, what: &str| {
        assert!(matches!(e, CellsError::Misuse { .. }) && e.to_string().contains(what), "{e}");
    };
    refused(writer.write(&block(&[3], 7)).unwrap_err(), "3 again");
    refused(writer.write(&block(&[5], 7)).unwrap_err(), "under 5");
    refused(writer.write(&block(&[0], 8)).unwrap_err(), "shape");
    assert!(!path.exists());
    writer.finish().unwrap();
    let file = std::fs::read(&path).unwrap();
    let expected = block(&[0, 1, 2, 3, 4], 7).crops;
    assert_eq!(file[..128], bytes(&golden().header));
    assert_eq!(file[128..], expected.into_raw_vec_and_offset().0);

    let other = folder.path().join("other.npy");
    let mut writer = NpyCropWriter::create(&other, 5, 7).unwrap();
    writer.write(&block(&[4], 7)).unwrap();
    refused(writer.finish().unwrap_err(), "4 missing");
    assert!(NpyCropWriter::create(&other, 5, 0).is_err() && NpyCropWriter::create("/nowhere/x.npy", 5, 7).is_err());
    // No file of either name, temporary ones included.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    NpyCropWriter::create(&other, 0, 7).unwrap().finish().unwrap();
    assert_eq!(std::fs::metadata(&other).unwrap().len(), 128);
}
