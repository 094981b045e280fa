use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// All of the packed fixtures, side by side in a directory of their own.
pub fn fixtures() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(data()).unwrap() {
        let packed = entry.unwrap().path();
        if packed.extension().is_some_and(|e| e == "gz") {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(std::fs::File::open(&packed).unwrap()).read_to_end(&mut bytes).unwrap();
            std::fs::write(dir.path().join(packed.file_stem().unwrap()), bytes).unwrap();
        }
    }
    dir
}

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The real sections, where this checkout lies beside them.
pub fn real_sections() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/hest/st");
    if !dir.is_dir() {
        println!("skipped: no shared data");
    }
    dir.is_dir().then_some(dir)
}

/// Real files of 10x Genomics' programs, where this checkout lies beside them.
pub fn real_tenx() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tenx");
    if !dir.is_dir() {
        println!("skipped: no shared data");
    }
    dir.is_dir().then_some(dir)
}

/// Where a file's bytes say something, but for HDF5's heaps of texts: HDF5 2.2 runs forever on an entry of size 0 in one.
pub fn outside_of_heaps(bytes: &[u8]) -> Vec<usize> {
    let mut heap_ends = 0;
    (0..bytes.len())
        .filter(|&i| {
            if bytes[i..].starts_with(b"GCOL") {
                heap_ends = i + 4096;
            }
            i >= heap_ends && bytes[i] != 0
        })
        .collect()
}

/// Runs a script with a Python that has anndata, warnings as errors; nothing if there is none.
pub fn python(script: &str, arguments: &[&Path]) -> Option<String> {
    run(&["-W", "error::UserWarning"], "import anndata", script, arguments)
}

/// As [`python`], where these imports work, and with warnings.
pub fn python_with(imports: &str, script: &str, arguments: &[&Path]) -> Option<String> {
    run(&[], imports, script, arguments)
}

fn run(flags: &[&str], imports: &str, script: &str, arguments: &[&Path]) -> Option<String> {
    let candidates =
        [std::env::var("SCELLST_PYTHON").ok(), Some("/opt/pyref/bin/python".into()), Some("python3".into())];
    let able = |python: &String| {
        let check = Command::new(python).args(["-c", imports]).output();
        check.is_ok_and(|o| o.status.success())
    };
    let Some(python) = candidates.into_iter().flatten().find(able) else {
        println!("skipped: no Python for '{imports}'");
        return None;
    };
    let output = Command::new(python).args(flags).arg("-c").arg(script).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Python says: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Names in a directory, to see whether anything was left behind.
pub fn listing(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
