//! Weights and crops by the formulas of `tests/data/*_golden.py`, so that none need to be stored.

#![allow(dead_code)] // each test takes its part

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use ndarray::{Array2, Array4};
use serde_json::Value;

/// CRC-32 as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// In -1..1.
fn uniform(name: &str, index: usize) -> f64 {
    let mut z = index as u64 + (u64::from(crc32(name.as_bytes())) << 32);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// A tensor of a residual network.
pub fn resnet_value(name: &str, shape: &[usize]) -> Tensor {
    let fan: usize = shape[1..].iter().product();
    let small = name.contains("layer") && (name.ends_with("bn3.weight") || name.ends_with("bn2.weight"));
    let value = |u: f64| match name {
        _ if shape.len() > 1 => u * (6.0 / fan as f64).sqrt(),
        n if n.ends_with("running_var") => 1.2 + 0.8 * u,
        n if n.ends_with("running_mean") => 0.3 * u,
        n if n.ends_with("weight") => (if small { 0.3 } else { 0.9 }) * (1.0 + 0.4 * u),
        _ => 0.2 * u,
    };
    tensor(name, shape, value)
}

fn tensor(name: &str, shape: &[usize], value: impl Fn(f64) -> f64) -> Tensor {
    let seed = name;
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| value(uniform(seed, i)) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// All tensors of `resnet18`, `resnet34` or `resnet50` without `fc`.
pub fn resnet(name: &str) -> HashMap<String, Tensor> {
    let (blocks, expansion) = match name {
        "resnet18" => ([2, 2, 2, 2], 1),
        "resnet34" => ([3, 4, 6, 3], 1),
        _ => ([3, 4, 6, 3], 4),
    };
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut conv = |name: String, bn: String, out: usize, inputs: usize, side: usize| {
        shapes.push((format!("{name}.weight"), vec![out, inputs, side, side]));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{bn}.{part}"), vec![out]));
        }
    };
    conv("conv1".into(), "bn1".into(), 64, 3, 7);
    let mut channels = 64;
    for (s, count) in blocks.into_iter().enumerate() {
        let (within, out) = (64 << s, (64 << s) * expansion);
        for b in 0..count {
            let at = |p: &str| format!("layer{}.{b}.{p}", s + 1);
            let sides: &[usize] = if expansion == 1 { &[3, 3] } else { &[1, 3, 1] };
            let mut from = channels;
            for (i, side) in sides.iter().enumerate() {
                let to = if i + 1 == sides.len() { out } else { within };
                conv(at(&format!("conv{}", i + 1)), at(&format!("bn{}", i + 1)), to, from, *side);
                from = to;
            }
            if b == 0 && (s > 0 || expansion > 1) {
                conv(at("downsample.0"), at("downsample.1"), out, channels, 1);
            }
            channels = out;
        }
    }
    shapes.into_iter().map(|(n, s)| (n.clone(), resnet_value(&n, &s))).collect()
}

/// A tensor of a vision transformer.
fn vit_value(name: &str, shape: &[usize]) -> Tensor {
    let fan: usize = shape[1..].iter().product();
    let value = |u: f64| match name {
        n if n.ends_with("gamma") => 0.5 + 0.4 * u,
        n if n.starts_with("cls_token") || n.starts_with("reg_token") || n.starts_with("pos_embed") => 0.5 * u,
        _ if shape.len() > 1 => u * (3.0 / fan as f64).sqrt(),
        n if n.ends_with("weight") => 1.0 + 0.5 * u,
        _ => 0.2 * u,
    };
    tensor(name, shape, value)
}

/// All tensors of a vision transformer whose names and shapes the golden file lists.
pub fn vit(golden: &Value) -> HashMap<String, Tensor> {
    let shapes = golden["shapes"].as_object().unwrap();
    let sides = |v: &Value| v.as_array().unwrap().iter().map(|s| s.as_u64().unwrap() as usize).collect::<Vec<_>>();
    shapes.iter().map(|(name, shape)| (name.clone(), vit_value(name, &sides(shape)))).collect()
}

/// Tensors of a ViT-S/16 of 224 px.
pub fn vit_small() -> HashMap<String, Tensor> {
    let mut shapes: Vec<(String, Vec<usize>)> = [
        ("cls_token", vec![1, 1, 384]),
        ("pos_embed", vec![1, 197, 384]),
        ("patch_embed.proj.weight", vec![384, 3, 16, 16]),
        ("patch_embed.proj.bias", vec![384]),
        ("norm.weight", vec![384]),
        ("norm.bias", vec![384]),
    ]
    .map(|(n, s)| (n.to_owned(), s))
    .to_vec();
    for b in 0..12 {
        for (part, out, inputs) in [
            ("norm1", 384, 0),
            ("attn.qkv", 1152, 384),
            ("attn.proj", 384, 384),
            ("norm2", 384, 0),
            ("mlp.fc1", 1536, 384),
            ("mlp.fc2", 384, 1536),
        ] {
            let weight = if inputs == 0 { vec![out] } else { vec![out, inputs] };
            shapes.push((format!("blocks.{b}.{part}.weight"), weight));
            shapes.push((format!("blocks.{b}.{part}.bias"), vec![out]));
        }
    }
    shapes.into_iter().map(|(n, s)| (n.clone(), vit_value(&n, &s))).collect()
}

pub fn save(tensors: &HashMap<String, Tensor>, path: &Path) {
    candle_core::safetensors::save(tensors, path).unwrap();
}

/// `crop(n, size)` of the scripts.
pub fn crops(count: usize, size: usize) -> Array4<u8> {
    Array4::from_shape_fn((count, size, size, 3), |(n, y, x, c)| {
        ((x * (3 + n) + y * (7 + 2 * n) + c * 50 + (x * y) / (4 + n)) % 256) as u8
    })
}

/// The largest error over the largest value, after the first features, the sums and the largest value.
pub fn error(found: &Array2<f32>, golden: &Value) -> f64 {
    let largest = golden["max"].as_f64().unwrap();
    let mut worst = 0f64;
    for (n, row) in golden["first"].as_array().unwrap().iter().enumerate() {
        for (i, v) in row.as_array().unwrap().iter().enumerate() {
            worst = worst.max((f64::from(found[(n, i)]) - v.as_f64().unwrap()).abs() / largest);
        }
        let sum: f64 = found.row(n).iter().map(|v| f64::from(*v)).sum();
        let expected = golden["sum"][n].as_f64().unwrap();
        worst = worst.max((sum - expected).abs() / largest / found.ncols() as f64);
    }
    let found = found.iter().fold(0f32, |m, v| m.max(v.abs()));
    worst.max((f64::from(found) - largest).abs() / largest)
}

pub fn difference(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    let largest = b.iter().fold(0f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}
