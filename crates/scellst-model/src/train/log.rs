use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Epoch;
use crate::ModelError;

/// A line of the log of a training: JSON, one line an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Which member of an ensemble, from 0.
    pub member: usize,
    /// What the epoch came to.
    #[serde(flatten)]
    pub epoch: Epoch,
    /// How long it took, wall clock; in an epoch that was taken up again only the time since.
    pub seconds: f64,
}

/// A file that grows by a line an epoch, each on the disk before training goes on.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    member: usize,
    since: Instant,
}

impl Log {
    /// Opens it, and cuts off what a training that now goes on after `epochs` epochs of this member would write twice: an
    /// epoch whose checkpoint was not written any more, and a line that broke off. Lines of other members stay.
    pub fn open(path: &Path, member: usize, epochs: usize) -> Result<Self, ModelError> {
        let fail = |e: std::io::Error| ModelError::File { path: path.to_owned(), problem: e.to_string() };
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(fail(e)),
        };
        let stays = |line: &&str| {
            serde_json::from_str::<LogLine>(line).is_ok_and(|l| l.member != member || l.epoch.epoch <= epochs)
        };
        let kept: String = old.lines().filter(stays).flat_map(|line| [line, "\n"]).collect();
        if kept != old {
            crate::train::write_whole(path, kept.as_bytes()).map_err(fail)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(fail)?;
        Ok(Self { path: path.to_owned(), file, member, since: Instant::now() })
    }

    /// Adds a line.
    pub fn write(&mut self, epoch: &Epoch) -> Result<(), ModelError> {
        let seconds = (self.since.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        self.since = Instant::now();
        let line = LogLine { member: self.member, epoch: *epoch, seconds };
        let fail = |problem: String| ModelError::File { path: self.path.clone(), problem };
        let mut json = serde_json::to_string(&line).map_err(|e| fail(e.to_string()))?;
        json.push('\n');
        // One write: two threads or a kill leave whole lines or none, as far as the system can.
        self.file.write_all(json.as_bytes()).and_then(|()| self.file.flush()).map_err(|e| fail(e.to_string()))
    }
}
