//! The genes that a model would predict, with what they were chosen by.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scellst::expr::{FilterConfig, GeneSelection, common_genes, write_gene_scores};
use scellst::h5::read_counts;
use scellst::pipeline::Observer;

/// Chooses genes from the counts of one or more sections and writes `gene,score,rank`
#[derive(Parser)]
#[command(name = "select_genes")]
struct Args {
    /// Counts: h5ad files, folders of Space Ranger, matrices of 10x; several are taken together
    #[arg(long, alias = "counts", value_name = "FILE", required = true, num_args = 1.., value_delimiter = ',')]
    h5ad: Vec<PathBuf>,
    /// hvg:K (seurat_v3), var:K (variance after log-normalising), svg:K, or a file of names
    #[arg(long, value_name = "hvg:1000|svg:50|var:1000|FILE")]
    genes: GeneSelection,
    /// Take all genes and spots, without the filters on counts
    #[arg(long)]
    no_filter: bool,
    /// The CSV
    #[arg(long, value_name = "genes.csv")]
    out: PathBuf,
    #[command(flatten)]
    common: common::Common,
}

fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        let console = common::Console::default();
        let mut sections = Vec::new();
        for path in &args.h5ad {
            let section = read_counts(path)?;
            if !section.left_out.is_empty() {
                console.note(&format!("{}: {}", path.display(), section.left_out));
            }
            // Only Moran's I asks where the spots are.
            let centres = match &args.genes {
                GeneSelection::Svg(_) => Some(section.require_spatial()?.to_vec()),
                _ => None,
            };
            sections.push(if args.no_filter {
                (section.expression, centres)
            } else {
                let filtered = FilterConfig::default().apply_owned(section.expression)?;
                console.note(&format!("{}: {}", path.display(), filtered.report));
                let kept = centres.map(|c| filtered.observations.iter().map(|&i| c[i]).collect());
                (filtered.expression, kept)
            });
        }
        if sections.len() > 1 {
            let expressions: Vec<_> = sections.iter().map(|(expression, _)| expression).collect();
            console.note(&common_genes(&expressions)?.to_string());
        }
        let centred: Option<Vec<_>> = sections.iter().map(|(e, c)| Some((e, c.as_deref()?))).collect();
        let scores = match centred {
            Some(sections) => args.genes.select_with_centres(&sections)?,
            None => args.genes.select(&sections.iter().map(|(e, _)| e).collect::<Vec<_>>())?,
        };
        write_gene_scores(&args.out, &scores)?;
        console.note(&format!("{} genes", scores.len()));
        Ok(())
    })
}
