//! Running the examples as a user does.
#![allow(dead_code, clippy::print_stdout)] // each test uses a part; a skipped one says so

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The shared data of the project, or `None` with a word on stdout.
pub fn shared_data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no shared data");
    None
}

/// Runs an example that `cargo test` built beside this test.
pub fn example(name: &str, args: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is not built: run the whole of `cargo test`", program.display());
    Command::new(program).args(args).output().unwrap()
}

/// Runs an example that must succeed; gives its stdout.
pub fn succeeds(name: &str, args: &[&str]) -> String {
    let out = example(name, args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{name} {args:?} failed: {stderr}");
    String::from_utf8(out.stdout).unwrap()
}

/// Runs an example that must fail with status 1 and one line that has all the words; gives that line.
pub fn fails(name: &str, args: &[&str], words: &[&str]) -> String {
    let out = example(name, args);
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1), "{name} {args:?}: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{name} {args:?}: {stderr}");
    assert_eq!(stderr.lines().last(), errors.first().copied(), "something comes after the error: {stderr}");
    for word in words {
        assert!(errors[0].contains(word), "\"{word}\" is not in: {}", errors[0]);
    }
    errors[0].to_owned()
}

/// What a folder holds, hidden and temporary files too.
pub fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Points all tiles of a classic little-endian TIFF's first directory at `to`; gives how many there were.
pub fn move_tile_offsets(bytes: &mut [u8], to: u32) -> usize {
    const TILE_OFFSETS: u16 = 324;
    let u16_at = |b: &[u8], i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
    let u32_at = |b: &[u8], i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
    assert_eq!(&bytes[..4], b"II*\0");
    let directory = u32_at(bytes, 4) as usize;
    for n in 0..u16_at(bytes, directory) as usize {
        let entry = directory + 2 + 12 * n;
        if u16_at(bytes, entry) == TILE_OFFSETS {
            let count = u32_at(bytes, entry + 4) as usize;
            let list = if count == 1 { entry + 8 } else { u32_at(bytes, entry + 8) as usize };
            (0..count).for_each(|k| bytes[list + 4 * k..][..4].copy_from_slice(&to.to_le_bytes()));
            return count;
        }
    }
    0
}
