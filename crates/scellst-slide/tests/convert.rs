//! Slides written anew as pyramids. (What other readers make of them: `data/check_pyramid.py`.)

mod common;

use std::cell::RefCell;
use std::path::Path;

use common::{Layout, PLAIN, Page, picture, tiff, whole};
use scellst_slide::{
    Chroma, ConvertOptions, Format, Limits, MppSource, OpenOptions, PyramidCompression, PyramidOptions, PyramidWriter,
    RgbImage, Slide, SlideError, convert,
};
use scellst_types::{LevelIndex, MicronsPerPixel, Size};

fn lossless() -> ConvertOptions {
    ConvertOptions { pyramid: PyramidOptions::default(), ..ConvertOptions::default() }
}

fn quiet(_: u64, _: u64) {}

fn entries(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

/// The picture whatever the layout it comes in, tiles that fit those written or not.
#[test]
fn lossless_pixels_are_those_that_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let layouts = [
        PLAIN,
        Layout { rows: 1000, compression: 8, predictor: true, big: true, ..PLAIN },
        Layout { rows: 7, compression: 5, little: false, ..PLAIN },
        Layout { tile: Some((256, 256)), compression: 8, ..PLAIN },
        Layout { tile: Some((240, 112)), alpha: true, ..PLAIN },
        Layout { tile: Some((1024, 16)), compression: 5, predictor: true, ..PLAIN },
    ];
    for (w, h) in [(1031, 777), (512, 512), (511, 1), (1, 600), (1, 1)] {
        let image = picture(w, h);
        for (i, layout) in layouts.iter().enumerate() {
            let input = folder.path().join("in.tif");
            std::fs::write(&input, tiff(&[Page::of(&image, *layout)], layout.little, layout.big, None)).unwrap();
            let out = folder.path().join("out.tif");
            for tile in [16, 256] {
                let mut options = lossless();
                options.pyramid.tile = tile;
                convert(&Slide::open(&input).unwrap(), &out, &options, &quiet).unwrap();
                let slide = Slide::open(&out).unwrap();
                let at = format!("{w} x {h}, layout {i}, tile {tile}");
                assert!(whole(&slide, 0).unwrap() == image, "{at}");
                let sides: Vec<u32> = slide.levels().map(|l| l.size().width.max(l.size().height)).collect();
                assert!(sides.windows(2).all(|s| s[1] == s[0].div_ceil(2)), "{at}: {sides:?}");
                assert!(sides.split_last().is_some_and(|(last, finer)| *last < 512 && finer.iter().all(|s| *s >= 512)));
                assert!(slide.levels().all(|l| l.tile_size() == Some(Size::new(tile, tile))));
                assert_eq!(slide.mpp(), None, "{at}");
            }
        }
    }
    let input = folder.path().join("in.png");
    picture(700, 300).save(&input).unwrap();
    let out = folder.path().join("png.tif");
    convert(&Slide::open(&input).unwrap(), &out, &lossless(), &quiet).unwrap();
    assert!(whole(&Slide::open(&out).unwrap(), 0).unwrap() == picture(700, 300));
}

#[test]
fn jpeg_is_near_and_nearer_with_whole_chroma() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.tif");
    // Red and blue stripes over a slope: hard on colour.
    let image = RgbImage::from_fn(600, 520, |x, y| {
        image::Rgb([if x / 7 % 2 == 0 { 200 } else { 90 }, (y / 3) as u8, if y / 9 % 2 == 0 { 60 } else { 180 }])
    });
    let input = folder.path().join("in.png");
    image.save(&input).unwrap();
    let slide = Slide::open(&input).unwrap();
    let mut differences = Vec::new();
    let mut bytes = Vec::new();
    for (quality, chroma) in [(95, Chroma::Full), (85, Chroma::Full), (85, Chroma::Halved), (20, Chroma::Halved)] {
        let pyramid =
            PyramidOptions { compression: PyramidCompression::Jpeg { quality }, chroma, ..Default::default() };
        convert(&slide, &out, &ConvertOptions { pyramid, ..ConvertOptions::default() }, &quiet).unwrap();
        differences.push(mean_difference(&whole(&Slide::open(&out).unwrap(), 0).unwrap(), &image));
        bytes.push(std::fs::metadata(&out).unwrap().len());
    }
    assert!(differences.is_sorted() && differences[0] < 2.0 && differences[3] < 40.0, "{differences:?}");
    assert!(bytes.is_sorted_by(|a, b| a > b), "{bytes:?}");
}

#[test]
fn resolution_follows_the_level() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.tif"), folder.path().join("out.tif"));
    let mpp = |x, y| Some(MicronsPerPixel::new(x, y).unwrap());
    let found = || {
        let slide = Slide::open(&out).unwrap();
        slide.mpp().map(|m| ((m.value.x() * 1e6).round() / 1e6, (m.value.y() * 1e6).round() / 1e6))
    };
    let written = PyramidOptions { mpp: mpp(0.25, 0.5), ..PyramidOptions::default() };
    PyramidWriter::write_image(&input, &picture(1600, 1200), &written).unwrap();
    let slide = Slide::open(&input).unwrap();
    convert(&slide, &out, &lossless(), &quiet).unwrap();
    assert_eq!(found(), Some((0.25, 0.5)));
    assert_eq!(Slide::open(&out).unwrap().mpp().unwrap().source, MppSource::ResolutionTags);

    let level1 = ConvertOptions { level: LevelIndex(1), ..lossless() };
    convert(&slide, &out, &level1, &quiet).unwrap();
    assert_eq!(found(), Some((0.5, 1.0)));
    assert!(whole(&Slide::open(&out).unwrap(), 0).unwrap() == whole(&slide, 1).unwrap());
    // Given for the slide's level 0, in place of what it says.
    let pyramid = PyramidOptions { mpp: mpp(0.3, 0.3), ..PyramidOptions::default() };
    convert(&slide, &out, &ConvertOptions { pyramid: pyramid.clone(), ..level1.clone() }, &quiet).unwrap();
    assert_eq!(found(), Some((0.6, 0.6)));
    let slide = Slide::open_with(&input, &OpenOptions { mpp: mpp(0.4, 0.4), ..OpenOptions::default() }).unwrap();
    convert(&slide, &out, &lossless(), &quiet).unwrap();
    assert_eq!(found(), Some((0.4, 0.4)));

    let error = convert(&slide, &out, &ConvertOptions { level: LevelIndex(3), ..lossless() }, &quiet).unwrap_err();
    assert!(error.to_string().contains("0 to 2"), "{error}");
    // A slide that says nothing.
    std::fs::write(&input, tiff(&[Page::of(&picture(60, 50), PLAIN)], true, false, None)).unwrap();
    let slide = Slide::open(&input).unwrap();
    convert(&slide, &out, &lossless(), &quiet).unwrap();
    assert_eq!(found(), None);
    convert(&slide, &out, &ConvertOptions { pyramid, ..lossless() }, &quiet).unwrap();
    assert_eq!(found(), Some((0.3, 0.3)));
}

#[test]
fn pictures_beside_only_when_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.tif"), folder.path().join("out.tif"));
    let (label, small) = (picture(90, 40), picture(150, 125));
    let mut writer = PyramidWriter::create(&input, Size::new(600, 500), &PyramidOptions::default()).unwrap();
    writer.add_associated("label", &label).unwrap();
    writer.push_rows(&picture(600, 500)).unwrap();
    // Of the shape of a level, and yet none.
    writer.add_associated("thumbnail", &small).unwrap();
    for name in ["", "1", "a|b", "\u{e9}tiquette", "a\nb"] {
        assert!(matches!(writer.add_associated(name, &small), Err(SlideError::Misuse { .. })), "{name}");
    }
    assert!(matches!(writer.add_associated("macro", &RgbImage::new(0, 3)), Err(SlideError::Misuse { .. })));
    writer.finish().unwrap();

    let names = |slide: &Slide| slide.associated().iter().map(|a| a.name.clone()).collect::<Vec<_>>();
    let slide = Slide::open(&input).unwrap();
    assert_eq!(names(&slide), ["label", "thumbnail"]);
    assert_eq!(slide.level_count(), 2);
    assert!(slide.read_associated("label").unwrap() == label && slide.read_associated("thumbnail").unwrap() == small);

    convert(&slide, &out, &lossless(), &quiet).unwrap();
    assert!(names(&Slide::open(&out).unwrap()).is_empty());
    let all = ConvertOptions { associated: true, ..lossless() };
    convert(&slide, &out, &all, &quiet).unwrap();
    let copy = Slide::open(&out).unwrap();
    assert_eq!((names(&copy), copy.level_count()), (names(&slide), 2));
    assert!(copy.read_associated("label").unwrap() == label);
    // Opened without its label, a slide has none to copy.
    let slide = Slide::open_with(&input, &OpenOptions { without_label: true, ..OpenOptions::default() }).unwrap();
    convert(&slide, &out, &all, &quiet).unwrap();
    assert_eq!(names(&Slide::open(&out).unwrap()), ["thumbnail"]);
}

#[test]
fn a_slide_is_not_written_over_itself() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.tif");
    PyramidWriter::write_image(&input, &picture(60, 50), &PyramidOptions::default()).unwrap();
    let bytes = std::fs::read(&input).unwrap();
    let slide = Slide::open(&input).unwrap();
    let mut names =
        vec![input.clone(), folder.path().join("..").join(folder.path().file_name().unwrap()).join("in.tif")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&input, folder.path().join("link.tif")).unwrap();
        names.push(folder.path().join("link.tif"));
    }
    let before = entries(folder.path());
    for name in names {
        let error = convert(&slide, &name, &lossless(), &quiet).unwrap_err();
        assert!(matches!(error, SlideError::Misuse { .. }) && error.to_string().contains("another file"), "{error}");
    }
    let error = convert(&slide, folder.path(), &lossless(), &quiet).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
    // Where nothing can be written: a file in the place of the folder, and none.
    for name in [input.join("out.tif"), folder.path().join("none/out.tif")] {
        let error = convert(&slide, name, &lossless(), &quiet).unwrap_err();
        assert!(matches!(error, SlideError::Io { .. }), "{error}");
    }
    let mut options = lossless();
    options.pyramid.tile = 100;
    assert!(matches!(convert(&slide, folder.path().join("x.tif"), &options, &quiet), Err(SlideError::Misuse { .. })));
    assert_eq!(entries(folder.path()), before);
    assert!(std::fs::read(&input).unwrap() == bytes);
}

/// A tile that cannot be decoded, and a tile over the limit: what was there stays, nothing else is.
#[test]
fn a_broken_slide_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.tif"), folder.path().join("out.tif"));
    let mut page = Page::of(&picture(700, 900), Layout { tile: Some((128, 128)), compression: 8, ..PLAIN });
    page.pieces[40].fill(0x55);
    std::fs::write(&input, tiff(&[page], true, false, None)).unwrap();
    std::fs::write(&out, "old").unwrap();
    let told = RefCell::new(Vec::new());
    let slide = Slide::open(&input).unwrap();
    let error = convert(&slide, &out, &lossless(), &|done, _| told.borrow_mut().push(done)).unwrap_err();
    assert!(matches!(error, SlideError::Broken { .. }) && error.to_string().contains("tile 40"), "{error}");
    assert_eq!(entries(folder.path()), ["in.tif", "out.tif"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"old");
    assert!(!told.into_inner().is_empty());

    std::fs::write(&input, tiff(&[Page::of(&picture(700, 900), PLAIN)], true, false, None)).unwrap();
    let limits = Limits { max_image_bytes: 10_000, ..Limits::default() };
    let slide = Slide::open_with(&input, &OpenOptions { limits, ..OpenOptions::default() }).unwrap();
    let error = convert(&slide, &out, &lossless(), &quiet).unwrap_err();
    assert!(matches!(error, SlideError::OverLimit { .. }), "{error}");
    assert_eq!(std::fs::read(&out).unwrap(), b"old");
}

#[test]
fn progress_rises_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.tif"), folder.path().join("out.tif"));
    std::fs::write(&input, tiff(&[Page::of(&picture(300, 901), PLAIN)], true, false, None)).unwrap();
    let told = RefCell::new(Vec::new());
    let tell = |done, total| told.borrow_mut().push((done, total));
    convert(&Slide::open(&input).unwrap(), &out, &ConvertOptions::default(), &tell).unwrap();
    let told = told.into_inner();
    assert!(told.is_sorted() && told.len() > 2 && told.iter().all(|t| t.1 == 901), "{told:?}");
    assert_eq!((told[0].0, told[told.len() - 1].0), (0, 901));
}

/// A slide of which no tile is stored: white.
fn sparse(width: u32, height: u32) -> Vec<u8> {
    let page = Page::of(&RgbImage::new(256, 256), Layout { tile: Some((256, 256)), ..PLAIN });
    let tiles = (width.div_ceil(256) * height.div_ceil(256)) as usize;
    let page = page.set(256, 4, &[width.into()]).set(257, 4, &[height.into()]);
    tiff(&[Page { pieces: vec![Vec::new(); tiles], ..page }], true, true, None)
}

/// What the children of the two tests below do: this very test, told so by the environment.
fn as_child() {
    let Ok(folder) = std::env::var("SCELLST_CONVERT_CHILD") else { return };
    let folder = Path::new(&folder);
    let abort = folder.join("abort").exists();
    let stop = |done, total| {
        if abort && done > total / 2 {
            std::process::abort();
        }
    };
    convert(&Slide::open(folder.join("in.tif")).unwrap(), folder.join("out.tif"), &ConvertOptions::default(), &stop)
        .unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).and_then(|l| l.split_whitespace().next());
    std::fs::write(folder.join("peak"), peak.unwrap_or("0")).unwrap();
    std::process::exit(0);
}

fn run_child(test: &str, folder: &Path) -> std::process::ExitStatus {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--test-threads", "1"])
        .env("SCELLST_CONVERT_CHILD", folder)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn a_killed_program_leaves_what_was_there() {
    as_child();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.tif"), sparse(600, 3000)).unwrap();
    std::fs::write(folder.path().join("abort"), "").unwrap();
    assert!(!run_child("a_killed_program_leaves_what_was_there", folder.path()).success());
    let names = entries(folder.path());
    assert!(!names.contains(&"out.tif".to_owned()) && !names.contains(&"peak".to_owned()), "{names:?}");
    // What it could not take away is hidden, and in nobody's way.
    assert!(names.iter().all(|n| ["abort", "in.tif"].contains(&n.as_str()) || n.starts_with(".out.tif.")), "{names:?}");
    std::fs::remove_file(folder.path().join("abort")).unwrap();
    assert!(run_child("a_killed_program_leaves_what_was_there", folder.path()).success());
    let slide = Slide::open(folder.path().join("out.tif")).unwrap();
    assert_eq!((slide.size(), slide.format()), (Size::new(600, 3000), Format::Tiff));
}

/// 50,000 px wide: a row of tiles has 38 MB, the whole 614 MB.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_that_of_a_few_rows_of_tiles() {
    as_child();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.tif"), sparse(50_000, 4096)).unwrap();
    assert!(run_child("memory_is_that_of_a_few_rows_of_tiles", folder.path()).success());
    let peak: u64 = std::fs::read_to_string(folder.path().join("peak")).unwrap().parse().unwrap();
    assert!((50_000..350_000).contains(&peak), "{peak} KiB");
}
