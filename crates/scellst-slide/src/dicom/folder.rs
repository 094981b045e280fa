//! Which files are a slide: the instances of one series, in one folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::{StandardSopClassDictionary, uids};

use super::dataset::Budget;
use super::instance::{Identity, Instance};
use crate::source::Source;
use crate::{Limits, SlideError};

const WSI: &str = uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE;

/// The instances of the slide that a folder holds, or that a file is one of.
pub(super) fn instances(path: &Path, limits: &Limits) -> Result<Vec<Instance>, SlideError> {
    let files = if path.is_dir() { of_folder(path, limits)? } else { of_file(path, limits)? };
    if files.len() as u64 > u64::from(limits.max_directories) {
        let found = (files.len() as u64, limits.max_directories.into());
        return Err(SlideError::over_limit(path, "the series", "instances", found, "raise Limits::max_directories"));
    }
    let mut budget = Budget::new(limits.max_tag_bytes);
    let mut instances: Vec<Instance> = Vec::new();
    for (file, identity) in files {
        let instance = Instance::read(Arc::new(Source::open(&file)?), &identity, &mut budget)?;
        match instances.iter().find(|other| !other.uid.is_empty() && other.uid == instance.uid) {
            Some(other) => log::debug!("{}: a copy of {}", file.display(), other.source.path().display()),
            None => instances.push(instance),
        }
    }
    Ok(instances)
}

type Files = Vec<(PathBuf, Identity)>;

/// The file and those beside it that are of its series.
fn of_file(path: &Path, limits: &Limits) -> Result<Files, SlideError> {
    let own = Identity::read(&Source::open(path)?, limits)?
        .ok_or_else(|| SlideError::broken(path, "the file", "DICOM file meta information", "none"))?;
    if own.sop_class != WSI {
        let hint = match own.sop_class.as_str() {
            uids::MEDIA_STORAGE_DIRECTORY_STORAGE => "give the folder of the slide's instances, or one of them",
            _ => "only instances of VL Whole Slide Microscopy Image Storage are read",
        };
        let found = format!("a DICOM instance of {}", class_name(&own.sop_class));
        return Err(SlideError::unsupported(path, "the file", found, hint));
    }
    if own.series.is_empty() {
        return Err(SlideError::broken(path, "the data set", "SeriesInstanceUID", "none"));
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut files = vec![(path.to_owned(), own)];
    for file in regular_files(folder, limits)? {
        if file.file_name() == path.file_name() {
            continue;
        }
        let identity = Identity::read(&Source::open(&file)?, limits)?;
        let series = &files[0].1.series;
        if let Some(identity) = identity.filter(|other| other.sop_class == WSI && other.series == *series) {
            files.push((file, identity));
        }
    }
    Ok(files)
}

/// The instances of the only whole-slide series of a folder.
fn of_folder(folder: &Path, limits: &Limits) -> Result<Files, SlideError> {
    let mut series: BTreeMap<String, Files> = BTreeMap::new();
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for file in regular_files(folder, limits)? {
        match Identity::read(&Source::open(&file)?, limits)? {
            Some(identity) if identity.sop_class == WSI => {
                series.entry(identity.series.clone()).or_default().push((file, identity));
            }
            Some(identity) => *others.entry(class_name(&identity.sop_class)).or_default() += 1,
            None => {}
        }
    }
    let hint =
        "give a folder (its subfolders are not looked into) with the instances of one slide, or one of its files";
    if series.len() > 1 {
        let list: Vec<String> = series.iter().take(8).map(|(uid, files)| describe(uid, files)).collect();
        let more = if series.len() > list.len() { " and more" } else { "" };
        let found = format!("{} slides: {}{more}", series.len(), list.join("; "));
        let hint = "open one of them by one of its files";
        return Err(SlideError::unsupported(folder, "the folder", found, hint));
    }
    match series.into_values().next() {
        Some(files) => Ok(files),
        None if others.is_empty() => {
            Err(SlideError::unsupported(folder, "the path", "a folder without DICOM files", hint))
        }
        None => {
            let list: Vec<String> = others.iter().take(8).map(|(name, count)| format!("{count} of {name}")).collect();
            let found = format!("a folder of DICOM files, but none of a whole slide ({})", list.join(", "));
            Err(SlideError::unsupported(folder, "the path", found, hint))
        }
    }
}

fn describe(uid: &str, files: &Files) -> String {
    let name = files.first().and_then(|(file, _)| file.file_name()).unwrap_or_default();
    format!("{} ({} files) in series {uid}", name.display(), files.len())
}

/// A SOP class by its name.
fn class_name(uid: &str) -> String {
    match StandardSopClassDictionary.by_uid(uid) {
        Some(entry) => entry.name.to_owned(),
        None if uid.is_empty() => "no SOP class".to_owned(),
        None => format!("SOP class {uid}"),
    }
}

/// The files of a folder by their names; no pipes or devices, which might never end.
fn regular_files(folder: &Path, limits: &Limits) -> Result<Vec<PathBuf>, SlideError> {
    let mut files = Vec::new();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).map_err(|e| SlideError::io(folder, "list the folder", e))? {
        let file = entry.map_err(|e| SlideError::io(folder, "list the folder", e))?.path();
        seen += 1;
        if seen > limits.max_files {
            let hint = "move the slide's instances into a folder of their own, or raise Limits::max_files";
            let found = (seen.into(), limits.max_files.into());
            return Err(SlideError::over_limit(folder, "the folder", "files", found, hint));
        }
        // A link that leads nowhere is no file.
        if std::fs::metadata(&file).is_ok_and(|meta| meta.is_file()) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
