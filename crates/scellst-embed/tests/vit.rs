//! Vision transformers against timm (values and script in `tests/data`), and the CPU path against candle's operations.

mod formula;

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use ndarray::{Array2, Array4, concatenate};
use scellst_embed::{EmbedError, Encoder, Vit, VitOptions, VitPooling, open};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("data/vit_golden.json")).unwrap()
}

fn try_open(name: &str, tensors: &HashMap<String, Tensor>) -> Result<Box<dyn Encoder>, EmbedError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    formula::save(tensors, &path);
    open(name, Some(&path), &Device::Cpu)
}

#[test]
fn features_are_timms() {
    let golden = golden();
    for (network, heads, sizes) in
        [("small", "", &[48, 224, 96][..]), ("swiglu", "", &[70, 56, 98]), ("registers", "heads=4,", &[32, 48])]
    {
        let tensors = formula::vit(&golden[network]);
        for pool in ["class", "mean"] {
            let name = format!("vit:{heads}pool={pool}");
            let encoder = try_open(&name, &tensors).unwrap();
            for size in sizes {
                let features = encoder.embed(formula::crops(2, *size).view()).unwrap();
                assert_eq!(features.ncols(), encoder.dim());
                let error = formula::error(&features, &golden[network][size.to_string()][pool]);
                assert!(error < 2e-5, "{network} at {size} px, {pool}: {error:e}");
            }
        }
    }
}

#[test]
fn both_pools_stand_side_by_side() {
    let tensors = formula::vit(&golden()["registers"]);
    let crops = formula::crops(3, 40);
    let run =
        |pool: &str| try_open(&format!("vit:heads=4,pool={pool}"), &tensors).unwrap().embed(crops.view()).unwrap();
    let expected: Array2<f32> = concatenate![ndarray::Axis(1), run("class"), run("mean")];
    assert_eq!(run("class+mean"), expected);
}

#[test]
fn dinov2s_own_names_are_the_same_network() {
    let timm = formula::vit(&golden()["swiglu"]);
    let renamed = |name: &str| {
        name.replace("reg_token", "register_tokens").replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")
    };
    let mut own: HashMap<String, Tensor> = timm.iter().map(|(n, t)| (renamed(n), t.clone())).collect();
    // DINOv2 gives the class token a position of its own, which timm has added to the token.
    let place = (own["cls_token"].ones_like().unwrap() * 0.25).unwrap();
    own.insert("pos_embed".into(), Tensor::cat(&[&place, &own["pos_embed"]], 1).unwrap());
    own.insert("cls_token".into(), (&own["cls_token"] - place).unwrap());
    own.insert("mask_token".into(), Tensor::zeros((1, 192), candle_core::DType::F32, &Device::Cpu).unwrap());
    let crops = formula::crops(2, 56);
    let (a, b) = (try_open("vit", &timm).unwrap(), try_open("vit", &own).unwrap());
    let difference = formula::difference(&b.embed(crops.view()).unwrap(), &a.embed(crops.view()).unwrap());
    assert!(difference < 1e-6, "{difference:e}");
}

#[test]
fn the_cpu_path_is_candles_composed() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for (network, heads, size) in [("swiglu", None, 84), ("registers", Some(4), 40)] {
        formula::save(&formula::vit(&golden[network]), &path);
        for enlarge_to in [None, Some(size)] {
            let options = VitOptions { heads, enlarge_to, pooling: VitPooling::ClassAndMean, bf16: false };
            let net = Vit::open(options, &path, &Device::Cpu).unwrap();
            let crops = formula::crops(3, if enlarge_to.is_some() { 23 } else { size });
            let composed = net.embed_on(crops.view(), &Device::Cpu).unwrap();
            let difference = formula::difference(&net.embed(crops.view()).unwrap(), &composed);
            assert!(difference < 2e-5, "{network} {enlarge_to:?}: {difference:e}");
        }
    }
}

/// Eight bits of precision in every product: the direction of the features stays, on the CPU and on a device.
#[test]
fn products_of_bfloat16_are_near() {
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for (network, heads, size) in [("swiglu", None, 84), ("registers", Some(4), 40)] {
        formula::save(&formula::vit(&golden[network]), &path);
        let open = |bf16| {
            let options = VitOptions { heads, pooling: VitPooling::ClassAndMean, bf16, ..VitOptions::default() };
            Vit::open(options, &path, &Device::Cpu).unwrap()
        };
        let crops = formula::crops(5, size);
        let (exact, half) = (open(false).embed(crops.view()).unwrap(), open(true));
        assert!(half.spec().name.ends_with("bf16"));
        for near in [half.embed(crops.view()), half.embed_on(crops.view(), &Device::Cpu)].map(Result::unwrap) {
            assert!(near != exact);
            for (a, b) in exact.rows().into_iter().zip(near.rows()) {
                let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
                assert!(cosine > 0.999, "{network}: {cosine}");
            }
        }
        // A crop's features do not depend on the others.
        let few = half.embed(crops.slice_axis(ndarray::Axis(0), (3..5).into())).unwrap();
        assert_eq!(few, half.embed(crops.view()).unwrap().slice_axis(ndarray::Axis(0), (3..5).into()));
    }
}

#[test]
fn a_crop_is_embedded_alike_to_the_bit_in_any_company_and_on_any_threads() {
    let encoder = try_open("vit", &formula::vit(&golden()["swiglu"])).unwrap();
    let three = formula::crops(3, 42);
    let many = Array4::from_shape_fn((40, 42, 42, 3), |(n, y, x, c)| three[(n % 3, y, x, c)]);
    let alone = encoder.embed(three.view()).unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let rows = pool.install(|| encoder.embed(many.view()).unwrap());
        (0..40).for_each(|n| assert_eq!(rows.row(n), alone.row(n % 3), "{n} of 40 on {threads}"));
    }
    assert_eq!(encoder.embed(Array4::zeros((0, 42, 42, 3)).view()).unwrap().dim(), (0, 192));
}

#[test]
fn what_does_not_fit_is_named() {
    let good = formula::vit(&golden()["registers"]);
    let fails = |name: &str, change: &dyn Fn(&mut HashMap<String, Tensor>), expected: &[&str]| {
        let mut tensors = good.clone();
        change(&mut tensors);
        let message = try_open(name, &tensors).err().expect("an error").to_string();
        expected.iter().for_each(|e| assert!(message.contains(e), "{e}: {message}"));
    };
    let other = good["norm.bias"].clone();
    fails("vit:heads=3", &|_| (), &["3 heads", "128"]);
    fails("vit:heads=4", &|t| drop(t.remove("norm.weight")), &["norm.weight", "no such tensor"]);
    fails("vit:heads=4", &|t| drop(t.remove("blocks.1.attn.qkv.weight")), &["blocks.1.attn.qkv.weight"]);
    fails("vit:heads=4", &|t| drop(t.remove("patch_embed.proj.weight")), &["patch_embed.proj.weight"]);
    fails("vit:heads=4", &|t| drop(t.remove("pos_embed")), &["pos_embed", "no such tensor"]);
    fails(
        "vit:heads=4",
        &|t| t.retain(|name, _| !name.starts_with("blocks.")),
        &["blocks.0.norm1.weight", "no such tensor"],
    );
    // timm's networks that pool by the mean norm after it: another order, so another network.
    fails("vit:heads=4", &|t| drop(t.insert("fc_norm.weight".into(), other.clone())), &["fc_norm.weight"]);
    // A norm of queries, which this network has not.
    fails(
        "vit:heads=4",
        &|t| drop(t.insert("blocks.0.attn.q_norm.weight".into(), other.clone())),
        &["q_norm", "1 tensors"],
    );
    let short = good["pos_embed"].narrow(1, 0, 11).unwrap();
    fails("vit:heads=4", &|t| drop(t.insert("pos_embed".into(), short.clone())), &["pos_embed", "square", "11"]);
    fails("resnet18", &|_| (), &["conv1.weight", "looks like vit"]);
    assert!(open("vit:depth=3", None, &Device::Cpu).err().unwrap().to_string().contains("vit:depth=3"));

    let encoder = try_open("vit:heads=4", &good).unwrap();
    for (shape, expected) in
        [((1, 36, 40, 3), "multiples of 8"), ((1, 40, 40, 4), "three channels"), ((1, 0, 8, 3), "multiples")]
    {
        let message = encoder.embed(Array4::zeros(shape).view()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let enlarging = try_open("vit:heads=4,px=40", &good).unwrap();
    assert_eq!(enlarging.spec().input_px, 40);
    assert_eq!(enlarging.embed(Array4::zeros((2, 33, 40, 3)).view()).unwrap().dim(), (2, 128));
    assert!(enlarging.embed(Array4::zeros((2, 48, 48, 3)).view()).is_err());
}
