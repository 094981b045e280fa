//! Maps of genes: measured spots beside predicted cells.

use std::path::Path;

use anyhow::{Context, Result};
use scellst::h5::{read_h5ad, read_matrix};
use scellst::report::{GeneMap, gene_map, save_png};
use scellst::slide::Slide;

/// Draws `<gene>.png` for each gene into a folder.
pub fn write(folder: &Path, pred: &Path, truth: &Path, slide: Option<&Path>, genes: &[String]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let predicted = read_matrix(pred, Some(genes))?;
    let measured = read_h5ad(truth)?;
    let values = measured.expression.log_normalised(genes)?;
    let background = slide.map(|s| Slide::open(s)?.thumbnail(1600)).transpose()?;
    for (i, gene) in genes.iter().enumerate() {
        let picture = gene_map(&GeneMap {
            title: gene.clone(),
            background: background.clone(),
            spots: measured.require_spatial()?,
            spot_radius_px: measured.require_spot_diameter_px()? / 2.0,
            spot_values: &values.column(i).to_vec(),
            cells: predicted.spatial.as_deref().context("the prediction has no obsm['spatial']")?,
            cell_values: &predicted.values.column(i).to_vec(),
        })?;
        save_png(&picture, folder.join(format!("{}.png", gene.replace(['/', '\\'], "_"))))?;
    }
    Ok(())
}
