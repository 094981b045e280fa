//! The hot paths one by one, each beside the composed form where there is one.
//!
//! `cargo bench` (release settings); sizes are in the names. Whole stages on real slides: `examples/throughput.rs`.

use std::hint::black_box;

use candle_core::{Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::{Array2, Array4};
use scellst::embed::{Encoder, Morphology};
use scellst::kernels::{Offsets, segment_mean, softplus, softplus_segment_mean};
use scellst::metrics::GeneScores;
use scellst::model::{MilModel, ModelShape, TrainConfig, TrainData, train};

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

criterion_group!(benches, kernels, encoders, training, metrics);
criterion_main!(benches);
