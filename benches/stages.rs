//! The hot paths one by one, each beside the composed form where there is one.
//!
//! `cargo bench` (release settings); sizes are in the names. Whole stages on real slides: `examples/throughput.rs`.

use std::hint::black_box;

use candle_core::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use image::RgbImage;
use ndarray::{Array2, Array4};
use rayon::prelude::*;
use scellst::cells::{CropSpec, CropStream, DetectConfig, detect};
use scellst::embed::{Encoder, Morphology};
use scellst::kernels::{Offsets, segment_mean, softplus, softplus_segment_mean};
use scellst::metrics::GeneScores;
use scellst::model::{MilModel, ModelShape, TrainConfig, TrainData, train};
use scellst::slide::{PyramidCompression, PyramidOptions, PyramidWriter, Slide, TissueConfig, TissueMask};
use scellst::types::{Level0, MicronsPerPixel, Point};

/// The same numbers every time, between 0 and 1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n as u64).map(|i| (i.wrapping_mul(2_654_435_761) % 1009) as f32 / 1009.0).collect()
}

fn kernels(c: &mut Criterion) {
    let (cells, genes) = (2560, 1000);
    let z = Tensor::from_vec(numbers(cells * genes), (cells, genes), &Device::Cpu).unwrap();
    let offsets = Offsets::new((0..=128).map(|b| b * 20).collect()).unwrap();
    let mut group = c.benchmark_group("softplus, mean of 128 bags x 20 cells x 1000 genes");
    group.bench_function("fused", |b| b.iter(|| softplus_segment_mean(black_box(&z), &offsets, 20.0).unwrap()));
    group.bench_function("in turn", |b| {
        b.iter(|| segment_mean(&softplus(black_box(&z), 20.0).unwrap(), &offsets).unwrap());
    });
    group.finish();
}

fn encoders(c: &mut Criterion) {
    let crops = Array4::from_shape_fn((64, 48, 48, 3), |(n, y, x, k)| (n * 7 + y * 5 + x * 3 + k * 40) as u8);
    let morphology = Morphology::new();
    c.bench_function("morphology of 64 crops", |b| b.iter(|| morphology.embed(black_box(crops.view())).unwrap()));
}

fn training(c: &mut Criterion) {
    let (bags, cells, features, genes) = (128, 20, 512, 1000);
    let x = Array2::from_shape_vec((bags * cells, features), numbers(bags * cells * features)).unwrap();
    let y = Array2::from_shape_vec((bags, genes), numbers(bags * genes)).unwrap();
    let data = TrainData::new(x, (0..=bags).map(|b| (b * cells) as u32).collect(), y).unwrap();
    let all: Vec<usize> = (0..bags).collect();
    let config = TrainConfig { max_epochs: 1, ..TrainConfig::default() };
    let mut model = MilModel::new(ModelShape::published(features, genes).unwrap(), 0, &Device::Cpu).unwrap();
    c.bench_function("training step of 128 bags x 20 cells, 512 features, 1000 genes", |b| {
        b.iter(|| train(&mut model, &data, &all, &[], &config, &mut |_| true).unwrap());
    });
}

fn metrics(c: &mut Criterion) {
    let (spots, genes) = (2000, 500);
    let a = Array2::from_shape_vec((spots, genes), numbers(spots * genes)).unwrap();
    let b = a.mapv(|v| (v * 7.3) % 1.0);
    let names: Vec<String> = (0..genes).map(|g| format!("g{g}")).collect();
    c.bench_function("Pearson, Spearman, error of 500 genes x 2000 spots", |bench| {
        bench.iter(|| GeneScores::compute(black_box(a.view()), b.view(), &names).unwrap());
    });
}

/// A pyramid of a picture with as much detail as tissue has, decoded tile by tile, shrunk, and cut into crops.
fn slides(c: &mut Criterion) {
    const SIDE: u32 = 2048;
    let folder = tempfile::tempdir().unwrap();
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let wave = |a: f32, b: f32| ((x as f32 / a).sin() * (y as f32 / b).cos() * 60.0) as i32;
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)) >> 28;
        image::Rgb(
            [180 + wave(9.0, 7.0), 130 + wave(5.0, 11.0), 170 + wave(13.0, 6.0)].map(|v| (v + noise as i32) as u8),
        )
    });
    let mpp = Some(MicronsPerPixel::square(0.5).unwrap());
    for (name, compression) in
        [("JPEG", PyramidCompression::Jpeg { quality: 90 }), ("deflate", PyramidCompression::Deflate)]
    {
        let path = folder.path().join(format!("{name}.tif"));
        let options = PyramidOptions { mpp, compression, ..PyramidOptions::default() };
        // Also where the filter leaves out the bench that writes it.
        PyramidWriter::write_image(&path, &picture, &options).unwrap();
        c.bench_function(&format!("write a pyramid of {SIDE} x {SIDE} px, {name}"), |b| {
            b.iter(|| PyramidWriter::write_image(&path, &picture, &options).unwrap());
        });
        let slide = Slide::open(&path).unwrap();
        let tiles = slide.levels().next().unwrap().tiles();
        c.bench_function(&format!("decode {SIDE} x {SIDE} px, {name}"), |b| {
            b.iter(|| tiles.par_iter().for_each(|tile| drop(black_box(slide.read_uncached(tile).unwrap()))));
        });
        c.bench_function(&format!("thumbnail of 128 px from {SIDE} x {SIDE} px, {name}"), |b| {
            b.iter(|| slide.thumbnail(black_box(128)).unwrap());
        });
    }
    let path = folder.path().join("JPEG.tif");
    c.bench_function("open a slide", |b| b.iter(|| Slide::open(black_box(&path)).unwrap()));
    let slide = Slide::open(&path).unwrap();
    c.bench_function("tissue mask", |b| b.iter(|| TissueMask::of_slide(&slide, &TissueConfig::default()).unwrap()));
    let cells: Vec<_> = (0..2000_u32)
        .map(|i| Point::<Level0>::new(f64::from(i * 7919 % SIDE) + 0.5, f64::from(i * 104_729 % SIDE) + 0.5))
        .collect();
    c.bench_function("2000 crops of 72 px at 0.25 um/px", |b| {
        b.iter(|| {
            CropStream::new(&slide, &cells, &CropSpec::default()).unwrap().for_each(|block| drop(block.unwrap()))
        });
    });
    c.bench_function(&format!("nuclei of {SIDE} x {SIDE} px"), |b| {
        b.iter(|| detect(&slide, &DetectConfig::default(), &|_, _| ()).unwrap());
    });
}

criterion_group!(benches, slides, kernels, encoders, training, metrics);
criterion_main!(benches);
