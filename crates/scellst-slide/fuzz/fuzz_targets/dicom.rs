//! Any bytes as a DICOM instance: its data set, its frames. A slide is a folder of files, so that each
//! run writes one, which wants a folder in memory (`TMPDIR=/dev/shm`).
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scellst_slide::Slide;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("scellst-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the file");
    folder.join("slide.dcm")
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file");
    if let Ok(slide) = Slide::open_with(&*FILE, &scellst_slide_fuzz::options()) {
        scellst_slide_fuzz::read(&slide);
    }
});
