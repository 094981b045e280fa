use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::first_names;
use crate::{ExprError, Expression};

/// A gene with the number that it was chosen by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneScore {
    /// Its name.
    pub gene: String,
    /// Higher is better; what it is depends on the [`GeneSelection`](crate::GeneSelection).
    pub score: f64,
    /// From 1, the best.
    pub rank: usize,
}

/// The names sorted, as every model holds its genes.
pub fn sorted_names(scores: &[GeneScore]) -> Vec<String> {
    let mut names: Vec<String> = scores.iter().map(|score| score.gene.clone()).collect();
    names.sort_unstable();
    names
}

/// Writes `gene,score,rank` as CSV: to a temporary file beside the target, then renamed.
///
/// # Errors
/// [`ExprError::Io`].
pub fn write_gene_scores(path: &Path, scores: &[GeneScore]) -> Result<(), ExprError> {
    let failed = |source| ExprError::Io { action: "write", path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // Readable by whom the user's mask allows, as any other file: temporary files are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    let mut text = String::from("gene,score,rank\n");
    for GeneScore { gene, score, rank } in scores {
        text.push_str(&format!("{},{score},{rank}\n", quoted(gene)));
    }
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Reads a gene list: a CSV with a `gene` column, or one name a line; empty lines and doubles are passed over.
///
/// # Errors
/// [`ExprError::Io`]; [`ExprError::GeneList`] for a file without names, one that is no text, or a table
/// without a `gene` column.
pub fn read_gene_list(path: &Path) -> Result<Vec<String>, ExprError> {
    let broken = |problem: String| ExprError::GeneList { path: path.to_owned(), problem };
    let bytes = fs::read(path).map_err(|source| ExprError::Io { action: "read", path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        broken(format!(
            "no gene list: not text (byte {}); give a CSV with a 'gene' column or one name a line",
            error.utf8_error().valid_up_to()
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let header = match lines.peek() {
        Some((_, line)) => fields(line),
        None => return Err(broken("the gene list is empty".to_owned())),
    };
    let column = match header.iter().position(|field| field == "gene") {
        Some(column) => {
            lines.next();
            column
        }
        None if header.len() == 1 => 0,
        None => {
            return Err(broken(format!("a table without a 'gene' column; its first line has: {}", header.join(", "))));
        }
    };
    let mut seen = HashSet::new();
    let mut genes = Vec::new();
    for (number, line) in lines {
        let mut fields = fields(line);
        if column >= fields.len() || (header.len() == 1 && fields.len() > 1) {
            return Err(broken(format!("line {}: {} fields, expected {}", number + 1, fields.len(), header.len())));
        }
        let gene = fields.swap_remove(column);
        if !gene.is_empty() && seen.insert(gene.clone()) {
            genes.push(gene);
        }
    }
    if genes.is_empty() {
        return Err(broken("the gene list names no gene".to_owned()));
    }
    Ok(genes)
}

/// The fields of a CSV line, quotes taken off, blanks trimmed.
fn fields(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(std::mem::take(&mut field).trim().to_owned()),
            _ => field.push(c),
        }
    }
    out.push(field.trim().to_owned());
    out
}

fn quoted(gene: &str) -> String {
    if gene.contains([',', '"', '\n', '\r']) { format!("\"{}\"", gene.replace('"', "\"\"")) } else { gene.to_owned() }
}

/// Genes that several sections share.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommonGenes {
    /// Those found in every section, sorted by name.
    pub genes: Vec<String>,
    /// Per section, its genes that another one lacks, sorted by name.
    pub lost: Vec<Vec<String>>,
    /// Per section, the genes of others that it lacks, sorted by name: what it costs them.
    pub lacking: Vec<Vec<String>>,
}

impl fmt::Display for CommonGenes {
    /// A line a section, by number from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} genes in common", self.genes.len())?;
        for (at, (lost, lacking)) in self.lost.iter().zip(&self.lacking).enumerate() {
            write!(f, "\nsection {}: loses {}{}", at + 1, lost.len(), examples(lost))?;
            write!(f, "; lacks {} of the others{}", lacking.len(), examples(lacking))?;
        }
        Ok(())
    }
}

/// The first names of a list, in brackets.
fn examples(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" ({})", first_names(names)) }
}

/// The genes that all sections have, and what each of them loses.
///
/// # Errors
/// [`ExprError::NoCommonGenes`] if there is none.
pub fn common_genes(sections: &[&Expression]) -> Result<CommonGenes, ExprError> {
    let sets: Vec<HashSet<&str>> =
        sections.iter().map(|section| section.genes().iter().map(String::as_str).collect()).collect();
    let mut found_in: BTreeMap<&str, usize> = BTreeMap::new();
    sets.iter().flatten().for_each(|gene| *found_in.entry(*gene).or_default() += 1);
    // In order of the name throughout.
    let select = |keep: &dyn Fn(&str, usize) -> bool| -> Vec<String> {
        found_in.iter().filter(|(gene, count)| keep(gene, **count)).map(|(gene, _)| (*gene).to_owned()).collect()
    };
    let genes = select(&|_, count| count == sets.len());
    if genes.is_empty() {
        let sizes: Vec<String> = sets.iter().map(|set| set.len().to_string()).collect();
        return Err(ExprError::NoCommonGenes { sections: sections.len(), genes: sizes.join(", ") });
    }
    let lost = sets.iter().map(|set| select(&|gene, count| count < sets.len() && set.contains(gene))).collect();
    let lacking = sets.iter().map(|set| select(&|gene, _| !set.contains(gene))).collect();
    Ok(CommonGenes { genes, lost, lacking })
}
