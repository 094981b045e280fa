//! Maps of genes: measured spots beside predicted cells.

use std::path::Path;

use anyhow::{Context, Result};
use scellst::h5::{CountsOptions, read_counts_with, read_matrix, read_uns_number};
use scellst::report::{GeneMap, MapOptions, gene_map_with, save_png};
use scellst::slide::Slide;

/// Draws `<gene>.png` for each gene into a folder.
pub fn write(folder: &Path, pred: &Path, truth: &Path, slide: Option<&Path>, genes: &[String]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let predicted = read_matrix(pred, Some(genes))?;
    let mut reading = CountsOptions::default();
    reading.in_tissue_only = true;
    let measured = read_counts_with(truth, &reading)?;
    let values = measured.expression.log_normalised(genes)?;
    let background = slide.map(|s| Slide::open(s)?.thumbnail(1600)).transpose()?;
    let mpp = read_uns_number(pred, &["scellst", "mpp_x"])?;
    let spot_radius_px = measured.require_spot_size_um(mpp.unwrap_or(1.0))? / mpp.unwrap_or(1.0) / 2.0;
    let options = MapOptions { mpp, ..MapOptions::default() };
    for (i, gene) in genes.iter().enumerate() {
        let map = GeneMap {
            title: gene.clone(),
            background: background.clone(),
            spots: measured.require_spatial()?,
            spot_radius_px,
            spot_values: &values.column(i).to_vec(),
            cells: predicted.spatial.as_deref().context("the prediction has no obsm['spatial']")?,
            cell_values: &predicted.values.column(i).to_vec(),
        };
        save_png(&gene_map_with(&map, &options)?, folder.join(format!("{}.png", gene.replace(['/', '\\'], "_"))))?;
    }
    Ok(())
}
