//! The emulator as a program: made by a C++ compiler, told of a launch through a pipe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::plan::{Plan, Scalar};
use crate::source::{Dialect, kernels};

/// An array of a launch.
#[derive(Clone)]
pub(super) enum Array {
    /// What is in it, and must be so afterwards.
    Read(Vec<u8>),
    /// What is in it; the launch changes it.
    Changed(Vec<u8>),
    /// So many bytes, poisoned: the launch writes all of them.
    Written(usize),
}

pub(super) struct Program {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Program {
    /// None where there is no compiler.
    ///
    /// # Panics
    /// If the source does not compile.
    pub fn compile(dialect: Dialect, source: &str) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            eprintln!("skipped: the emulator wants Linux");
            return None;
        }
        let Some(compiler) = compiler() else {
            eprintln!("skipped: no C++ compiler");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let names: String = kernels(dialect).iter().map(|k| format!("KERNEL({k})\n")).collect();
        std::fs::write(folder.path().join("kernels.inc"), source).unwrap();
        std::fs::write(folder.path().join("names.inc"), names).unwrap();
        let path = folder.path().join("emulator");
        let emulator = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator");
        let mut command = Command::new(compiler);
        // Products and sums are rounded one by one, as in Rust.
        command.args(["-std=c++17", "-O1", "-ffp-contract=off", "-w", "-I"]).arg(folder.path());
        if dialect == Dialect::Metal {
            command.arg("-D__METAL_VERSION__=310").arg("-I").arg(emulator.join("metal"));
        }
        let made = command.arg("-o").arg(&path).arg(emulator.join("main.cpp")).output().unwrap();
        assert!(made.status.success(), "{dialect:?}: {}", String::from_utf8_lossy(&made.stderr));
        Some(Self { path, _folder: folder })
    }

    /// The arrays that change, after a launch.
    pub fn launch(&self, name: &str, plan: &Plan, order: u32, arrays: &[Array]) -> Result<Vec<Vec<u8>>, String> {
        let mut request = Request::default();
        request.u32(name.len() as u32);
        request.0.extend(name.as_bytes());
        for n in plan.grid.into_iter().chain(plan.block).chain([order, (arrays.len() + plan.scalars.len()) as u32]) {
            request.u32(n);
        }
        for array in arrays {
            match array {
                Array::Read(bytes) | Array::Changed(bytes) => request.argument(true, bytes),
                Array::Written(n) => request.argument(true, &vec![0xff; *n]),
            }
        }
        for scalar in &plan.scalars {
            match scalar {
                Scalar::U32(v) => request.argument(false, &v.to_ne_bytes()),
                Scalar::U64(v) => request.argument(false, &v.to_ne_bytes()),
                Scalar::F32(v) => request.argument(false, &v.to_ne_bytes()),
            }
        }
        let piped = Stdio::piped;
        let child = Command::new(&self.path).stdin(piped()).stdout(piped()).stderr(piped()).spawn();
        let mut child = child.map_err(|e| e.to_string())?;
        // It reads all before it writes any, and may end early; then its message says why.
        let _ = child.stdin.take().ok_or("no pipe")?.write_all(&request.0);
        let done = child.wait_with_output().map_err(|e| e.to_string())?;
        if !done.status.success() {
            // A signal is an array read or written beyond its end.
            return Err(format!("{} {}", done.status, String::from_utf8_lossy(&done.stderr).trim()));
        }
        let mut rest = done.stdout.as_slice();
        let mut changed = Vec::new();
        for (i, array) in arrays.iter().enumerate() {
            let n = match array {
                Array::Read(bytes) | Array::Changed(bytes) => bytes.len(),
                Array::Written(n) => *n,
            };
            let Some((bytes, after)) = rest.split_at_checked(n) else { return Err("the answer is cut short".into()) };
            rest = after;
            match array {
                Array::Read(before) if before != bytes => return Err(format!("input {i} has been changed")),
                Array::Read(_) => {}
                _ => changed.push(bytes.to_vec()),
            }
        }
        Ok(changed)
    }
}

/// What the program reads.
#[derive(Default)]
struct Request(Vec<u8>);

impl Request {
    fn u32(&mut self, v: u32) {
        self.0.extend(v.to_ne_bytes());
    }

    fn argument(&mut self, is_array: bool, bytes: &[u8]) {
        self.u32(is_array.into());
        self.u32(bytes.len() as u32);
        self.0.extend(bytes);
    }
}

/// `$CXX`, or the first of the usual names that answers.
fn compiler() -> Option<String> {
    let answers = |name: &String| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    std::env::var("CXX").ok().into_iter().chain(["c++", "g++", "clang++"].map(String::from)).find(answers)
}

/// Numbers of 32 bits as bytes.
pub(super) fn bytes_of<T: Word>(words: &[T]) -> Vec<u8> {
    words.iter().flat_map(|w| w.bits().to_ne_bytes()).collect()
}

/// Bytes as numbers of 32 bits.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

/// A number of 32 bits.
pub(super) trait Word: Copy {
    fn bits(self) -> u32;
}

impl Word for f32 {
    fn bits(self) -> u32 {
        self.to_bits()
    }
}

impl Word for u32 {
    fn bits(self) -> u32 {
        self
    }
}
