//! What the fuzz targets share: bytes become a file, the file is read, and what comes out holds what it promises.

use std::path::PathBuf;

use scellst_cells::{ImportOptions, read_cells};
use scellst_types::MicronsPerPixel;

/// The file of this process, in memory where there is such a place.
pub fn path() -> PathBuf {
    let folder = PathBuf::from("/dev/shm");
    let folder = if folder.is_dir() { folder } else { std::env::temp_dir() };
    folder.join(format!("scellst-cells-fuzz-{}", std::process::id()))
}

/// Lets panics of the Parquet decoder pass, which the importer takes for an error; all others end the run.
fn let_the_decoder_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let ours = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|l| l.file().contains("/parquet-")) {
                ours(panic);
            }
        }));
    });
}

/// Writes the bytes and reads them as cells.
pub fn import(bytes: &[u8]) {
    std::fs::write(path(), bytes).expect("a file in memory");
    read();
}

/// Reads the file of this process as cells.
pub fn read() {
    let_the_decoder_panic();
    let options = ImportOptions { mpp: MicronsPerPixel::square(0.25).ok(), ..ImportOptions::default() };
    if let Ok(read) = read_cells(path(), &options) {
        assert!(!read.cells.is_empty());
        for i in 0..read.cells.len() {
            let cell = read.cells.get(i).expect("a cell for each index");
            assert!(cell.centroid.is_finite() && cell.outline.iter().flatten().all(|v| v.is_finite()));
            assert!((0.0..=1.0).contains(&cell.score) && !matches!(cell.outline.len(), 1 | 2));
        }
    }
}
