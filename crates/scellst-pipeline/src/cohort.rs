use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::source::read_toml;
use crate::{PipelineError, SectionSource};

/// Several sections, described in one file.
///
/// As `cohort.toml`, with paths relative to that file; a section stands in it as it would in a `section.toml`, is named
/// by its file, or is one of a folder in HEST layout:
///
/// ```toml
/// [[section]]
/// id = "A1"
/// slide = "a1.svs"
/// counts = "a1/outs"
/// patient = "A"
///
/// [[section]]
/// file = "b1/section.toml"
///
/// [[hest]]
/// folder = "hest"
/// sections = ["C2", "C3"]
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// The sections: those described here first, then those of HEST folders, each in the order of the file.
    pub sections: Vec<SectionSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    section: Vec<toml::Table>,
    #[serde(default)]
    hest: Vec<Hest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hest {
    folder: PathBuf,
    sections: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    file: PathBuf,
}

impl Cohort {
    /// A `cohort.toml`.
    ///
    /// # Errors
    /// As [`SectionSource::read`] and [`SectionSource::hest`]; [`PipelineError::Description`] for a cohort without a
    /// section or with two of one name.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let file: File = read_toml(path)?;
        let wrong = |problem: String| PipelineError::Description { path: path.to_owned(), problem };
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut sections = Vec::new();
        for (number, table) in (1..).zip(file.section) {
            let bad = |e: toml::de::Error| wrong(format!("section {number} of the file: {}", e.message()));
            sections.push(if table.contains_key("file") {
                let named: Named = table.try_into().map_err(bad)?;
                SectionSource::read(&folder.join(named.file))?
            } else {
                let mut section: SectionSource = table.try_into().map_err(bad)?;
                section.resolve(path)?;
                section
            });
        }
        for hest in file.hest {
            for id in &hest.sections {
                sections.push(SectionSource::hest(&folder.join(&hest.folder), id)?);
            }
        }
        if sections.is_empty() {
            return Err(wrong("no [[section]] and no [[hest]] with sections in it".into()));
        }
        let mut names: Vec<&str> = sections.iter().map(|s| s.id.0.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(wrong(format!("section {} is there twice", pair[0])));
        }
        Ok(Self { sections })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_all_three_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b")).unwrap();
        std::fs::write(at("b/section.toml"), "id = 'B'\nslide = 'b.tif'\ncounts = 'b.h5ad'\n").unwrap();
        for part in ["h/st", "h/wsis"] {
            std::fs::create_dir_all(at(part)).unwrap();
        }
        std::fs::write(at("h/st/C.h5ad"), b"").unwrap();
        std::fs::write(at("h/wsis/C.tif"), b"").unwrap();
        let text = "[[section]]\nid = 'A'\nslide = 'a.tif'\ncounts = 'a'\n[[section]]\nfile = 'b/section.toml'\n\
                    [[hest]]\nfolder = 'h'\nsections = ['C']\n";
        std::fs::write(at("cohort.toml"), text).unwrap();
        let sections = Cohort::read(&at("cohort.toml")).unwrap().sections;
        assert_eq!(sections.iter().map(|s| s.id.0.as_str()).collect::<Vec<_>>(), ["A", "B", "C"]);
        assert_eq!((sections[0].slide.clone(), sections[1].slide.clone()), (at("a.tif"), at("b/b.tif")));

        let refused = |text: &str, word: &str| {
            std::fs::write(at("bad.toml"), text).unwrap();
            let e = Cohort::read(&at("bad.toml")).unwrap_err().to_string();
            assert!(e.contains(word) && e.contains("bad.toml"), "{e}");
        };
        refused("", "no [[section]]");
        refused(
            "[[section]]\nid = 'A'\nslide = 'a'\ncounts = 'a'\n[[section]]\nid = 'A'\nslide = 'a'\ncounts = 'a'",
            "twice",
        );
        refused("[[section]]\nid = 'A'\nslide = 'a'\n", "section 1 of the file");
        refused("[[section]]\nfile = 'b/section.toml'\nmpp = 0.5\n", "mpp");
        refused("[[sections]]\nid = 'A'\n", "sections");
    }
}
