//! The baselines of the model that a prediction is of, on the same spots.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use scellst::h5::{MatrixReader, read_uns_text};
use scellst::pipeline::{
    Beside, Bundle, Evaluation, EvidenceOptions, MeanPearson, Observer, Weighed, parse_device, predict_baselines,
};

/// The bundle given, else that which the prediction names, if it is still there and of the same genes.
pub fn find_bundle(pred: &Path, given: Option<&Path>) -> Result<Option<(PathBuf, Bundle)>> {
    let named = || -> Result<Option<PathBuf>> {
        Ok(read_uns_text(pred, &["scellst", "model_path"])?.map(PathBuf::from).filter(|path| path.is_dir()))
    };
    let Some(folder) = given.map_or_else(named, |path| Ok(Some(path.to_owned())))? else { return Ok(None) };
    let bundle = Bundle::load(&folder, &parse_device("cpu")?)?;
    if bundle.manifest().genes != MatrixReader::open(pred, None)?.var_names() {
        if given.is_some() {
            bail!("{} predicts other genes than {} has: it is another model's", folder.display(), pred.display());
        }
        return Ok(None);
    }
    Ok(Some((folder, bundle)))
}

/// The slide given, else that which the prediction names, if it is still there.
pub fn find_slide(pred: &Path, given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(path) = given {
        return Ok(Some(path.to_owned()));
    }
    Ok(read_uns_text(pred, &["scellst", "slide_path"])?.map(PathBuf::from).filter(|path| path.is_file()))
}

/// All baselines of the bundle on the spots (or cells) of an evaluation.
pub fn beside(
    bundle: &Bundle,
    slide: &Path,
    mpp: Option<f64>,
    result: &Evaluation,
    weighing: &EvidenceOptions,
    observer: &dyn Observer,
) -> Result<Vec<(String, Beside)>> {
    let slide = super::open_slide(slide, mpp)?;
    let predicted = predict_baselines(bundle, &slide, &result.grouped, None, observer)?;
    observer.stage("weighing the baselines");
    let one = |(name, values): (String, ndarray::Array2<f32>)| {
        let other = result.compared.with_predictions(&values, &bundle.manifest().genes)?;
        let beside = result.compared.beside(&other, weighing).with_context(|| name.clone())?;
        Ok((name, beside))
    };
    predicted.into_iter().map(one).collect()
}

/// The model and what stands beside it, a line each.
pub fn table(result: &Evaluation, weighed: &Weighed, beside: &[(String, Beside)]) -> Vec<String> {
    let width = beside.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(12);
    let line = |name: &str, means: &[MeanPearson], rmse: f64, rest: String| {
        let means: String = means.iter().map(|(genes, mean, _)| format!("  top {genes}: {:.3}", mean + 0.0)).collect();
        format!("{name:<width$}{means}  RMSE {rmse:.3}{rest}")
    };
    let genes = result.compared.genes.len();
    let mut lines = vec![line("prediction", &weighed.means, weighed.rmse(), String::new())];
    for (name, b) in beside {
        let test = match (b.difference, b.p_value) {
            (Some(d), Some(p)) => format!("  ({d:+.3} for the prediction, p = {p:.3})"),
            _ if b.constant == genes => "  (constant: no correlation)".to_owned(),
            _ => String::new(),
        };
        lines.push(line(name, &b.means, b.rmse, test));
    }
    lines
}
