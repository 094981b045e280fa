//! Xenium's transcripts to cells x genes.

use std::collections::HashMap;
use std::path::Path;

use scellst_expr::{CsrMatrix, Expression};
use scellst_types::{Micron, Point};

use super::LeftOut;
use crate::parquet_table::{Cells, ParquetTable};
use crate::{H5Error, ReadLimits};

/// What Xenium's programs call the features that are no genes, and the kinds that `cell_feature_matrix.h5` gives them.
const CONTROLS: [(&str, &str); 8] = [
    ("negcontrolprobe_", "Negative Control Probe"),
    ("negcontrolcodeword_", "Negative Control Codeword"),
    ("antisense_", "Negative Control Probe"),
    ("blank_", "Blank Codeword"),
    ("unassignedcodeword_", "Unassigned Codeword"),
    ("deprecatedcodeword_", "Deprecated Codeword"),
    ("intergenic_region_", "Genomic Control"),
    ("falsepositive", "Negative Control Codeword"),
];

/// How many transcripts went where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TranscriptCounts {
    /// In the file.
    pub all: u64,
    /// Counted: good, of a gene, in a cell.
    pub counted: u64,
    /// Quality below the bound.
    pub poor: u64,
    /// Good, but of a control.
    pub controls: u64,
    /// Good and of a gene, but in no cell.
    pub unassigned: u64,
}

impl std::fmt::Display for TranscriptCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { all, counted, poor, controls, unassigned } = self;
        write!(
            f,
            "{counted} of {all} transcripts counted; {poor} poor, {controls} of controls, {unassigned} in no cell"
        )
    }
}

/// Cells in order of their ids (numbers by size, texts by the alphabet), genes by name.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) expression: Expression,
    /// Mean of each cell's counted transcripts.
    pub(crate) centres: Vec<Point<Micron>>,
    pub(crate) left_out: LeftOut,
    pub(crate) transcripts: TranscriptCounts,
}

/// Numbers for names, in order of appearance.
#[derive(Default)]
struct Names {
    index: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn of(&mut self, name: &str) -> u32 {
        if let Some(&at) = self.index.get(name) {
            return at;
        }
        let at = self.names.len() as u32;
        self.index.insert(name.to_owned(), at);
        self.names.push(name.to_owned());
        at
    }

    /// For each name its place in the order of `before`, and the names in that order.
    fn sorted(self, numeric: bool) -> (Vec<u32>, Vec<String>) {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        let number = |i: usize| self.names[i].parse::<i64>().unwrap_or(0);
        if numeric {
            order.sort_by_key(|&i| number(i));
        } else {
            order.sort_by(|&a, &b| self.names[a].cmp(&self.names[b]));
        }
        let mut places = vec![0; order.len()];
        for (to, &from) in order.iter().enumerate() {
            places[from] = to as u32;
        }
        (places, order.into_iter().map(|i| self.names[i].clone()).collect())
    }
}

/// Counts the transcripts of genes in cells with `qv >= min_qv`.
pub(crate) fn read_transcripts(path: &Path, min_qv: Option<f64>, limits: ReadLimits) -> Result<Counted, H5Error> {
    let table = ParquetTable::open(path)?;
    let mut wanted = vec![table.require("feature_name")?, table.require("cell_id")?];
    let mut optional = |name: &str| {
        table.column(name).map(|column| {
            wanted.push(column);
            wanted.len() - 1
        })
    };
    let (qv, is_gene) = (optional("qv"), optional("is_gene"));
    let kind = optional("codeword_category");
    let (x, y) = (optional("x_location").or_else(|| optional("x")), optional("y_location").or_else(|| optional("y")));
    if min_qv.is_some() && qv.is_none() {
        let help = "the transcripts have no quality; if the poor ones have been removed already, set min_qv to none";
        return Err(H5Error::missing(path, "column 'qv'", help));
    }
    let (mut cells, mut genes, mut controls) = (Names::default(), Names::default(), Names::default());
    let mut control_counts: Vec<(String, u64)> = Vec::new();
    let mut places: Vec<(f64, f64, u64)> = Vec::new();
    let mut counts: HashMap<(u32, u32), u32> = HashMap::new();
    let mut said = TranscriptCounts::default();
    let mut numeric = true;
    table.for_each_block(&wanted, |block| {
        let cell = |at: Option<usize>| at.and_then(|at| block.get(at));
        let [features, ids, ..] = block else { return Ok(()) };
        numeric &= !ids.is_text();
        for i in 0..features.len() {
            let row = said.all;
            said.all += 1;
            let Some(name) = features.text(i) else {
                return Err(H5Error::broken(path, &format!("row {row}"), "no text in feature_name"));
            };
            // A missing quality is no good one.
            if min_qv.is_some_and(|least| cell(qv).and_then(|c| c.number(i)).is_none_or(|q| q < least)) {
                said.poor += 1;
                continue;
            }
            let given = cell(kind).and_then(|c| c.text(i));
            let is_gene = cell(is_gene).and_then(|c| c.integer(i)).map(|g| g != 0);
            if let Some(kind) = control(name, given, is_gene) {
                said.controls += 1;
                let at = controls.of(name) as usize;
                if at == control_counts.len() {
                    control_counts.push((kind.to_owned(), 0));
                }
                control_counts[at].1 += 1;
                continue;
            }
            let Some(id) = assigned(ids, i) else {
                said.unassigned += 1;
                continue;
            };
            let at = cells.of(&id);
            if places.len() <= at as usize {
                places.push((0.0, 0.0, 0));
            }
            if let (Some(x), Some(y)) = (cell(x).and_then(|c| c.number(i)), cell(y).and_then(|c| c.number(i))) {
                let place = &mut places[at as usize];
                *place = (place.0 + x, place.1 + y, place.2 + 1);
            }
            *counts.entry((at, genes.of(name))).or_insert(0) += 1;
            said.counted += 1;
        }
        // A pair takes some 24 bytes in a table half full.
        let bytes = counts.len() as u64 * 48;
        if bytes > limits.max_array_bytes {
            return Err(H5Error::limit(
                path,
                "/",
                format!("{bytes} bytes in memory, {} are allowed", limits.max_array_bytes),
            ));
        }
        Ok(())
    })?;
    let mut left_out = LeftOut::default();
    for (name, (kind, count)) in controls.names.iter().zip(&control_counts) {
        left_out.add(kind, name, *count as f64);
    }
    let (cell_places, observations) = cells.sorted(numeric);
    let (gene_places, genes) = genes.sorted(false);
    let mut entries: Vec<(u32, u32, u32)> =
        counts.into_iter().map(|((c, g), n)| (cell_places[c as usize], gene_places[g as usize], n)).collect();
    entries.sort_unstable();
    let mut pointers = vec![0usize; observations.len() + 1];
    for &(cell, _, _) in &entries {
        pointers[cell as usize + 1] += 1;
    }
    for i in 0..observations.len() {
        pointers[i + 1] += pointers[i];
    }
    let broken = |e: scellst_expr::ExprError| H5Error::broken(path, "/", e.to_string());
    let (indices, values) = entries.iter().map(|&(_, gene, n)| (gene, n as f32)).unzip();
    let matrix = CsrMatrix::new(observations.len(), genes.len(), pointers, indices, values).map_err(broken)?;
    let mut centres = vec![Point::new(0.0, 0.0); places.len()];
    for (&to, (x, y, n)) in cell_places.iter().zip(places) {
        centres[to as usize] = Point::new(x / n as f64, y / n as f64);
    }
    // Without coordinates there is no mean.
    if centres.iter().any(|c: &Point<Micron>| !c.is_finite()) {
        centres.clear();
    }
    log::info!("{}: {said}", path.display());
    let expression = Expression::new(matrix, genes, observations).map_err(broken)?;
    Ok(Counted { expression, centres, left_out, transcripts: said })
}

/// The kind of a feature that is no gene: by the file's own columns, else by its name.
fn control<'k>(name: &str, given: Option<&'k str>, is_gene: Option<bool>) -> Option<&'k str> {
    let by_name = || {
        let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        CONTROLS.iter().find(|(prefix, _)| starts(prefix)).map(|(_, kind)| *kind)
    };
    match (is_gene, given) {
        (Some(true), _) => None,
        (Some(false), Some(kind)) => Some(kind),
        (Some(false), None) => Some(by_name().unwrap_or("no gene")),
        (None, Some("predesigned_gene" | "custom_gene")) => None,
        (None, Some(kind)) => Some(kind),
        (None, None) => by_name(),
    }
}

/// The cell of a transcript, if it has one: -1, 0 and `UNASSIGNED` have stood for none.
fn assigned(ids: &Cells, row: usize) -> Option<String> {
    match ids.integer(row) {
        Some(number) => (number > 0).then(|| number.to_string()),
        None => ids.text(row).filter(|t| !(t.is_empty() || *t == "UNASSIGNED" || *t == "-1")).map(str::to_owned),
    }
}
