//! An `outs` folder of Space Ranger: the matrix, and where its spots lie.

use std::path::{Path, PathBuf};

use super::{ScaleFactors, Table, is_matrix_market, positions, read_folder, read_h5};
use crate::{CountsOptions, H5Error};

/// What the folder `spatial` says.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) table: Table,
    pub(crate) positions: Option<positions::Positions>,
    pub(crate) scale_factors: Option<ScaleFactors>,
}

/// The matrices that a folder may hold, the wanted kind first.
const FILTERED: [&str; 3] =
    ["filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix", "filtered_gene_bc_matrices_h5.h5"];
const RAW: [&str; 3] = ["raw_feature_bc_matrix.h5", "raw_feature_bc_matrix", "raw_gene_bc_matrices_h5.h5"];

/// The matrix of a folder of Space Ranger or Cell Ranger: `folder` itself, or in `outs`.
pub(crate) fn matrix_of(folder: &Path, raw: bool) -> Result<Option<PathBuf>, H5Error> {
    let (first, second) = if raw { (RAW, FILTERED) } else { (FILTERED, RAW) };
    for folder in [folder.to_owned(), folder.join("outs")] {
        let there = |p: &PathBuf| p.is_file() || is_matrix_market(p);
        // Older versions prefix the sample's name.
        let prefixed = |name: &str| {
            let entries = std::fs::read_dir(&folder).ok()?;
            let mut names: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            names.sort();
            names
                .into_iter()
                .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().ends_with(&format!("_{name}"))))
        };
        let find = |names: [&str; 3]| {
            let exact = names.iter().map(|n| folder.join(n)).find(there);
            exact.or_else(|| prefixed(names[0]).filter(|p| there(p)))
        };
        match (find(first), find(second)) {
            (Some(path), _) => return Ok(Some(path)),
            // The unfiltered matrix has the spots outside of the tissue too; whoever has no other may want it.
            (None, Some(path)) => {
                log::warn!("{}: no {}, {} is read", folder.display(), first[0], path.display());
                return Ok(Some(path));
            }
            (None, None) => {}
        }
        for genome_folder in ["filtered_gene_bc_matrices", "raw_gene_bc_matrices"] {
            if let Some(path) = one_genome(&folder.join(genome_folder))? {
                return Ok(Some(path));
            }
        }
        if is_matrix_market(&folder) {
            return Ok(Some(folder));
        }
    }
    let bins = folders(&folder.join("binned_outputs")).or_else(|| folders(&folder.join("outs/binned_outputs")));
    match bins {
        Some(bins) if !bins.is_empty() => Err(H5Error::Ambiguous {
            path: folder.into(),
            object: "binned_outputs".into(),
            problem: format!(
                "bins of several sizes, '{}'; name the folder of one (8 um is the usual)",
                bins.join("', '")
            ),
        }),
        _ => Ok(None),
    }
}

fn folders(folder: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).filter(|e| e.path().is_dir());
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Some(names)
}

/// Cell Ranger 2 has a folder for each genome.
fn one_genome(folder: &Path) -> Result<Option<PathBuf>, H5Error> {
    let genomes: Vec<String> =
        folders(folder).unwrap_or_default().into_iter().filter(|n| is_matrix_market(&folder.join(n))).collect();
    match &genomes[..] {
        [] => Ok(None),
        [one] => Ok(Some(folder.join(one))),
        many => Err(H5Error::Ambiguous {
            path: folder.into(),
            object: "/".into(),
            problem: format!("counts of {} genomes, '{}'; name the folder of one", many.len(), many.join("', '")),
        }),
    }
}

/// Reads a matrix and the folder `spatial` beside it or above, if there is one.
pub(crate) fn read_section(matrix: &Path, options: &CountsOptions) -> Result<Section, H5Error> {
    let table = if matrix.is_dir() {
        read_folder(matrix, options.limits)?
    } else {
        read_h5(matrix, options.genome.as_deref(), options.limits)?
    };
    let beside = matrix.parent().map(|p| p.join("spatial"));
    let spatial = [Some(matrix.join("spatial")), beside].into_iter().flatten().find(|p| p.is_dir());
    let file = options.positions.clone().or_else(|| spatial.as_deref().and_then(positions::find));
    let positions = file.map(|p| positions::read(&p, &table.barcodes)).transpose()?;
    let scale_factors = match spatial.map(|s| s.join("scalefactors_json.json")).filter(|p| p.is_file()) {
        Some(path) => Some(ScaleFactors::read(&path)?),
        None => None,
    };
    Ok(Section { table, positions, scale_factors })
}
