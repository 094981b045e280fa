//! Sections to train on, as they are named on the command line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use scellst::pipeline::{Cohort, SectionSource};

/// Options that name sections.
#[derive(clap::Args, Debug, Clone)]
pub struct Sections {
    /// A folder in HEST layout
    #[arg(long, value_name = "DIR")]
    pub hest: Option<PathBuf>,
    /// Sections of it to train on
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', requires = "hest")]
    pub sections: Vec<String>,
    /// A section described by a file (slide, counts, mpp, spot diameter); may be repeated
    #[arg(long, value_name = "FILE.toml")]
    pub section: Vec<PathBuf>,
    /// Sections described together in one file
    #[arg(long, value_name = "FILE.toml")]
    pub cohort: Option<PathBuf>,
}

impl Sections {
    /// All of them, in the order of the options; at least one.
    pub fn read(&self) -> Result<Vec<SectionSource>> {
        let mut sources = Vec::new();
        if let Some(folder) = &self.hest {
            if self.sections.is_empty() && self.cohort.is_none() && self.section.is_empty() {
                bail!("--hest needs --sections: which of its sections to train on");
            }
            for id in &self.sections {
                sources.push(SectionSource::hest(folder, id)?);
            }
        }
        for file in &self.section {
            sources.push(SectionSource::read(file)?);
        }
        if let Some(file) = &self.cohort {
            sources.extend(Cohort::read(file)?.sections);
        }
        if sources.is_empty() {
            bail!("nothing to train on: give --hest DIR --sections A,B, --cohort FILE.toml or --section FILE.toml");
        }
        Ok(sources)
    }
}
