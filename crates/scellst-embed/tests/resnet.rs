//! ResNets against torchvision (values and script in `tests/data`), and the CPU path against candle's convolutions.

mod formula;

use std::path::Path;

use candle_core::Device;
use ndarray::{Array4, Axis};
use scellst_embed::{EmbedError, Encoder, PixelNorm, ResNet, ResNetDepth, open, open_normalised};

const DEPTHS: [ResNetDepth; 3] = [ResNetDepth::R18, ResNetDepth::R34, ResNetDepth::R50];

fn network(depth: ResNetDepth) -> ResNet {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    formula::save(&formula::resnet(depth.name()), &path);
    ResNet::open(depth, &path, &Device::Cpu).unwrap()
}

#[test]
fn features_are_torchvisions() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("data/resnet_golden.json")).unwrap();
    for depth in DEPTHS {
        let net = network(depth);
        for size in [48, 72, 33, 224] {
            let features = net.embed(formula::crops(2, size).view()).unwrap();
            assert_eq!(features.dim(), (2, depth.dim()));
            let error = formula::error(&features, &golden[depth.name()][size.to_string()]);
            // The contract says 1e-4 of the largest value; f32 and Winograd's transforms take a tenth of that.
            assert!(error < 2e-5, "{} at {size} px: {error:e}", depth.name());
        }
        for stage in 1..4 {
            let net = network(depth).until_stage(stage).unwrap();
            assert_eq!(net.spec().name, format!("{}:stage={stage}", depth.name()));
            let features = net.embed(formula::crops(2, 48).view()).unwrap();
            assert_eq!(features.dim(), (2, depth.dim() >> (4 - stage)));
            let error = formula::error(&features, &golden[depth.name()][format!("stage{stage}")]);
            assert!(error < 2e-5, "{} stage {stage}: {error:e}", depth.name());
            let composed = net.embed_on(formula::crops(2, 48).view(), &Device::Cpu).unwrap();
            assert!(formula::difference(&features, &composed) < 2e-5);
        }
        assert!(network(depth).until_stage(5).is_err());
        // Whatever is asked for twice, the name is one that can be opened.
        let twice = network(depth).with_bf16().unwrap().until_stage(3).unwrap();
        let twice = twice.until_stage(2).unwrap().with_bf16().unwrap();
        assert_eq!(twice.spec().name, format!("{}:stage=2,bf16", depth.name()));
        assert!(twice.until_stage(3).is_err());
        assert_eq!(network(depth).until_stage(4).unwrap().dim(), depth.dim());
    }
}

#[test]
fn the_cpu_path_is_candles_composed() {
    for depth in [ResNetDepth::R18, ResNetDepth::R50] {
        let net = network(depth);
        let crops = formula::crops(3, 40);
        let composed = net.embed_on(crops.view(), &Device::Cpu).unwrap();
        let difference = formula::difference(&net.embed(crops.view()).unwrap(), &composed);
        assert!(difference < 2e-5, "{}: {difference:e}", depth.name());
    }
}

#[test]
fn a_crop_is_embedded_alike_to_the_bit_in_any_company_and_on_any_threads() {
    let net = network(ResNetDepth::R18);
    let three = formula::crops(3, 48);
    let many = Array4::from_shape_fn((71, 48, 48, 3), |(n, y, x, c)| three[(n % 3, y, x, c)]);
    let alone = net.embed(three.view()).unwrap();
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let rows = pool.install(|| net.embed(many.view()).unwrap());
        for n in 0..71 {
            assert_eq!(rows.row(n), alone.row(n % 3), "{n} of 71 on {threads}");
        }
    }
    assert_eq!(net.embed(Array4::zeros((0, 48, 48, 3)).view()).unwrap().dim(), (0, 512));
}

#[test]
fn the_middle_of_larger_crops_may_be_a_view() {
    let net = network(ResNetDepth::R18);
    let large = formula::crops(2, 72);
    let middle = large.slice(ndarray::s![.., 12..60, 12..60, ..]);
    let copied = middle.to_owned();
    assert_eq!(net.embed(middle).unwrap(), net.embed(copied.view()).unwrap());
}

#[test]
fn weights_are_found_behind_the_prefixes_of_training() {
    let bare = formula::resnet("resnet18");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let crops = formula::crops(1, 48);
    let expected = network(ResNetDepth::R18).embed(crops.view()).unwrap();
    for prefix in ["module.base_encoder.", "base_encoder.", "module."] {
        let mut tensors: std::collections::HashMap<_, _> =
            bare.iter().map(|(n, t)| (format!("{prefix}{n}"), t.clone())).collect();
        // What MoCo leaves beside: the projector in the last layer's place, the momentum encoder, the predictor.
        let other = bare["bn1.bias"].clone();
        tensors.insert(format!("{prefix}fc.0.weight"), other.clone());
        tensors.insert(format!("{prefix}bn1.num_batches_tracked"), other.clone());
        if prefix.contains("base") {
            tensors.insert("module.momentum_encoder.conv1.weight".into(), other.clone());
            tensors.insert("module.predictor.0.weight".into(), other);
        }
        formula::save(&tensors, &path);
        let encoder = open("resnet18", Some(&path), &Device::Cpu).unwrap();
        assert_eq!(encoder.embed(crops.view()).unwrap(), expected, "{prefix}");
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let good = formula::resnet("resnet18");
    let fails = |tensors: &std::collections::HashMap<String, candle_core::Tensor>, encoder: &str| -> EmbedError {
        formula::save(tensors, &path);
        match open(encoder, Some(&path), &Device::Cpu) {
            Ok(_) => panic!("taken as {encoder}"),
            Err(e) => e,
        }
    };
    // Another depth: 18 has all that 34 begins with, 34 has more than 18, 50 other shapes.
    let message = fails(&good, "resnet34").to_string();
    assert!(message.contains("layer1.2.conv1.weight") && message.contains("looks like resnet18"), "{message}");
    let message = fails(&good, "resnet50").to_string();
    assert!(message.contains("[64, 64, 1, 1]") && message.contains("[64, 64, 3, 3]"), "{message}");
    let extra = fails(&formula::resnet("resnet34"), "resnet18");
    assert!(matches!(&extra, EmbedError::WeightsExtra { count: 80, looks: Some(l), .. } if l == "resnet34"), "{extra}");
    let message = fails(&good, "mobilenet-v1").to_string();
    assert!(message.contains("conv1.weight"), "{message}");

    let mut cut = good.clone();
    cut.remove("layer2.0.downsample.1.running_var");
    let message = fails(&cut, "resnet18").to_string();
    assert!(message.contains("layer2.0.downsample.1.running_var") && message.contains("no such tensor"), "{message}");
    let mut nan = good.clone();
    let broken = (nan["layer4.1.bn2.bias"].zeros_like().unwrap() / 0.0).unwrap();
    nan.insert("layer4.1.bn2.bias".into(), broken);
    let message = fails(&nan, "resnet18").to_string();
    assert!(message.contains("layer4.1.bn2.bias") && message.contains("NaN"), "{message}");
    let mut negative = good.clone();
    let below = (negative["bn1.running_var"].zeros_like().unwrap() - 1.0).unwrap();
    negative.insert("bn1.running_var".into(), below);
    assert!(fails(&negative, "resnet18").to_string().contains("variances"));

    let none = open("resnet18", None, &Device::Cpu).err().unwrap().to_string();
    assert!(none.contains("needs weights"), "{none}");
    let missing = open("resnet18", Some(Path::new("/nowhere/w.pth")), &Device::Cpu).err().unwrap();
    assert!(matches!(missing, EmbedError::WeightsFile { .. }), "{missing}");
    let unknown = open("resnet99", None, &Device::Cpu).err().unwrap().to_string();
    assert!(unknown.contains("resnet50"), "{unknown}");
}

#[test]
fn an_untrained_network_is_its_seed() {
    let crops = formula::crops(2, 48);
    let run = |name: &str| {
        let encoder = open(name, None, &Device::Cpu).unwrap();
        assert_eq!((encoder.spec().name.as_str(), &encoder.spec().weights), (name, &None));
        encoder.embed(crops.view()).unwrap()
    };
    let (one, again, other) = (run("resnet18:untrained=1"), run("resnet18:untrained=1"), run("resnet18:untrained=2"));
    assert_eq!(one, again);
    assert!(formula::difference(&one, &other) > 0.1);
    assert!(one.iter().all(|v| v.is_finite()) && one.iter().any(|v| *v > 0.1));
    for wrong in ["resnet18:untrained=x", "resnet18:untrained=-1", "mobilenet-v1:untrained=1"] {
        assert!(matches!(open(wrong, None, &Device::Cpu), Err(EmbedError::UnknownEncoder { .. })), "{wrong}");
    }
}

/// Eight bits of precision through up to 53 layers: the direction of the features stays.
#[test]
fn products_of_bfloat16_are_near() {
    let crops = formula::crops(20, 48);
    for depth in ["resnet18", "resnet50"] {
        let run = |name: &str| {
            let encoder = open(name, None, &Device::Cpu).unwrap();
            assert_eq!(encoder.spec().name, name);
            encoder.embed(crops.view()).unwrap()
        };
        let exact = run(&format!("{depth}:untrained=1"));
        let near = run(&format!("{depth}:untrained=1,bf16"));
        assert!(exact != near);
        let early = run(&format!("{depth}:untrained=1,stage=2,bf16"));
        assert_eq!(early.ncols(), exact.ncols() / 4);
        for (a, b) in exact.rows().into_iter().zip(near.rows()) {
            let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
            assert!(cosine > 0.9995, "{depth}: {cosine}");
        }
        // A crop's features do not depend on the others.
        let alone = open(&format!("{depth}:untrained=1,bf16"), None, &Device::Cpu).unwrap();
        let few = alone.embed(crops.slice_axis(Axis(0), (3..5).into())).unwrap();
        assert_eq!(few, near.slice_axis(Axis(0), (3..5).into()));
    }
    // As a GPU has it: every number in half the bits.
    let net = ResNet::untrained(ResNetDepth::R18, 1, &Device::Cpu).unwrap();
    let exact = net.embed_on(crops.view(), &Device::Cpu).unwrap();
    let near = net.with_bf16().unwrap().embed_on(crops.view(), &Device::Cpu).unwrap();
    assert!(exact != near);
    for (a, b) in exact.rows().into_iter().zip(near.rows()) {
        let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
        assert!(cosine > 0.9995, "{cosine}");
    }
    for wrong in [
        "resnet18:stage=0",
        "resnet18:stage=5",
        "resnet18:stage=",
        "resnet18:bf16,bf16",
        "resnet18:bf32",
        "resnet18:",
        "resnet18:untrained=1,untrained=1",
    ] {
        assert!(matches!(open(wrong, None, &Device::Cpu), Err(EmbedError::UnknownEncoder { .. })), "{wrong}");
    }
}

#[test]
fn pixel_statistics_are_part_of_the_encoder() {
    let crops = formula::crops(2, 48);
    let name = "resnet18:untrained=3";
    let usual = open(name, None, &Device::Cpu).unwrap();
    let pixels = PixelNorm { mean: [0.5, 0.6, 0.7], std: [0.1, 0.2, 0.3] };
    let own = open_normalised(name, None, pixels, &Device::Cpu).unwrap();
    assert_eq!((usual.spec().pixels, own.spec().pixels), (PixelNorm::IMAGENET, pixels));
    let (a, b) = (usual.embed(crops.view()).unwrap(), own.embed(crops.view()).unwrap());
    assert!(formula::difference(&a, &b) > 0.01);
    let same = open_normalised(name, None, PixelNorm::IMAGENET, &Device::Cpu).unwrap();
    assert_eq!(same.embed(crops.view()).unwrap(), a);
    for (name, std) in [(name, [0.1, 0.0, 0.1]), (name, [0.1, f32::NAN, 0.1]), ("morphology", [0.1; 3])] {
        let pixels = PixelNorm { mean: [0.5; 3], std };
        let result = open_normalised(name, None, pixels, &Device::Cpu);
        assert!(matches!(result, Err(EmbedError::Pixels { .. })), "{name} {std:?}");
    }
}

#[test]
fn crops_that_are_none_are_refused() {
    let net = network(ResNetDepth::R18);
    for shape in [(1, 15, 48, 3), (1, 48, 8, 3), (1, 48, 48, 4)] {
        let e = net.embed(Array4::zeros(shape).view()).unwrap_err();
        assert!(matches!(e, EmbedError::Crops { encoder: "resnet18", .. }), "{e}");
    }
}
