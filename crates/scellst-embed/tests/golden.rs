//! MobileNetV1 against PyTorch (values and script in `tests/data`), and the CPU path against candle's convolutions.

#![allow(clippy::print_stdout)] // a skipped test says so

use std::path::{Path, PathBuf};

use candle_core::Device;
use ndarray::{Array2, Array4};
use scellst_embed::{EmbedError, Encoder, MobileNetV1, open};

fn weights() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/weights/mobilenet_v1_imagenet_block11.safetensors");
    if !path.exists() {
        println!("skipped: no shared data");
    }
    path.exists().then_some(path)
}

/// As in `mobilenet_golden.py`.
fn crops(size: usize) -> Array4<u8> {
    Array4::from_shape_fn((3, size, size, 3), |(n, y, x, c)| {
        ((x * (3 + n) + y * (7 + 2 * n) + c * 50 + (x * y) / (4 + n)) % 256) as u8
    })
}

fn largest_difference(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn features_are_pytorchs() {
    let Some(weights) = weights() else { return };
    let net = MobileNetV1::open(&weights, &Device::Cpu).unwrap();
    let golden: serde_json::Value = serde_json::from_str(include_str!("data/mobilenet_golden.json")).unwrap();
    for size in [48, 37, 72] {
        let golden = &golden[size.to_string()];
        let features = net.embed(crops(size).view()).unwrap();
        // Eleven blocks of f32 sums over up to 512 products against f64: 1e-4 of the largest value, as the
        // encoders' contract says.
        let tolerance = 1e-4 * golden["max"].as_f64().unwrap();
        for n in 0..3 {
            for (i, expected) in golden["first"][n].as_array().unwrap().iter().enumerate() {
                let found = f64::from(features[(n, i)]);
                let expected = expected.as_f64().unwrap();
                assert!((found - expected).abs() < tolerance, "{size} px, crop {n}, feature {i}: {found}, {expected}");
            }
            let sum: f64 = features.row(n).iter().map(|&v| f64::from(v)).sum();
            assert!((sum - golden["sum"][n].as_f64().unwrap()).abs() < 512.0 * tolerance);
        }
    }
}

/// Eight bits of precision in the pointwise convolutions: the direction of the features stays.
#[test]
fn products_of_bfloat16_are_near() {
    let Some(weights) = weights() else { return };
    let run = |name| {
        let net = open(name, Some(&weights), &Device::Cpu).unwrap();
        assert_eq!(net.spec().name, name);
        net.embed(crops(48).view()).unwrap()
    };
    let exact = run("mobilenet-v1");
    // And as a GPU has it: every number in half the bits.
    let half = MobileNetV1::open(&weights, &Device::Cpu).unwrap().with_bf16().unwrap();
    let on_device = half.embed_on(crops(48).view(), &Device::Cpu).unwrap();
    for (near, least) in [(run("mobilenet-v1:bf16"), 0.999), (on_device, 0.998)] {
        assert!(exact != near);
        for (a, b) in exact.rows().into_iter().zip(near.rows()) {
            let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
            assert!(cosine > least, "{cosine}");
        }
    }
}

#[test]
fn the_cpu_path_is_candles_composed() {
    let Some(weights) = weights() else { return };
    let net = MobileNetV1::open(&weights, &Device::Cpu).unwrap();
    for size in [48, 33] {
        let crops = crops(size);
        let (own, composed) = (net.embed(crops.view()).unwrap(), net.embed_on(crops.view(), &Device::Cpu).unwrap());
        assert!(largest_difference(&own, &composed) < 1e-4 * 6.0, "{size}"); // ReLU6 bounds the values
    }
}

#[test]
fn a_crop_is_embedded_alike_in_any_company_and_on_any_threads() {
    let Some(weights) = weights() else { return };
    let net = MobileNetV1::open(&weights, &Device::Cpu).unwrap();
    let three = crops(48);
    let many = Array4::from_shape_fn((50, 48, 48, 3), |(n, y, x, c)| three[(n % 3, y, x, c)]);
    let alone = net.embed(three.view()).unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| net.embed(many.view()).unwrap())
    };
    let (one, four) = (run(1), run(4));
    assert_eq!(one, four);
    // Matrix products of another height may add in another order.
    for n in 0..50 {
        let d = (&one.row(n) - &alone.row(n % 3)).iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(d < 1e-5, "{n}: {d}");
    }
    assert_eq!(net.embed(Array4::zeros((0, 48, 48, 3)).view()).unwrap().dim(), (0, 512));
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let Some(weights) = weights() else { return };
    let folder = tempfile::tempdir().unwrap();
    let fails = |path: &Path| match MobileNetV1::open(path, &Device::Cpu) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(e) => e,
    };
    let missing = fails(&folder.path().join("none.safetensors"));
    assert!(matches!(missing, EmbedError::WeightsFile { .. }), "{missing}");

    let bytes = std::fs::read(&weights).unwrap();
    for cut in [0, 5, 100, bytes.len() / 2] {
        let path = folder.path().join("cut.safetensors");
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(matches!(fails(&path), EmbedError::WeightsFile { .. }), "{cut}");
    }

    let tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
    let name = "conv_pw_3.weight";
    let write = |change: &dyn Fn(&mut std::collections::HashMap<String, candle_core::Tensor>)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        let path = folder.path().join("other.safetensors");
        candle_core::safetensors::save(&tensors, &path).unwrap();
        fails(&path).to_string()
    };
    let message = write(&|t| {
        t.remove(name);
    });
    assert!(message.contains(name) && message.contains("no such tensor"), "{message}");
    let message = write(&|t| {
        let transposed = t[name].transpose(0, 1).unwrap().narrow(0, 0, 64).unwrap().contiguous().unwrap();
        t.insert(name.into(), transposed);
    });
    assert!(message.contains("[64, 128, 1, 1]") && message.contains("[128, 128, 1, 1]"), "{message}");
    let message = write(&|t| {
        let nan = (t[name].zeros_like().unwrap() / 0.0).unwrap();
        t.insert(name.into(), nan);
    });
    assert!(message.contains("NaN"), "{message}");
}
