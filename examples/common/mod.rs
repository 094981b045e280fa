//! What the examples share: progress on the terminal, threads, one-line errors, whole files.
#![allow(dead_code, clippy::print_stdout, clippy::print_stderr)] // each example uses a part; they are programs

#[cfg(feature = "h5ad")]
pub mod baselines;
#[cfg(feature = "h5ad")]
pub mod evidence;
#[cfg(feature = "h5ad")]
pub mod maps;
pub mod sources;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use scellst::pipeline::Observer;
use scellst::slide::{OpenOptions, Slide};
use scellst::types::MicronsPerPixel;

/// Runs a program's body; an error becomes one line on stderr and exit status 1.
pub fn run(body: impl FnOnce() -> Result<()>) -> ExitCode {
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let mut words: Vec<String> = Vec::new();
            for cause in e.chain() {
                let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                // Wrapped errors often repeat their cause.
                if !words.last().is_some_and(|w| w.contains(&text)) {
                    words.push(text);
                }
            }
            eprintln!("error: {}", words.join(": "));
            ExitCode::FAILURE
        }
    }
}

/// Options of every example.
#[derive(clap::Args, Debug, Clone)]
pub struct Common {
    /// Number of CPU threads (default: all cores)
    #[arg(long, value_name = "N", global = true)]
    pub threads: Option<usize>,
}

impl Common {
    /// Sets the number of threads for the whole program.
    pub fn apply(&self) -> Result<()> {
        if let Some(n) = self.threads {
            if n == 0 {
                bail!("--threads must be at least 1");
            }
            rayon::ThreadPoolBuilder::new().num_threads(n).build_global().context("cannot start the threads")?;
        }
        Ok(())
    }
}

/// A slide with the mpp given on the command line, if any.
pub fn open_slide(path: &Path, mpp: Option<f64>) -> Result<Slide> {
    let mpp = mpp.map(MicronsPerPixel::square).transpose().context("--mpp")?;
    Ok(Slide::open_with(path, &OpenOptions { mpp, ..OpenOptions::default() })?)
}

/// Progress on stderr: a bar on a terminal, else a line every few seconds.
#[derive(Default)]
pub struct Console {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: String,
    began: Option<Instant>,
    told: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Console {
    fn with(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.state.lock().unwrap_or_else(|e| e.into_inner()));
    }

    /// Ends the last bar.
    pub fn finish(&self) {
        self.with(|s| {
            if let Some(bar) = s.bar.take() {
                bar.finish_and_clear();
            }
        });
    }
}

impl Observer for Console {
    fn stage(&self, name: &str) {
        self.finish();
        self.with(|s| *s = State { stage: name.to_owned(), began: Some(Instant::now()), told: None, bar: None });
    }

    fn progress(&self, done: u64, total: u64) {
        self.with(|s| {
            if std::io::stderr().is_terminal() {
                let bar = s.bar.get_or_insert_with(|| {
                    let bar = ProgressBar::new(total);
                    if let Ok(style) = ProgressStyle::with_template("{msg:<20} {bar:40} {pos}/{len} {eta}") {
                        bar.set_style(style);
                    }
                    bar.set_message(s.stage.clone());
                    bar
                });
                bar.set_length(total);
                bar.set_position(done);
                return;
            }
            let (now, began) = (Instant::now(), *s.began.get_or_insert_with(Instant::now));
            let last = s.told.unwrap_or(began);
            if now - last > Duration::from_secs(5) {
                s.told = Some(now);
                eprintln!("{}: {done} of {total} ({:.0} s)", s.stage, (now - began).as_secs_f64());
            }
        });
    }

    fn note(&self, text: &str) {
        self.with(|s| match &s.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        });
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("cannot write {}", path.display());
    let mut builder = tempfile::Builder::new();
    // Readable by whom the user's mask allows, as any other file: temporary files are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

/// Refuses an output whose folder is not there before hours of work are done for it.
pub fn check_output(path: &Path) -> Result<()> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            bail!("the folder {} of the output {} does not exist: make it first", folder.display(), path.display())
        }
        _ => Ok(()),
    }
}

/// `gene,pearson,spearman,mse`; a constant gene has no correlation: its fields are empty.
pub fn metrics_table(scores: &scellst::metrics::GeneScores) -> String {
    let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    let mut text = String::from("gene,pearson,spearman,mse\n");
    for (i, gene) in scores.genes.iter().enumerate() {
        text += &format!("{gene},{},{},{}\n", number(scores.pearson[i]), number(scores.spearman[i]), scores.mse[i]);
    }
    text
}

/// Epoch, training and validation loss, as the chart takes them.
pub fn curve(training: &scellst::model::Training) -> Vec<(usize, f32, f32)> {
    training.history.iter().map(|e| (e.epoch, e.train_loss, e.validation_loss)).collect()
}

/// The most memory that the process has had, bytes (Linux only).
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The shared data beside a development checkout, if it is there.
pub fn shared_data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    path.is_dir().then_some(path)
}
