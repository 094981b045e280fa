//! Files that were made to do harm: what fuzzing found (`hostile/`), and sound files cut and bent.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use scellst_cells::{CellsError, ImportOptions, read_cells};
use scellst_types::MicronsPerPixel;

fn options() -> ImportOptions {
    ImportOptions { mpp: MicronsPerPixel::square(0.25).ok(), ..Default::default() }
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).join(name)
}

#[test]
fn what_fuzzing_found_is_an_error() {
    let mut files: Vec<_> = fs::read_dir(folder("hostile")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let error = read_cells(&path, &options()).map(|read| read.cells.len());
        assert!(matches!(error, Err(CellsError::Broken { .. })), "{}: {error:?}", path.display());
    }
}

#[test]
fn a_label_image_larger_than_any_memory_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.npy");
    let header = |shape: &str| {
        let text = format!("{{'descr': '<u4', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
    };
    fs::write(&path, header("(4000000000, 4000000000)")).unwrap();
    assert!(matches!(read_cells(&path, &options()), Err(CellsError::OverLimit { .. })));
    fs::write(&path, header("(16384, 16384)")).unwrap();
    assert!(matches!(read_cells(&path, &options()), Err(CellsError::Broken { .. })));
    fs::write(&path, b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap();
    assert!(matches!(read_cells(&path, &options()), Err(CellsError::Broken { .. })));
}

/// What packs well must not fill the memory on the way out.
#[test]
fn a_small_file_that_unpacks_into_a_long_line_is_refused() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.csv.gz");
    let mut gz = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    gz.write_all(b"x,y\n").unwrap();
    (0..64).for_each(|_| gz.write_all(&[b'1'; 1 << 16]).unwrap());
    gz.finish().unwrap();
    assert!(read_cells(&path, &options()).unwrap_err().to_string().contains("1 MiB"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn cut_and_bent_files_give_an_error_or_cells_but_no_panic(
        which in any::<prop::sample::Index>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut files: Vec<_> = fs::read_dir(folder("import")).unwrap().map(|f| f.unwrap().path()).collect();
        files.retain(|f| f.extension().is_none_or(|e| e != "py"));
        files.sort();
        let mut bytes = fs::read(which.get(&files)).unwrap();
        for (at, byte) in bends {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cells");
        fs::write(&path, &bytes).unwrap();
        if let Ok(read) = read_cells(&path, &options()) {
            prop_assert!(!read.cells.is_empty() && read.cells.centroids().iter().all(|p| p.is_finite()));
        }
    }
}
