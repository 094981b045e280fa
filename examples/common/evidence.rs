//! The HTML report of an evaluation.

use std::path::Path;

use anyhow::{Context, Result};
use scellst::cells::{Cell, Cells, CropSpec, crops};
use scellst::h5::{CountsOptions, Matrix, read_counts_with, read_matrix, read_uns_number};
use scellst::pipeline::{Beside, Bundle, COLUMNS, Evaluation, Scored, SpotIntervals, Weighed};
use scellst::report::{
    Calibration, Ceilings, Gallery, GeneMap, GeneTable, MapOptions, MapRow, Method, Number, OverlayOptions, Picture,
    Report, RgbImage, detection_overlay, gene_panels,
};
use scellst::slide::Slide;
use scellst::types::{Level0, Point};

/// What a report is made of.
pub struct Sources<'a> {
    pub pred: &'a Path,
    pub truth: &'a Path,
    pub slide: Option<&'a Path>,
    pub bundle: Option<(&'a Path, &'a Bundle)>,
    pub evaluation: &'a Evaluation,
    pub weighed: &'a Weighed,
    pub beside: &'a [(String, Beside)],
    /// Genes to draw.
    pub genes: &'a [String],
    /// um per level-0 pixel; else what the prediction was made with.
    pub mpp: Option<f64>,
    /// Whether the truth's rows are spots.
    pub spots: bool,
}

/// Cells on each side of a gallery.
const GALLERY: usize = 10;

pub fn report(s: &Sources<'_>) -> Result<Report> {
    let (weighed, evaluation) = (s.weighed, s.evaluation);
    let compared = &evaluation.compared;
    let mut methods = vec![Method {
        name: "model".into(),
        pearson: weighed.means.clone(),
        rmse: Some(weighed.rmse()),
        p_value: None,
        constant: evaluation.summary.constant,
    }];
    for (name, beside) in s.beside {
        let Beside { rmse, means, p_value, constant, .. } = beside.clone();
        methods.push(Method { name: name.clone(), pearson: means, rmse: Some(rmse), p_value, constant });
    }
    let columns = COLUMNS[1..].iter().map(|(name, meaning)| ((*name).to_owned(), (*meaning).to_owned())).collect();
    let rows = weighed.rows(&compared.variance).map(|(gene, values)| (gene.to_owned(), values)).collect();
    let ceiling = |e: &scellst::metrics::Evidence| Some((e.ceiling?.pearson, e.correlation?.estimate, e.gene.clone()));
    let ceilings: Vec<_> = weighed.genes.iter().filter_map(ceiling).collect();
    let mut report = Report {
        title: format!("{} against {}", name(s.pred), name(s.truth)),
        warnings: warnings(s),
        methods,
        numbers: numbers(s)?,
        ceiling: (!ceilings.is_empty()).then(|| Ceilings {
            genes: ceilings,
            caption: "Each gene's Pearson beside what a perfect prediction could reach with these counts (Poisson \
                      thinning). Genes far right and low are there to be learnt; those on the left are too faint \
                      to tell. What is below 0 is drawn at 0."
                .into(),
        }),
        calibration: calibration(s)?,
        genes: Some(GeneTable { columns, rows }),
        provenance: provenance(s),
        ..Report::default()
    };
    if s.genes.is_empty() {
        return Ok(report);
    }
    let values = read_matrix(s.pred, Some(s.genes))?;
    let places = values.spatial.clone().context("the prediction has no obsm['spatial']")?;
    let mpp = match s.mpp {
        Some(mpp) => Some(mpp),
        None => read_uns_number(s.pred, &["scellst", "mpp_x"])?,
    };
    let slide = s.slide.map(|path| super::open_slide(path, mpp)).transpose()?;
    if s.spots {
        report.maps = maps(s, slide.as_ref(), mpp, &values, &places)?;
    }
    if let Some(slide) = &slide {
        let mut cells = Cells::new();
        places.iter().try_for_each(|&place| cells.push(Cell::at(place)).map(drop))?;
        let options = OverlayOptions { max_side_px: 1400, ..OverlayOptions::default() };
        let caption = format!("{} cells on {}", cells.len(), name(slide.path()));
        report.overlay = Some(Picture { image: detection_overlay(slide, &cells, &options)?, caption });
        let spec = s.bundle.map_or_else(CropSpec::default, |(_, bundle)| bundle.manifest().crop.clone());
        report.galleries = galleries(slide, &spec.full(), s.genes, &values, &places)?;
    }
    Ok(report)
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_else(|| path.display().to_string())
}

fn warnings(s: &Sources<'_>) -> Vec<String> {
    let mut all = s.weighed.notes.clone();
    if !s.evaluation.missing_genes.is_empty() {
        let n = s.evaluation.missing_genes.len();
        all.push(format!("{n} predicted genes are not in the truth and are in no score."));
    }
    let trained = s.bundle.map_or(&[][..], |(_, bundle)| &bundle.manifest().training.scores);
    if let [model, others @ ..] = trained {
        let last = |scored: &Scored| scored.pearson.last().map_or(0.0, |p| p.1);
        for other in others.iter().filter(|other| last(other) > last(model)) {
            let (theirs, ours) = (last(other), last(model));
            all.push(format!(
                "When it was trained, {} did better than the model on the bags held out: mean Pearson {theirs:.3} \
                 against {ours:.3}.",
                other.name
            ));
        }
    }
    if s.evaluation.summary.constant > 0 {
        all.push(format!(
            "{} genes are constant in predictions or measurements: they have no correlation and count as 0 in means.",
            s.evaluation.summary.constant
        ));
    }
    all
}

fn numbers(s: &Sources<'_>) -> Result<Vec<Number>> {
    let (weighed, evaluation, compared) = (s.weighed, s.evaluation, &s.evaluation.compared);
    let what = if s.spots { "spots" } else { "cells" };
    let number = |label: &str, value: String, note: String| Number { label: label.into(), value, note };
    let mut in_spot = compared.cells.clone();
    in_spot.sort_unstable();
    let share = |v: Option<f64>| v.map_or("–".to_owned(), |v| format!("{v:.3}"));
    let mut all = vec![
        number("cells predicted", evaluation.cells.to_string(), String::new()),
        number(
            &format!("{what} compared"),
            compared.truth_rows.len().to_string(),
            format!("of {} in the truth", evaluation.truths),
        ),
        number("genes", compared.genes.len().to_string(), String::new()),
        number(
            "predictable genes",
            weighed.predictable().to_string(),
            "q at most 0.05 against moved slides, interval above 0".into(),
        ),
        number("mean ceiling", share(weighed.mean_ceiling), "Pearson that the counts allow".into()),
        number("agreement of Moran's I", share(weighed.moran_agreement), "Pearson over genes".into()),
        number("blocks", weighed.blocks.to_string(), "that intervals and tests draw from".into()),
    ];
    if s.spots {
        let middle = in_spot.get(in_spot.len() / 2).copied().unwrap_or(0);
        let (low, high) = (in_spot.first().copied().unwrap_or(0), in_spot.last().copied().unwrap_or(0));
        all.insert(2, number("cells a spot", middle.to_string(), format!("median; {low} to {high}")));
    }
    let colour = |name: &str| read_uns_number(s.pred, &["scellst_colour", name]);
    if let (Some(shift), Some(limit)) = (colour("shift")?, colour("limit")?) {
        let note =
            format!("of the mean cell from training, in standard deviations of cells; expected up to {limit:.1}");
        all.push(number("shift of colours", format!("{shift:.2}"), note));
    }
    let obs = scellst::h5::MatrixReader::open(s.pred, None)?.read_obs()?;
    if let Some(flags) = obs.numeric.get("abstain") {
        let share = flags.iter().sum::<f64>() / flags.len().max(1) as f64;
        all.push(number("cells to abstain from", format!("{:.1} %", 100.0 * share), "unlike those trained on".into()));
    }
    Ok(all)
}

fn calibration(s: &Sources<'_>) -> Result<Option<Calibration>> {
    let Some((folder, _)) = s.bundle else { return Ok(None) };
    let path = folder.join(SpotIntervals::FILE);
    if !s.spots || !path.is_file() {
        return Ok(None);
    }
    let intervals = SpotIntervals::read(&path)?;
    let compared = &s.evaluation.compared;
    let found = intervals.coverage(compared.predicted.view(), compared.measured.view(), &compared.genes)?;
    let points = found.iter().filter_map(|c| Some((c.level, c.covered?))).collect();
    let ninety = found.iter().find(|c| c.level == 0.9).and_then(|c| c.covered);
    let held = ninety.map(|v| format!(" Intervals of 90 % hold {:.1} % here.", 100.0 * v)).unwrap_or_default();
    let caption = format!("Calibrated on {}; measured on {}.{held}", intervals.calibrated_on, name(s.truth));
    Ok(Some(Calibration { points, caption }))
}

fn maps(
    s: &Sources<'_>,
    slide: Option<&Slide>,
    mpp: Option<f64>,
    values: &Matrix,
    cells: &[Point<Level0>],
) -> Result<Vec<MapRow>> {
    let mut reading = CountsOptions::default();
    reading.in_tissue_only = true;
    let measured = read_counts_with(s.truth, &reading)?;
    let expression = measured.expression.log_normalised(s.genes)?;
    let background = slide.map(|slide| slide.thumbnail(1200)).transpose()?;
    let options = MapOptions { mpp, panel_px: 720 };
    let compared = &s.evaluation.compared;
    let row = |(at, gene): (usize, &String)| {
        let column = compared.genes.iter().position(|g| g == gene).context("a gene to draw is not compared")?;
        let mut predicted = vec![f32::NAN; measured.require_spatial()?.len()];
        for (&row, &v) in compared.truth_rows.iter().zip(compared.predicted.column(column)) {
            predicted[row] = v;
        }
        let map = GeneMap {
            title: gene.clone(),
            background: background.clone(),
            spots: measured.require_spatial()?,
            spot_radius_px: measured.require_spot_size_um(mpp.unwrap_or(1.0))? / mpp.unwrap_or(1.0) / 2.0,
            spot_values: &expression.column(at).to_vec(),
            cells,
            cell_values: &values.values.column(at).to_vec(),
        };
        let e = &s.weighed.genes[column];
        let pearson = e.correlation.map(|c| format!("Pearson {:.3} ({:.3} to {:.3})", c.estimate, c.low, c.high));
        let ceiling = e.ceiling.map(|c| format!(", at most {:.3} with these counts", c.pearson));
        let caption = format!(
            "{}{}. Log-normalised expression; each panel has its own colours; spots without a cell are grey.",
            pearson.unwrap_or_else(|| "No correlation".into()),
            ceiling.unwrap_or_default()
        );
        Ok(MapRow { gene: gene.clone(), caption, panels: gene_panels(&map, Some(&predicted), &options)? })
    };
    s.genes.iter().enumerate().map(row).collect()
}

fn galleries(
    slide: &Slide,
    spec: &CropSpec,
    genes: &[String],
    values: &Matrix,
    places: &[Point<Level0>],
) -> Result<Vec<Gallery>> {
    let pictures = |cells: &[usize], column: usize| -> Result<Vec<(RgbImage, f64)>> {
        let at: Vec<Point<Level0>> = cells.iter().map(|&cell| places[cell]).collect();
        let found = crops(slide, &at, spec)?;
        let (_, height, width, _) = found.dim();
        let picture = |(crop, &cell): (ndarray::ArrayView3<'_, u8>, &usize)| {
            let image = RgbImage::from_raw(width as u32, height as u32, crop.iter().copied().collect())?;
            Some((image, f64::from(values.values[[cell, column]])))
        };
        Ok(found.outer_iter().zip(cells).filter_map(picture).collect())
    };
    // Extrapolations would be all that is seen.
    let flags = values.obs.numeric.get("abstain");
    let trusted = |cell: &usize| flags.is_none_or(|flags| flags.get(*cell).is_none_or(|&flag| flag == 0.0));
    let gallery = |(column, gene): (usize, &String)| {
        let mut order: Vec<usize> = (0..places.len()).filter(trusted).collect();
        order.sort_by(|&a, &b| values.values[[b, column]].total_cmp(&values.values[[a, column]]));
        let high = &order[..GALLERY.min(order.len())];
        let low: Vec<usize> = order.iter().rev().take(GALLERY).copied().collect();
        Ok(Gallery { gene: gene.clone(), highest: pictures(high, column)?, lowest: pictures(&low, column)? })
    };
    genes.iter().enumerate().map(gallery).collect()
}

fn provenance(s: &Sources<'_>) -> Vec<(String, String)> {
    let mut rows = vec![
        ("program".to_owned(), concat!("scellst ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("prediction".to_owned(), s.pred.display().to_string()),
        ("truth".to_owned(), s.truth.display().to_string()),
    ];
    if let Some(slide) = s.slide {
        rows.push(("slide".into(), slide.display().to_string()));
    }
    if let Some((folder, bundle)) = s.bundle {
        let (m, t) = (bundle.manifest(), &bundle.manifest().training);
        let sections: Vec<&str> = t.sections.iter().map(|s| s.id.0.as_str()).collect();
        rows.extend([
            ("model".to_owned(), folder.display().to_string()),
            ("made by".to_owned(), m.created_by.clone()),
            ("trained on".to_owned(), sections.join(", ")),
            ("encoder".to_owned(), m.encoder.name.clone()),
            ("genes chosen by".to_owned(), m.gene_selection.to_string()),
            ("loss".to_owned(), t.loss.clone()),
            ("epochs".to_owned(), format!("{}, the best {}", t.epochs, t.best_epoch)),
            ("seed".to_owned(), t.config.seed.to_string()),
        ]);
        if let Some(leakage) = &t.leakage {
            rows.push(("leakage".into(), leakage.to_string()));
        }
    }
    rows
}
