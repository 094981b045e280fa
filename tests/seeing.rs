//! How cells are seen: wider crops, a slide's own pixels, encoders trained without labels, features made elsewhere.
//! Each way goes through a bundle on disc and gives there what it gave in training.
#![cfg(feature = "h5ad")]

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Device;
use ndarray::Array2;
use ndarray_npy::WriteNpyExt;
use scellst::cells::{CropSpec, write_geojson};
use scellst::embed::{Encoder, MocoConfig, Morphology, Optimiser, ResNetDepth, ViewConfig};
use scellst::expr::{GeneSelection, Scaling};
use scellst::h5::{SectionParts, read_matrix, write_section};
use scellst::model::{Loss, Pooling, TrainConfig};
use scellst::pipeline::{
    Bundle, Elsewhere, PipelineError, PredictOptions, PrepareOptions, PreparedSection, PretrainOptions, Quiet,
    SectionSource, TrainOptions, TrainOutcome, Validation, crop_for, embed_cells, load_section, predict, prepare,
    pretrain, train,
};
use scellst::sim::{SimConfig, SyntheticSection};
use scellst::slide::Slide;

fn make(folder: &Path, name: &str, seed: u64) -> SectionSource {
    let config = SimConfig { seed, size_um: (700.0, 700.0), ..SimConfig::default() };
    let section = SyntheticSection::generate(&config).unwrap();
    let slide = folder.join(format!("{name}.tif"));
    section.write_slide(&slide, &|_, _| ()).unwrap();
    let diameter_px = section.spots().diameter_um() / section.mpp().mean();
    let spatial = Some(section.spots().centres());
    let parts = SectionParts { spatial, spot_diameter_px: Some(diameter_px), ..SectionParts::default() };
    let counts = folder.join(format!("{name}.h5ad"));
    write_section(&counts, section.spot_counts(), &parts).unwrap();
    SectionSource::new(name, slide, counts)
}

fn prepared(
    source: &SectionSource,
    options: &PrepareOptions,
    encoder: &dyn Encoder,
) -> Result<PreparedSection, PipelineError> {
    prepare(load_section(source).unwrap(), options, encoder, &Quiet)
}

fn train_options(genes: usize, validation: Validation, epochs: usize) -> TrainOptions {
    TrainOptions {
        genes: GeneSelection::Var(genes),
        scaling: Scaling::Slide,
        validation,
        standardise: true,
        loss: Loss::Mse,
        pooling: Pooling::Mean,
        members: 1,
        checkpoints: None,
        strict: false,
        train: TrainConfig { learning_rate: 1e-3, bags_per_step: 16, max_epochs: epochs, ..TrainConfig::default() },
    }
}

fn fit(section: &PreparedSection, prepared_as: &PrepareOptions, encoder: &dyn Encoder) -> TrainOutcome {
    let options = train_options(10, Validation::Random(0.2), 3);
    train(std::slice::from_ref(section), prepared_as, encoder, &options, &Device::Cpu, &Quiet).unwrap()
}

/// Values of all cells by the bundle on disc.
fn predicted(outcome: &TrainOutcome, weights: Option<&Path>, slide: &Path, options: &PredictOptions) -> Array2<f32> {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    outcome.bundle.save(&model, weights).unwrap();
    let bundle = Bundle::load(&model, &Device::Cpu).unwrap();
    assert_eq!(bundle.manifest(), outcome.bundle.manifest());
    let slide = Slide::open(slide).unwrap();
    let path = folder.path().join("pred.h5ad");
    predict(&bundle, &slide, None, options, &Quiet).unwrap().write_h5ad(&path, &Quiet).unwrap();
    read_matrix(&path, None).unwrap().values
}

#[test]
fn a_wider_crop_and_the_slides_own_pixels_go_with_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(folder.path(), "a", 1);
    let encoder = scellst::embed::open("resnet18:untrained=3", None, &Device::Cpu).unwrap();
    let plain = prepared(&source, &PrepareOptions::default(), encoder.as_ref()).unwrap();
    let coarse = Some(CropSpec::spanning(100.0, 48));
    let options = PrepareOptions { coarse, slide_pixels: true, ..PrepareOptions::default() };
    let section = prepared(&source, &options, encoder.as_ref()).unwrap();
    assert_eq!(section.features.ncols(), 2 * plain.features.ncols());
    // The first half is the cell's own crop, but for the pixels; the second is something else.
    let dim = encoder.dim();
    let own = |section: &PreparedSection| section.features.slice_axis(ndarray::Axis(1), (..dim).into()).to_owned();
    assert_ne!(own(&section), plain.features);
    let only = PrepareOptions { slide_pixels: true, ..PrepareOptions::default() };
    assert_eq!(own(&section), prepared(&source, &only, encoder.as_ref()).unwrap().features);
    assert_ne!(own(&section), section.features.slice_axis(ndarray::Axis(1), (dim..).into()));

    let outcome = fit(&section, &options, encoder.as_ref());
    let manifest = outcome.bundle.manifest();
    assert!(manifest.slide_pixels && manifest.coarse == options.coarse && manifest.own_width() == 2 * dim);
    let values = predicted(&outcome, None, &source.slide, &PredictOptions::default());
    let slide = Slide::open(&source.slide).unwrap();
    let again = predict(&outcome.bundle, &slide, None, &PredictOptions::default(), &Quiet).unwrap();
    assert_eq!(values, again.rows(0..values.nrows(), &Quiet).unwrap());

    let wide = PrepareOptions { coarse: options.coarse.clone(), ..PrepareOptions::default() };
    let message = prepared(&source, &wide, &Morphology::new()).err().unwrap().to_string();
    assert!(message.contains("coarse crop"), "{message}");
    let message = prepared(&source, &only, &Morphology::new()).err().unwrap().to_string();
    assert!(message.contains("takes pixels as they are"), "{message}");
}

/// The same features give the same model, whoever made them, and the same predictions.
#[test]
fn features_made_elsewhere_are_as_good_as_ours() {
    let folder = tempfile::tempdir().unwrap();
    let source = make(folder.path(), "a", 2);
    let (options, morphology) = (PrepareOptions::default(), Morphology::new());
    let section = prepared(&source, &options, &morphology).unwrap();
    let ours = fit(&section, &options, &morphology);

    let slide = Slide::open(&source.slide).unwrap();
    let all = embed_cells(&slide, section.cells.centroids(), &options.crop, &morphology, &Quiet).unwrap();
    let (table, cells) = (folder.path().join("a.npy"), folder.path().join("cells.geojson"));
    all.write_npy(std::fs::File::create(&table).unwrap()).unwrap();
    write_geojson(&cells, &section.cells).unwrap();
    let mut elsewhere = source.clone();
    elsewhere.embeddings = Some(table.clone());
    let encoder = Elsewhere::of_file(&table).unwrap();
    let message = prepared(&elsewhere, &options, &encoder).err().unwrap().to_string();
    assert!(message.contains("give the cells too"), "{message}");
    elsewhere.cells = Some(cells.clone());
    let read = prepared(&elsewhere, &options, &encoder).unwrap();
    assert_eq!(read.features, section.features);
    let theirs = fit(&read, &options, &encoder);
    let weights = |o: &TrainOutcome| {
        let tensors = o.bundle.models().members()[0].tensors().unwrap();
        tensors["layers.0.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(weights(&ours), weights(&theirs));

    let model = folder.path().join("model");
    theirs.bundle.save(&model, None).unwrap();
    let bundle = Bundle::load(&model, &Device::Cpu).unwrap();
    let given = PredictOptions { embeddings: Some(table), ..PredictOptions::default() };
    let rows = predict(&bundle, &slide, Some(&cells), &given, &Quiet).unwrap().rows(0..all.nrows(), &Quiet).unwrap();
    let expected = predict(&ours.bundle, &slide, Some(&cells), &PredictOptions::default(), &Quiet).unwrap();
    assert_eq!(rows, expected.rows(0..all.nrows(), &Quiet).unwrap());
    let message = predict(&bundle, &slide, Some(&cells), &PredictOptions::default(), &Quiet).err().unwrap().to_string();
    assert!(message.contains("--embeddings"), "{message}");
    let message = predict(&ours.bundle, &slide, Some(&cells), &given, &Quiet).err().unwrap().to_string();
    assert!(message.contains("by itself"), "{message}");
    // Of another slide: another number of cells.
    std::fs::write(&cells, r#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[10,10],[20,10],[20,20],[10,10]]]},"properties":{"objectType":"cell"}}]}"#).unwrap();
    let message = predict(&bundle, &slide, Some(&cells), &given, &Quiet).err().unwrap().to_string();
    assert!(message.contains("for 1 cells"), "{message}");
}

fn quick() -> MocoConfig {
    MocoConfig {
        batch: 64,
        epochs: 1,
        warm_up_epochs: 0.0,
        optimiser: Optimiser::AdamW,
        learning_rate: 1e-3,
        hidden: 64,
        dim: 32,
        stage: 3,
        neighbours: 0.5,
        views: ViewConfig { side_px: 32, zoom: [1.5, 1.5], ..ViewConfig::default() },
        ..MocoConfig::published(ResNetDepth::R18)
    }
}

#[test]
fn an_encoder_trained_without_labels_is_used_as_any_other_and_says_what_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [make(folder.path(), "a", 3), make(folder.path(), "b", 4)];
    let checkpoint = folder.path().join("moco.safetensors");
    let scratch = folder.path().to_owned();
    let options = PretrainOptions {
        most_cells: Some(140),
        held_out: vec!["b".into()],
        checkpoint: Some(checkpoint.clone()),
        scratch,
        ..PretrainOptions::default()
    };
    let run = |sources: &[SectionSource], options: &PretrainOptions, stop: u64| {
        pretrain(sources, &quick(), options, &Device::Cpu, &Quiet, |step| {
            if step.step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    let message = run(&sources, &options, 9).err().unwrap().to_string();
    assert!(message.contains("section b is to be held out"), "{message}");
    // Stopped after a step, and gone on with.
    let cut = run(&sources[..1], &options, 1).unwrap();
    assert_eq!(cut.history().len(), 1);
    let moco = run(&sources[..1], &options, 9).unwrap();
    assert_eq!((moco.history().len(), &moco.history()[..1]), (2, cut.history()));
    let whole = run(&sources[..1], &PretrainOptions { checkpoint: None, ..options.clone() }, 9).unwrap();
    assert_eq!(moco.history(), whole.history());
    let farther = run(&sources[..1], &PretrainOptions { reach_um: 60.0, ..options.clone() }, 9).err().unwrap();
    assert!(farther.to_string().contains("other settings"), "{farther}");
    // Nothing but the checkpoint is left of the crops.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");

    let path = folder.path().join("encoder.safetensors");
    moco.write_encoder(&path, &moco.origin(&options.held_out)).unwrap();
    let encoder = scellst::embed::open("resnet18", Some(&path), &Device::Cpu).unwrap();
    // It is for crops such as it was trained on.
    let crop = crop_for(encoder.as_ref());
    assert_eq!((crop.centre_px, crop.mpp), (32, 0.375));
    assert_eq!(crop_for(&Morphology::new()), CropSpec::default());
    assert_eq!(encoder.spec().name, "resnet18:stage=3");
    let prepared_as = PrepareOptions { crop, ..PrepareOptions::default() };
    let sections: Vec<_> = sources.iter().map(|s| prepared(s, &prepared_as, encoder.as_ref()).unwrap()).collect();
    let outcome = fit(&sections[1], &prepared_as, encoder.as_ref());
    assert_eq!(outcome.bundle.manifest().encoder.pixels, encoder.spec().pixels);
    let values = predicted(&outcome, Some(&path), &sources[1].slide, &PredictOptions::default());
    let slide = Slide::open(&sources[1].slide).unwrap();
    let folder_of = folder.path().join("model");
    outcome.bundle.save(&folder_of, Some(&path)).unwrap();
    let bundle = Bundle::load(&folder_of, &Device::Cpu).unwrap();
    let again = predict(&bundle, &slide, None, &PredictOptions::default(), &Quiet).unwrap();
    assert_eq!(values, again.rows(0..values.nrows(), &Quiet).unwrap());

    // Section a trained the encoder: it cannot validate honestly.
    let report = |first: usize, last: usize| {
        let both = [first, last].map(|i| prepared(&sources[i], &prepared_as, encoder.as_ref()).unwrap());
        let options = train_options(5, Validation::LastSections(1), 1);
        let outcome = train(&both, &prepared_as, encoder.as_ref(), &options, &Device::Cpu, &Quiet).unwrap();
        outcome.bundle.manifest().training.leakage.clone().unwrap().to_string()
    };
    let (seen, unseen) = (report(1, 0), report(0, 1));
    assert!(seen.contains("encoder not trained on test sections: NO"), "{seen}");
    assert!(unseen.contains("encoder not trained on test sections: yes"), "{unseen}");
}
