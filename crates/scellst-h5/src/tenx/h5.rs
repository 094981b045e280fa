//! `filtered_feature_bc_matrix.h5`, `cell_feature_matrix.h5` and those of Cell Ranger 2.

use std::path::Path;
use std::sync::Arc;

use scellst_expr::Features;

use super::features::Table;
use crate::matrix::{StoredMatrix, Values};
use crate::source::{Kind, Source};
use crate::{H5Error, ReadLimits};

/// Reads the whole matrix; `genome` chooses among those of Cell Ranger 2.
pub(crate) fn read_h5(path: &Path, genome: Option<&str>, limits: ReadLimits) -> Result<Table, H5Error> {
    let source = Source::open(path, limits)?;
    let mut table = if source.kind("matrix/features")? == Some(Kind::Group) {
        read_features(&source)?
    } else {
        let group = one_genome(&source, genome)?;
        read_group(&source, &group, "genes", "gene_names")?
    };
    if source.kind("matrix/features/genome")?.is_some() {
        keep_genome(&source, &mut table, genome)?;
    }
    Ok(table)
}

/// Whether a file is one of these.
pub(crate) fn is_tenx(source: &Source) -> Result<bool, H5Error> {
    Ok(source.kind("matrix/barcodes")?.is_some() || !genomes(source)?.is_empty())
}

fn read_features(source: &Arc<Source>) -> Result<Table, H5Error> {
    let mut table = read_group(source, "matrix", "features/id", "features/name")?;
    let kinds = source.dataset("matrix/features/feature_type")?;
    kinds.expect_len(table.features.symbols.len(), "one for each feature")?;
    table.features.kinds = kinds.texts()?;
    Ok(table)
}

fn read_group(source: &Arc<Source>, group: &str, ids: &str, names: &str) -> Result<Table, H5Error> {
    let barcodes = source.dataset(&format!("{group}/barcodes"))?.texts()?;
    let ids = source.dataset(&format!("{group}/{ids}"))?.texts()?;
    let dataset = source.dataset(&format!("{group}/{names}"))?;
    dataset.expect_len(ids.len(), "one name for each id")?;
    let names = dataset.texts()?;
    let stored = StoredMatrix::open_tenx(source, group, barcodes.len(), names.len())?;
    Ok(Table {
        counts: stored.to_csr(Values::Counts)?,
        barcodes,
        features: Features { symbols: names, ids, kinds: Vec::new() },
    })
}

/// The groups of Cell Ranger 2, one a genome.
fn genomes(source: &Source) -> Result<Vec<String>, H5Error> {
    let mut found = Vec::new();
    for name in source.members("")? {
        if source.kind(&name)? == Some(Kind::Group) && source.kind(&format!("{name}/barcodes"))?.is_some() {
            found.push(name);
        }
    }
    Ok(found)
}

fn one_genome(source: &Source, wanted: Option<&str>) -> Result<String, H5Error> {
    let found = genomes(source)?;
    choose(source, &found, wanted, "/").map(str::to_owned)
}

fn choose<'f>(source: &Source, found: &'f [String], wanted: Option<&str>, place: &str) -> Result<&'f str, H5Error> {
    let list = found.join("', '");
    match (wanted, found) {
        (_, []) => Err(H5Error::missing(
            source.path(),
            "matrix",
            "neither an .h5ad file nor a matrix of Cell Ranger, Space Ranger or Xenium",
        )),
        (Some(wanted), _) => found.iter().find(|g| *g == wanted).map(String::as_str).ok_or_else(|| {
            H5Error::missing(source.path(), &format!("the genome '{wanted}'"), format!("the file has '{list}'"))
        }),
        (None, [one]) => Ok(one),
        (None, _) => Err(H5Error::Ambiguous {
            path: source.path().into(),
            object: place.into(),
            problem: format!("counts of {} genomes, '{list}'; say which (option genome)", found.len()),
        }),
    }
}

/// One of several genomes of a newer file, whose features all lie in one matrix.
fn keep_genome(source: &Arc<Source>, table: &mut Table, wanted: Option<&str>) -> Result<(), H5Error> {
    let place = "matrix/features/genome";
    let dataset = source.dataset(place)?;
    dataset.expect_len(table.features.symbols.len(), "one for each feature")?;
    let of_each = dataset.texts()?;
    let mut found: Vec<String> = of_each.iter().filter(|g| !g.is_empty()).cloned().collect();
    found.sort();
    found.dedup();
    if wanted.is_none() && found.len() < 2 {
        return Ok(());
    }
    // Features without a genome, such as antibodies, are no genes anyway, and control probes have names of their own.
    let genes = of_each.iter().zip(&table.features.kinds).filter(|(_, kind)| *kind == "Gene Expression");
    let mut of_genes: Vec<String> = genes.map(|(g, _)| g.clone()).filter(|g| !g.is_empty()).collect();
    of_genes.sort();
    of_genes.dedup();
    if wanted.is_none() && of_genes.len() < 2 {
        return Ok(());
    }
    let wanted = choose(source, &of_genes, wanted, place)?;
    for (genome, kind) in of_each.iter().zip(&mut table.features.kinds) {
        if genome != wanted && kind == "Gene Expression" {
            *kind = format!("Gene Expression of {genome}");
        }
    }
    Ok(())
}
