//! The genes that a model would predict, with what they were chosen by.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use scellst::expr::{
    FilterConfig, GeneSelection, SpatialStatistic, SpatialTest, SpotGraph, Tails, common_genes, spatial_tests,
    write_gene_scores,
};
use scellst::h5::{CountsOptions, read_counts_with};
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
    /// Moran's I and Geary's C of all genes that are left, with p-values (normality, one-sided; Benjamini-Hochberg), as
    /// another CSV
    #[arg(long, value_name = "tests.csv")]
    tests: Option<PathBuf>,
    /// Neighbours of a spot for those: 6 on a hexagonal array (Visium), 4 on a square one
    #[arg(long, value_name = "6|4", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=32))]
    neighbours: u8,
    /// Which genome, where a file has several
    #[arg(long)]
    genome: Option<String>,
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
            let mut options = CountsOptions::default();
            options.genome.clone_from(&args.genome);
            let section = read_counts_with(path, &options)?;
            if !section.left_out.is_empty() {
                console.note(&format!("{}: {}", path.display(), section.left_out));
            }
            // Only spatial statistics ask where the spots are.
            let centres = match &args.genes {
                _ if args.tests.is_some() => Some(section.require_spatial()?.to_vec()),
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
        if let Some(file) = &args.tests {
            let mut table = String::from("section,gene,morans_i,p,p_adjusted,gearys_c,p_geary,p_geary_adjusted\n");
            for (path, (expression, centres)) in args.h5ad.iter().zip(&sections) {
                let graph = SpotGraph::grid(centres.as_deref().unwrap_or_default(), args.neighbours.into())?;
                let test = |statistic| spatial_tests(expression, expression.genes(), &graph, statistic, Tails::One);
                let (moran, geary) = (test(SpatialStatistic::MoransI)?, test(SpatialStatistic::GearysC)?);
                let section = path.file_stem().unwrap_or_default().to_string_lossy();
                for ((gene, i), c) in expression.genes().iter().zip(&moran.genes).zip(&geary.genes) {
                    let three = |test: &Option<SpatialTest>| match test {
                        Some(t) => format!("{},{},{}", t.value, t.p, t.p_adjusted),
                        // A constant gene.
                        None => ",,".to_owned(),
                    };
                    table += &format!("{section},{gene},{},{}\n", three(i), three(c));
                }
            }
            common::write_whole(file, table.as_bytes())?;
        }
        console.note(&format!("{} genes", scores.len()));
        Ok(())
    })
}
