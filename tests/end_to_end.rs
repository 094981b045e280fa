//! From a slide and its spots to the expression of cells, on sections whose every cell is known.
#![cfg(feature = "h5ad")]
#![allow(clippy::print_stdout)] // the scores, for who reads the log

mod support;

use std::path::Path;

use candle_core::Device;
use scellst::cells::{ImportOptions, read_geojson, write_geojson};
use scellst::embed::Morphology;
use scellst::expr::{CsrMatrix, Expression, GeneSelection, Scaling};
use scellst::h5::{SectionParts, read_matrix, write_section};
use scellst::model::{Loss, Pooling, TrainConfig};
use scellst::pipeline::{
    Bundle, ContextSpec, EvaluateOptions, EvidenceOptions, Pooling as Scoring, PredictOptions, PrepareOptions, Quiet,
    SectionSource, TrainOptions, TrainOutcome, Validation, embed_cells, evaluate, load_section, predict,
    predict_baselines, prepare, train, write_spots_h5ad,
};
use scellst::sim::{SimConfig, SyntheticSection};
use scellst::slide::Slide;

fn make(folder: &Path, name: &str, seed: u64) -> (SyntheticSection, SectionSource) {
    let config = SimConfig { seed, size_um: (1000.0, 1000.0), ..SimConfig::default() };
    let section = SyntheticSection::generate(&config).unwrap();
    let slide = folder.join(format!("{name}.tif"));
    section.write_slide(&slide, &|_, _| ()).unwrap();
    let diameter = section.spots().diameter_um();
    let parts = SectionParts {
        spatial: Some(section.spots().centres()),
        spot_diameter_px: Some(diameter / section.mpp().mean()),
        ..SectionParts::default()
    };
    let counts = folder.join(format!("{name}.h5ad"));
    write_section(&counts, section.spot_counts(), &parts).unwrap();
    // The spots' diameter is in the h5ad, in pixels.
    let source = SectionSource::new(name, slide, counts);
    (section, source)
}

fn fit(source: &SectionSource, epochs: usize) -> TrainOutcome {
    fit_as(source, epochs, Loss::Mse, Pooling::Mean)
}

fn fit_as(source: &SectionSource, epochs: usize, loss: Loss, pooling: Pooling) -> TrainOutcome {
    let (encoder, prepared_as) = (Morphology::new(), PrepareOptions::default());
    let section = prepare(load_section(source).unwrap(), &prepared_as, &encoder, &Quiet).unwrap();
    train(&[section], &prepared_as, &encoder, &options(epochs, loss, pooling), &Device::Cpu, &Quiet).unwrap()
}

fn options(epochs: usize, loss: Loss, pooling: Pooling) -> TrainOptions {
    TrainOptions {
        genes: GeneSelection::Var(40),
        scaling: Scaling::Slide,
        validation: Validation::Random(0.2),
        standardise: true,
        loss,
        pooling,
        members: 1,
        checkpoints: None,
        strict: false,
        train: TrainConfig { learning_rate: 2e-3, bags_per_step: 16, max_epochs: epochs, ..TrainConfig::default() },
    }
}

#[test]
fn cells_of_an_unseen_slide_follow_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let (_, training) = make(folder.path(), "train", 1);
    let (truth, unseen) = make(folder.path(), "test", 2);
    let outcome = fit(&training, 100);

    // Through the bundle on disc, and from the picture alone.
    let model = folder.path().join("model");
    outcome.bundle.save(&model, None).unwrap();
    std::fs::remove_file(&training.slide).unwrap();
    let bundle = Bundle::load(&model, &Device::Cpu).unwrap();
    assert_eq!(bundle.manifest(), outcome.bundle.manifest());
    let slide = Slide::open(&unseen.slide).unwrap();
    let predicted = predict(&bundle, &slide, None, &PredictOptions::default(), &Quiet).unwrap();
    let pred = folder.path().join("pred.h5ad");
    predicted.write_h5ad(&pred, &Quiet).unwrap();

    // One row a cell, in the order and at the places of the cells.
    let matrix = read_matrix(&pred, None).unwrap();
    assert_eq!(matrix.values.nrows(), predicted.cells().len());
    assert_eq!(matrix.spatial.as_deref(), Some(predicted.cells().centroids()));
    assert_eq!(matrix.var_names, bundle.manifest().genes);
    assert_eq!(matrix.var.numeric["train_variance"], bundle.manifest().train_variance);
    assert!(matrix.values.iter().all(|v| *v >= 0.0));
    // A cell does not depend on its company, but for the order in which matrix products of another height add.
    for (alone, together) in
        predicted.rows(5..9, &Quiet).unwrap().iter().zip(matrix.values.slice(ndarray::s![5..9, ..]))
    {
        assert!((alone - together).abs() <= 1e-5 * together.max(1.0), "{alone} against {together}");
    }

    let (spots, cells) = (score(&pred, &unseen.counts, Scoring::Spots { diameter_um: None }), {
        let cells = folder.path().join("cells.h5ad");
        write_expected(&truth, &cells);
        score(&pred, &cells, Scoring::Cells { within_um: 3.0 })
    });
    println!("Pearson: spots {spots:.3}, cells {cells:.3}");

    // The bundle's baselines on the very spots of the evaluation.
    let pooling = Scoring::Spots { diameter_um: None };
    let result = evaluate(&pred, &unseen.counts, &EvaluateOptions { pooling, mpp: None }).unwrap();
    let baselines = predict_baselines(&bundle, &slide, &result.grouped, None, &Quiet).unwrap();
    let names: Vec<&str> = baselines.iter().map(|(name, _)| name.as_str()).collect();
    // One nucleus is what this encoder looks for: no patches.
    assert_eq!(names, ["mean of the training spots", "ridge on spot means", "PCA-256 + ridge", "10 nearest spots"]);
    let kept = bundle.baselines().unwrap();
    let (_, ridge) = kept.iter().nth(1).unwrap();
    let features =
        embed_cells(&slide, predicted.cells().centroids(), &bundle.manifest().crop, &Morphology::new(), &Quiet);
    let of_cells = ridge.predict(features.unwrap().view()).unwrap();
    for (row, (_, cells)) in baselines[1].1.rows().into_iter().zip(result.grouped.bags.iter()) {
        // It is linear: a spot is the mean of its cells.
        let mean = of_cells.select(ndarray::Axis(0), &cells.iter().map(|&c| c as usize).collect::<Vec<_>>());
        let mean = mean.mean_axis(ndarray::Axis(0)).unwrap();
        assert!(row.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-3), "{row} {mean}");
    }
    let genes = &bundle.manifest().genes;
    let other = result.compared.with_predictions(&baselines[1].1, genes).unwrap();
    let few = EvidenceOptions { replicates: 50, ..EvidenceOptions::default() };
    let beside = result.compared.beside(&other, &few).unwrap();
    assert!(beside.means.last().unwrap().1 > 0.3 && beside.rmse > 0.0, "{beside:?}");
    assert!(result.compared.with_predictions(&baselines[1].1, &genes[1..]).is_err());
    // An untrained or shuffled prediction is at 0 with a deviation of about 0.02 for cells and 0.1 for spots.
    assert!(spots > 0.3, "{spots}");
    assert!(cells > 0.3, "{cells}");
}

/// What each cell really expresses, on average.
fn write_expected(truth: &SyntheticSection, path: &Path) {
    let counts = truth.cell_counts();
    let expected = CsrMatrix::from_dense(truth.expected()).unwrap();
    let expected = Expression::new(expected, counts.genes().to_vec(), counts.observations().to_vec()).unwrap();
    let parts = SectionParts { spatial: Some(truth.cells().centroids()), ..SectionParts::default() };
    write_section(path, &expected, &parts).unwrap();
}

fn score(pred: &Path, truth: &Path, pooling: Scoring) -> f64 {
    let result = evaluate(pred, truth, &EvaluateOptions { pooling, mpp: None }).unwrap();
    result.summary.pearson.last().unwrap().1
}

#[test]
fn every_pooling_goes_through_the_bundle_to_cells() {
    let folder = tempfile::tempdir().unwrap();
    let (_, training) = make(folder.path(), "train", 1);
    let (truth, unseen) = make(folder.path(), "test", 2);
    let slide = Slide::open(&unseen.slide).unwrap();
    let cells = folder.path().join("cells.h5ad");
    write_expected(&truth, &cells);
    for (loss, pooling) in [
        (Loss::Mse, Pooling::Sum),
        (Loss::NbMean, Pooling::Sum),
        (Loss::Mse, Pooling::Attention),
        (Loss::Mse, Pooling::DeepSet),
    ] {
        let outcome = fit_as(&training, 60, loss, pooling);
        let model = folder.path().join(format!("{loss}-{pooling}"));
        outcome.bundle.save(&model, None).unwrap();
        let bundle = Bundle::load(&model, &Device::Cpu).unwrap();
        assert_eq!(bundle.manifest(), outcome.bundle.manifest());
        assert_eq!(bundle.manifest().shape.pooling(), pooling);
        let json = std::fs::read_to_string(model.join("model.json")).unwrap();
        assert!(json.contains("\"version\": 4"));
        let predicted = predict(&bundle, &slide, None, &PredictOptions::default(), &Quiet).unwrap();
        let pred = folder.path().join("pred.h5ad");
        predicted.write_h5ad(&pred, &Quiet).unwrap();
        let matrix = read_matrix(&pred, None).unwrap();
        // Some cells alone are what they are among all.
        for (alone, together) in
            predicted.rows(5..9, &Quiet).unwrap().iter().zip(matrix.values.slice(ndarray::s![5..9, ..]))
        {
            assert!((alone - together).abs() <= 1e-4 * together.max(1.0), "{pooling}: {alone} against {together}");
        }
        let attention = matrix.obs.numeric.get("attention_score");
        assert_eq!(attention.is_some(), pooling == Pooling::Attention);
        if let Some(scores) = attention {
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            assert!(mean.abs() < 1e-4 && scores.iter().any(|s| s.abs() > 1e-3), "{mean}");
        }
        let spots = score(&pred, &unseen.counts, Scoring::Spots { diameter_um: None });
        // The unseen section's spots as the model pools them.
        let encoder = bundle.open_encoder(None, &Device::Cpu).unwrap();
        let loaded = load_section(&unseen).unwrap();
        let section = prepare(loaded, &bundle.prepare_options(), encoder.as_ref(), &Quiet).unwrap();
        let of_spots = folder.path().join("spots.h5ad");
        assert_eq!(write_spots_h5ad(&bundle, &section, &of_spots).unwrap(), section.bags.len());
        let pooled = score(&of_spots, &unseen.counts, Scoring::Cells { within_um: 1.0 });
        assert!((pooled - spots).abs() < 0.1 && pooled > 0.2, "{loss} {pooling}: {pooled} and {spots}");
        let cells = score(&pred, &cells, Scoring::Cells { within_um: 3.0 });
        println!("{loss} {pooling}: Pearson: spots {spots:.3}, cells {cells:.3}");
        assert!(spots > 0.35 && cells > 0.45, "{loss} {pooling}: {spots} {cells}");
        std::fs::write(model.join("model.json"), json.replace(&format!("\"{pooling}\""), "\"median\"")).unwrap();
        let e = Bundle::load(&model, &Device::Cpu).err().unwrap().to_string();
        assert!(e.contains("median") && e.contains("model.json"), "{e}");
    }
}

#[test]
fn a_deep_set_wants_no_context_and_a_cancelled_training_ends() {
    struct Stop;
    impl scellst::pipeline::Observer for Stop {
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, source) = make(folder.path(), "a", 5);
    let encoder = Morphology::new();
    let context = Some(ContextSpec::new(vec![50.0]).unwrap());
    let run = |pooling, context| {
        let prepared_as = PrepareOptions { context, ..PrepareOptions::default() };
        let section = prepare(load_section(&source).unwrap(), &prepared_as, &encoder, &Quiet).unwrap();
        let options = TrainOptions { checkpoints: Some(folder.path().join("kept")), ..options(5, Loss::Mse, pooling) };
        train(&[section], &prepared_as, &encoder, &options, &Device::Cpu, &Stop).err().unwrap().to_string()
    };
    assert!(run(Pooling::DeepSet, context).contains("leave the context out"));
    assert!(run(Pooling::Mean, None).contains("stopped as asked"));
    let log = std::fs::read_to_string(folder.path().join("kept/log.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!((&line["epoch"], &line["member"]), (&1.into(), &0.into()));
    assert!(line["train_loss"].as_f64().unwrap() > 0.0 && line["validation_loss"].as_f64().unwrap() > 0.0);
    assert!(line["learning_rate"].as_f64().unwrap() > 0.0 && line["seconds"].as_f64().unwrap() >= 0.0);
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (_, source) = make(folder.path(), "a", 3);
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let outcome = fit(&source, 3);
            let slide = Slide::open(&source.slide).unwrap();
            let predicted = predict(&outcome.bundle, &slide, None, &PredictOptions::default(), &Quiet).unwrap();
            predicted.rows(0..predicted.cells().len(), &Quiet).unwrap()
        })
    };
    let one = run(1);
    assert!(one.nrows() > 300);
    assert_eq!(one, run(3));
}

#[test]
fn cells_that_somebody_has_found_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (section, source) = make(folder.path(), "a", 4);
    let outcome = fit(&source, 2);
    let file = folder.path().join("cells.geojson");
    write_geojson(&file, section.cells()).unwrap();
    let slide = Slide::open(&source.slide).unwrap();
    let predicted = predict(&outcome.bundle, &slide, Some(&file), &PredictOptions::default(), &Quiet).unwrap();
    assert_eq!(predicted.cells().len(), section.cells().len());
    assert_eq!(predicted.cells().class(0), section.cells().class(0));

    // What is written is GeoJSON in level-0 pixels of the slide.
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(json["type"], "FeatureCollection");
    let options = ImportOptions { slide_size: Some(slide.size()), ..Default::default() };
    assert_eq!(read_geojson(&file, &options).unwrap().outside, 0);
}
