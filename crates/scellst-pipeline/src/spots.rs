use ndarray::{Array2, ArrayView2, Axis};
use scellst_model::{Ensemble, Pooling};

use crate::output::Output;
use crate::{Bundle, PipelineError, PreparedSection};

/// Log-normalised expression of a section's spots from their cells, pooled as the model was trained: `(bags, genes)`, for
/// the spots that have cells, in the order of `section.bags`.
///
/// The section is to be prepared as the bundle wants it: [`Bundle::prepare_options`], its encoder.
///
/// # Errors
/// [`PipelineError::Model`] for features of another width.
pub fn predict_spots(bundle: &Bundle, section: &PreparedSection) -> Result<Array2<f32>, PipelineError> {
    bag_predictions(bundle.models(), &bundle.output(), section.features.view(), section.bags.offsets())
}

/// The attention's mean of each bag's cells' values; else the mean of its cells' log-normalised predictions, a deep set's
/// being the bag (also where cells add up: measurements are divided by the spot's total).
pub(crate) fn bag_predictions(
    models: &Ensemble,
    output: &Output,
    features: ArrayView2<'_, f32>,
    offsets: &[u32],
) -> Result<Array2<f32>, PipelineError> {
    if models.members().iter().any(|m| m.shape().pooling() == Pooling::Attention) {
        return Ok(output.expression(models.predict(|_, m| m.predict_bags(features, offsets))?)?.0);
    }
    let (cells, _) = output.expression(models.predict(|_, m| m.predict_cells_of_bags(features, offsets))?)?;
    let mut means = Array2::zeros((offsets.len().saturating_sub(1), cells.dim().1));
    for (bag, mut row) in offsets.windows(2).zip(means.rows_mut()) {
        let rows = bag[0] as usize..bag[1] as usize;
        let n = rows.len() as f32;
        rows.for_each(|cell| row += &cells.row(cell));
        row /= n;
    }
    Ok(means)
}

/// Writes [`predict_spots`] as an h5ad: one row a spot that has cells, named as its counts are, one column a gene,
/// `obsm['spatial']` in level-0 pixels, `obs['cells']`.
///
/// # Errors
/// As [`predict_spots`]; [`PipelineError::H5`].
#[cfg(feature = "h5ad")]
pub fn write_spots_h5ad(
    bundle: &Bundle,
    section: &PreparedSection,
    path: &std::path::Path,
) -> Result<usize, PipelineError> {
    use scellst_h5::{Column, PredictionHeader, PredictionWriter};

    let predicted = predict_spots(bundle, section)?;
    let spots: Vec<usize> = section.bags.spots().iter().map(|&spot| spot as usize).collect();
    let names: Vec<String> = spots.iter().map(|&s| section.filtered.observations()[s].clone()).collect();
    let places: Vec<_> = spots.iter().map(|&s| section.spots.centres()[s]).collect();
    let cells = section.bags.offsets().windows(2).map(|w| (w[1] - w[0]) as f32).collect();
    let manifest = bundle.manifest();
    let header = PredictionHeader {
        obs_names: &names,
        var_names: &manifest.genes,
        spatial: &places,
        obs: vec![("cells".to_owned(), Column::F32(cells))],
        var: vec![("train_variance".to_owned(), Column::F64(manifest.train_variance.clone()))],
        uns: serde_json::json!({ "scellst": {
            "created_by": concat!("scellst ", env!("CARGO_PKG_VERSION")),
            "unit": "log1p of counts per 10,000 of spots, predicted from H&E, not measured",
            "mpp_x": section.mpp.x(),
            "mpp_y": section.mpp.y(),
            "pooling": manifest.shape.pooling().to_string(),
        }}),
        ..PredictionHeader::default()
    };
    let mut writer = PredictionWriter::create(path, &header, None)?;
    writer.write_rows(predicted.view())?;
    writer.finish()?;
    Ok(predicted.len_of(Axis(0)))
}
