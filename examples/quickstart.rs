//! The whole way on sections whose every cell is known: make two, train on one, predict the other, compare.

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::Parser;
use ndarray::Array2;
use scellst::cells::write_geojson;
use scellst::embed::{Encoder, Morphology};
use scellst::expr::{CsrMatrix, Expression, GeneSelection, Scaling};
use scellst::h5::{PredictionHeader, PredictionWriter, SectionParts, write_section};
use scellst::model::{Loss, Pooling, TrainConfig};
use scellst::pipeline::{
    Baseline, EvaluateOptions, Observer, Pooling as Scoring, PredictOptions, PrepareOptions, SectionSource, Sight,
    TrainOptions, TrainOutcome, Validation, embed_cells, evaluate, load_section, predict, prepare, train,
};
use scellst::report::{OverlayOptions, detection_overlay, loss_curve, save_png};
use scellst::sim::{SimConfig, SyntheticSection};
use scellst::slide::Slide;
use scellst::types::{Point, Rect};

/// A newcomer's first command: makes two small sections whose every cell is known, trains on the spots of one, predicts
/// the cells of the other from its picture alone, and compares with the truth
#[derive(Parser)]
#[command(name = "quickstart")]
struct Args {
    /// Where slides, h5ads, GeoJSON, metrics and pictures go
    #[arg(long, value_name = "DIR", default_value = "target/quickstart")]
    out: PathBuf,
    /// Of the sections and of the training
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    common: common::Common,
}

#[allow(clippy::print_stdout)] // its result
fn main() -> ExitCode {
    let args = Args::parse();
    common::run(|| {
        args.common.apply()?;
        let out = &args.out;
        std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
        let console = common::Console::default();
        let begin = Instant::now();

        println!("1. two sections of one tissue, every cell known");
        let make = |name: &str, seed: u64| -> Result<(SyntheticSection, SectionSource)> {
            let config = SimConfig { seed, ..SimConfig::default() };
            let section = SyntheticSection::generate(&config)?;
            console.stage("drawing a slide");
            let source = write_all(out, name, &section, &console)?;
            console.finish();
            let (cells, spots) = (section.cells().len(), section.spots().len());
            println!("   {name}: {} px, {cells} cells, {spots} spots", section.size());
            Ok((section, source))
        };
        let (_, training) = make("train", args.seed)?;
        let (truth, unseen) = make("test", args.seed + 1)?;

        println!("2. train on the spots of the first");
        let encoder = Morphology::new();
        let prepared_as = PrepareOptions::default();
        let section = prepare(load_section(&training)?, &prepared_as, &encoder, &console)?;
        let options = TrainOptions {
            genes: GeneSelection::Var(100),
            scaling: Scaling::Slide,
            validation: Validation::Random(0.2),
            standardise: true,
            loss: Loss::Mse,
            pooling: Pooling::Mean,
            members: 1,
            checkpoints: None,
            strict: false,
            // Few spots: smaller and more steps than the published 128 bags and 1e-4.
            train: TrainConfig { learning_rate: 1e-3, bags_per_step: 32, seed: args.seed, ..TrainConfig::default() },
        };
        let outcome = train(&[section], &prepared_as, &encoder, &options, &Device::Cpu, &console)?;
        console.finish();
        outcome.bundle.save(&out.join("model"), None)?;
        let curve = common::curve(&outcome.trainings[0]);
        save_png(&loss_curve(&curve, "epoch"), out.join("loss.png"))?;
        println!("   best of {} epochs: {}", curve.len(), outcome.trainings[0].best_epoch);

        println!("3. predict every cell of the second, from its picture alone");
        let slide = Slide::open(&unseen.slide)?;
        let predicted = predict(&outcome.bundle, &slide, None, &PredictOptions::default(), &console)?;
        predicted.write_h5ad(&out.join("pred.h5ad"), &console)?;
        write_geojson(out.join("cells.geojson"), predicted.cells())?;
        write_ridge(&outcome, &slide, predicted.cells().centroids(), &encoder, &out.join("ridge.h5ad"))?;
        console.finish();

        println!("4. compare with the truth: mean Pearson over genes, most variable first");
        let within_um = 3.0;
        for (level, pooling, file) in [
            ("spots", Scoring::Spots { diameter_um: None }, "test.h5ad"),
            ("cells", Scoring::Cells { within_um }, "test_cells.h5ad"),
        ] {
            let mut compared = 0;
            for (name, pred) in [("model", "pred.h5ad"), ("ridge on spot means", "ridge.h5ad")] {
                let options = EvaluateOptions { pooling, mpp: Some(slide.require_mpp()?) };
                let mut result = evaluate(&out.join(pred), &out.join(file), &options)?;
                compared = result.scores.observations;
                result.summary.name = format!("{level}: {name}");
                println!("   {}", result.summary);
                let table = common::metrics_table(&result.scores);
                common::write_whole(
                    &out.join(format!("metrics_{level}_{}.csv", &pred[..pred.len() - 5])),
                    table.as_bytes(),
                )?;
            }
            println!(
                "   ({compared} {level} compared; genes that nothing in the picture shows pull the mean over all down)"
            );
        }
        let (found, known) = (predicted.cells().len(), truth.cells().len());
        println!(
            "   {found} nuclei found, {known} drawn; a cell is compared where one was found within {within_um} um"
        );

        let middle = Point::new(f64::from(slide.size().width) / 2.0, f64::from(slide.size().height) / 2.0);
        let rect = Some(Rect::centred(middle, 500.0)?);
        let overlay = detection_overlay(&slide, predicted.cells(), &OverlayOptions { rect, ..Default::default() })?;
        save_png(&overlay, out.join("overlay.png"))?;
        let genes: Vec<String> = outcome.genes.iter().take(3).map(|g| g.gene.clone()).collect();
        common::maps::write(
            &out.join("maps"),
            &out.join("pred.h5ad"),
            &out.join("test.h5ad"),
            Some(&unseen.slide),
            &genes,
        )?;
        println!("{:.0} s; see {}: overlay.png, maps/, pred.h5ad", begin.elapsed().as_secs_f64(), out.display());
        Ok(())
    })
}

/// The slide, its spots, the truth of its cells, and a description that `train --section` takes.
fn write_all(out: &Path, name: &str, section: &SyntheticSection, observer: &dyn Observer) -> Result<SectionSource> {
    let slide = out.join(format!("{name}.tif"));
    section.write_slide(&slide, &|done, total| observer.progress(done, total))?;
    let diameter = section.spots().diameter_um();
    let spots = SectionParts {
        spatial: Some(section.spots().centres()),
        spot_diameter_px: Some(diameter / section.mpp().mean()),
        library_id: name,
        ..SectionParts::default()
    };
    write_section(out.join(format!("{name}.h5ad")), section.spot_counts(), &spots)?;
    // What type and looks of a cell decide: no method can do better.
    let counts = section.cell_counts();
    let expected = CsrMatrix::from_dense(section.expected())?;
    let expected = Expression::new(expected, counts.genes().to_vec(), counts.observations().to_vec())?;
    let cells =
        SectionParts { spatial: Some(section.cells().centroids()), library_id: name, ..SectionParts::default() };
    write_section(out.join(format!("{name}_cells.h5ad")), &expected, &cells)?;
    let mut source = SectionSource::new(name, format!("{name}.tif"), format!("{name}.h5ad"));
    source.spot_diameter_um = Some(diameter);
    let toml = out.join(format!("{name}.toml"));
    common::write_whole(&toml, toml::to_string(&source)?.as_bytes())?;
    Ok(SectionSource::read(&toml)?)
}

/// The linear baseline's prediction of the same cells.
fn write_ridge(
    outcome: &TrainOutcome,
    slide: &Slide,
    places: &[Point<scellst::types::Level0>],
    encoder: &dyn Encoder,
    path: &Path,
) -> Result<()> {
    let manifest = outcome.bundle.manifest();
    let baselines = outcome.bundle.baselines().context("too few spots for a ridge")?;
    let (_, ridge) = baselines
        .iter()
        .find(|(sight, fitted)| *sight == Sight::Cells && fitted.kind() == Baseline::Ridge)
        .context("no ridge was fitted")?;
    let features = embed_cells(slide, places, &manifest.crop, encoder, &scellst::pipeline::Quiet)?;
    let values: Array2<f32> = ridge.predict(features.view())?;
    let names: Vec<String> = (0..places.len()).map(|i| format!("cell_{i}")).collect();
    let variance = scellst::h5::Column::F64(manifest.train_variance.clone());
    let header = PredictionHeader {
        obs_names: &names,
        var_names: &manifest.genes,
        spatial: places,
        var: vec![("train_variance".into(), variance)],
        ..PredictionHeader::default()
    };
    let mut writer = PredictionWriter::create(path, &header, None)?;
    writer.write_rows(values.view())?;
    Ok(writer.finish()?)
}
