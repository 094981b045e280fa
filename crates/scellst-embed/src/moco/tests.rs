//! Steps against PyTorch's (values and script in `tests/data`), and training as a whole.

use candle_core::{Device, Tensor, Var};
use ndarray::{Array4, Axis};
use serde_json::Value;

use super::layers::Pass;
use super::net::Net;
use super::optimiser::{Pace, State};
use super::parameters::Values;
use super::*;
use crate::{EmbedError, Encoder, PixelNorm, ResNet, ResNetDepth};

#[path = "../../tests/formula/mod.rs"]
mod formula;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/data/moco_golden.json")).unwrap()
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap()
}

/// The largest error of the first values, the sum and the norm, over the largest value (or the norm).
fn error(found: &[f32], expected: &Value) -> f64 {
    let largest = number(&expected["max"]);
    let firsts = expected["first"].as_array().unwrap().iter().zip(found);
    let first = firsts.map(|(e, f)| (f64::from(*f) - number(e)).abs() / largest).fold(0.0, f64::max);
    let norm = found.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let sum: f64 = found.iter().map(|v| f64::from(*v)).sum();
    let by_norm = (norm - number(&expected["norm"])).abs() / norm;
    let by_sum = (sum - number(&expected["sum"])).abs() / (norm * (found.len() as f64).sqrt());
    first.max(by_norm).max(by_sum)
}

/// Settings that take no time.
fn small(depth: ResNetDepth) -> MocoConfig {
    MocoConfig { hidden: 64, dim: 32, batch: 8, epochs: 2, warm_up_epochs: 0.0, ..MocoConfig::published(depth) }
}

fn section(name: &str, crops: usize) -> MocoSection {
    MocoSection { name: name.into(), crops }
}

#[test]
fn a_step_is_pytorchs() {
    let golden = golden();
    for depth in [ResNetDepth::R18, ResNetDepth::R50] {
        let expected = &golden[depth.name()];
        let config = MocoConfig { temperature: 0.5, ..small(depth) };
        let mut moco = Moco::new(config, PixelNorm::IMAGENET, vec![section("a", 8)], &Device::Cpu).unwrap();
        for (name, values) in moco.named() {
            let value = formula::resnet_value(&name, &values.dims()).flatten_all().unwrap();
            values.set(&value.to_vec1::<f32>().unwrap()).unwrap();
        }
        moco.changed();
        let all = formula::crops(16, 48);
        let view = |from: usize| {
            let crops = all.slice_axis(Axis(0), (from..from + 8).into());
            let mut values = vec![0.0; 8 * 48 * 48 * 3];
            PixelNorm::IMAGENET.apply(crops, &mut values);
            Tensor::from_vec(values, (8, 48, 48, 3), &Device::Cpu).unwrap()
        };
        let compared = moco.compare(&[view(0), view(8)], 0.75).unwrap();
        let loss = f64::from(compared.loss.to_scalar::<f32>().unwrap());
        assert!((loss - number(&expected["loss"])).abs() < 1e-5, "{loss} for {}", expected["loss"]);
        let gradients = moco.gradients(compared).unwrap();
        let named = moco.named();
        for (name, expected) in expected["gradients"].as_object().unwrap() {
            let (_, values) = named.iter().find(|(n, _)| n == name).unwrap();
            let Values::Trained(var) = values else { panic!("{name} is not trained") };
            let found = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            // f32 against f64. Of ResNet-50's two million activations some lie so near to 0 that rounding decides
            // whether a ReLU lets their gradient pass, and the deepest batch norms have 4 x 8 pixels.
            let tolerance = if depth == ResNetDepth::R18 { 1e-4 } else { 1e-2 };
            assert!(error(&found, expected) < tolerance, "{name}: {}", error(&found, expected));
        }
        for (name, expected) in expected["running"].as_object().unwrap() {
            let (_, values) = named.iter().find(|(n, _)| n == name).unwrap();
            let found = values.get().unwrap().1;
            assert!(error(&found, expected) < 1e-4, "{name}: {}", error(&found, expected));
        }
    }
}

/// What a GPU runs, on the CPU: the same features and gradients.
#[test]
fn the_passes_are_the_composed_networks() {
    for depth in [ResNetDepth::R18, ResNetDepth::R50] {
        let mut net = Net::new(depth, 4, 3, &Device::Cpu).unwrap();
        let all = formula::crops(6, 40);
        let mut values = vec![0.0; 6 * 40 * 40 * 3];
        PixelNorm::IMAGENET.apply(all.view(), &mut values);
        let x = Tensor::from_vec(values, (6, 40, 40, 3), &Device::Cpu).unwrap();
        let weights = formula::resnet_value("fc", &[6, depth.dim()]);
        let loss = |features: &Tensor| (features.sqr().unwrap() * &weights).unwrap().sum_all().unwrap();
        let composed = net.composed(&x, Pass::Gradient).unwrap();
        let expected = loss(&composed).backward().unwrap();
        // Twice in the same space, the second time over other images.
        net.run(&(&x * 0.5).unwrap(), Pass::Forward).unwrap();
        let seen = net.run(&x, Pass::Gradient).unwrap();
        let list = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Norm of the difference over the norm: a gradient that is wrong or missing is off by about 1.
        let apart = |a: &Tensor, b: &Tensor| {
            let (a, b) = (list(a), list(b));
            let norm = |values: Vec<f32>| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            norm(a.iter().zip(&b).map(|(a, b)| a - b).collect()) / norm(a)
        };
        assert!(apart(&composed, &seen.features) < 1e-4, "{}", apart(&composed, &seen.features));
        let graph = loss(&seen.features).backward().unwrap();
        let found = net.back([seen], graph).unwrap();
        let mut named = Vec::new();
        net.visit(&mut named);
        for (name, values) in named {
            let Values::Trained(var) = values else { continue };
            let off = apart(expected.get(var.as_tensor()).unwrap(), found.get(var).unwrap());
            // ResNet-50 of six crops is moved by up to 0.02 if its pixels are scaled by a millionth: ReLUs at 0.
            let tolerance = if depth == ResNetDepth::R18 { 1e-4 } else { 0.05 };
            assert!(off < tolerance, "{name} of {}: {off}", depth.name());
        }
    }
}

#[test]
fn optimisers_step_as_defined() {
    let golden = golden();
    for (kind, name) in [(Optimiser::AdamW, "adamw"), (Optimiser::Lars, "lars")] {
        let dims: [&[usize]; 2] = [&[4, 3], &[5]];
        let vars: Vec<Var> =
            (0..2).map(|i| Var::from_tensor(&formula::resnet_value(&format!("p{i}"), dims[i])).unwrap()).collect();
        let vars: Vec<&Var> = vars.iter().collect();
        let mut state = State::new(kind, &vars).unwrap();
        for step in 0..3 {
            let loss = vars.iter().enumerate().map(|(i, v)| {
                let gradient = formula::resnet_value(&format!("g{i}{step}"), dims[i]);
                (v.as_tensor() * gradient).unwrap().sum_all().unwrap()
            });
            let loss = loss.reduce(|a, b| (a + b).unwrap()).unwrap();
            let pace = Pace { rate: 0.02, decay: 0.05, step: step + 1 };
            state.step(&vars, &loss.backward().unwrap().into(), pace).unwrap();
        }
        for (var, expected) in vars.iter().zip(golden["steps"][name].as_array().unwrap()) {
            let found = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (f, e) in found.iter().zip(expected.as_array().unwrap()) {
                assert!((f64::from(*f) - number(e)).abs() < 1e-6, "{name}: {f} for {e}");
            }
        }
    }
}

/// Crops of the same few pictures, brighter or darker.
fn pictures(batch: &MocoBatch) -> Array4<u8> {
    let kinds = formula::crops(4, 48);
    let crops = &batch.crops[0];
    Array4::from_shape_fn((crops.len(), 48, 48, 3), |(n, y, x, c)| {
        let crop = crops[n];
        (f32::from(kinds[(crop % 4, y, x, c)]) * (0.5 + 0.03 * (crop % 16) as f32)) as u8
    })
}

fn quick() -> MocoConfig {
    let views = ViewConfig { side_px: 32, ..ViewConfig::default() };
    MocoConfig { optimiser: Optimiser::AdamW, learning_rate: 0.02, temperature: 0.2, views, ..small(ResNetDepth::R18) }
}

fn trained(config: &MocoConfig, steps: usize) -> Moco {
    let sections = vec![section("a", 24), section("b", 17)];
    let mut moco = Moco::new(config.clone(), PixelNorm::UNIT, sections, &Device::Cpu).unwrap();
    for _ in 0..steps {
        let crops = pictures(moco.next_batch().unwrap());
        moco.step([crops.view(), crops.view()]).unwrap();
    }
    moco
}

fn state(moco: &Moco) -> Vec<Vec<f32>> {
    moco.named().iter().map(|(_, v)| v.get().unwrap().1).collect()
}

#[test]
fn training_lowers_the_loss_and_does_not_collapse() {
    // Brightness is what tells most pictures apart: views leave it.
    let views = ViewConfig { stain_chance: 0.0, blur_chance: 0.0, ..quick().views };
    // Keys that follow at once: 25 steps are few for a slow encoder.
    let (momentum, momentum_rises) = (0.0, false);
    let config = MocoConfig { epochs: 5, learning_rate: 0.06, momentum, momentum_rises, views, ..quick() };
    let moco = trained(&config, 25);
    let mean = |steps: &[MocoStep]| steps.iter().map(|s| s.loss).sum::<f64>() / steps.len() as f64;
    let (first, last) = (mean(&moco.history()[..5]), mean(&moco.history()[20..]));
    assert!(last < 0.95 * first, "{first} to {last}: {:?}", moco.history());
    let end = moco.history()[24];
    assert!(!end.collapsed() && end.rank > 1.5, "{end:?}");
    assert!(moco.next_batch().is_none());
}

#[test]
fn a_resumed_training_has_the_bits_of_one_that_was_not_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moco.safetensors");
    for optimiser in [Optimiser::Lars, Optimiser::AdamW] {
        // Over the end of the first epoch, which has five steps.
        let config = MocoConfig { optimiser, ..quick() };
        let whole = trained(&config, 6);
        trained(&config, 2).save(&path).unwrap();
        let mut rest = trained(&config, 0);
        rest.restore(&path).unwrap();
        assert_eq!(rest.history().len(), 2);
        while rest.history().len() < 6 {
            let crops = pictures(rest.next_batch().unwrap());
            rest.step([crops.view(), crops.view()]).unwrap();
        }
        assert!(state(&rest) == state(&whole) && rest.history() == whole.history());
        let other = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert!(other.install(|| state(&trained(&config, 6))) == state(&whole));
    }
}

#[test]
fn the_encoder_is_read_as_any_other_and_says_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.safetensors");
    let moco = trained(&quick(), 2);
    let origin = moco.origin(&["c".into()]);
    moco.write_encoder(&path, &origin).unwrap();
    let encoder = ResNet::open(ResNetDepth::R18, &path, &Device::Cpu).unwrap();
    assert_eq!(encoder.spec().pixels, PixelNorm::UNIT);
    let weights = encoder.spec().weights.clone().unwrap();
    assert_eq!(weights.moco.unwrap(), origin);
    assert!(weights.source.unwrap().contains("MoCo v3 on the sections a, b"));
    let features = encoder.embed(formula::crops(2, 48).view()).unwrap();
    assert!(features.iter().all(|v| v.is_finite()) && features.row(0) != features.row(1));
}

/// The shorter network alone is trained and written, and known by its file.
#[test]
fn an_earlier_stage_may_be_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.safetensors");
    let config = MocoConfig { stage: 2, ..quick() };
    let moco = trained(&config, 2);
    moco.write_encoder(&path, &moco.origin(&[])).unwrap();
    assert!(moco.encoder().iter().all(|(name, _)| !name.starts_with("layer3")));
    let encoder = ResNet::open(ResNetDepth::R18, &path, &Device::Cpu).unwrap();
    assert_eq!((encoder.dim(), encoder.spec().name.as_str()), (128, "resnet18:stage=2"));
    let crops = formula::crops(2, 48);
    for name in ["resnet18", "resnet18:stage=2"] {
        let again = crate::open(name, Some(&path), &Device::Cpu).unwrap();
        assert_eq!(again.embed(crops.view()).unwrap(), encoder.embed(crops.view()).unwrap());
    }
    let message = crate::open("resnet18:stage=3", Some(&path), &Device::Cpu).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("stage") && message.contains("3"), "{message}");
    // From the same weights as the whole network.
    let moco = trained(&config, 0);
    let whole = trained(&quick(), 0);
    for ((name, short), (other, long)) in moco.encoder().iter().zip(whole.encoder()) {
        assert!(*name == other && short.get().unwrap() == long.get().unwrap(), "{name}");
    }
}

#[test]
fn second_views_may_be_of_neighbours() {
    let config = MocoConfig { neighbours: 1.0, ..quick() };
    let sections = vec![section("a", 16)];
    let make = |config: &MocoConfig, near: Vec<Neighbours>| {
        Moco::with_neighbours(config.clone(), PixelNorm::UNIT, sections.clone(), near, &Device::Cpu)
    };
    // Each crop's is the next one.
    let near = Neighbours::new((0..16).map(|n| [(n + 1) % 16]));
    let mut moco = make(&config, vec![near.clone()]).unwrap();
    let batch = moco.next_batch().unwrap().clone();
    assert!(batch.crops[0].iter().zip(&batch.crops[1]).all(|(one, other)| *other == (one + 1) % 16));
    // The second views are of the second crops.
    let flat = |of: [u8; 2]| of.map(|v| Array4::from_elem((8, 48, 48, 3), v));
    let step = |moco: &mut Moco, of| {
        let [one, other] = flat(of);
        moco.step([one.view(), other.view()]).unwrap().loss
    };
    let mut again = make(&config, vec![near.clone()]).unwrap();
    assert_ne!(step(&mut moco, [50, 200]), step(&mut again, [50, 50]));

    let message = |made: Result<Moco, EmbedError>| made.map(|_| ()).unwrap_err().to_string();
    let none = Moco::new(config.clone(), PixelNorm::UNIT, sections.clone(), &Device::Cpu);
    assert!(message(none).contains("near each other"));
    assert!(message(make(&config, vec![])).contains("0 of 1 sections"));
    let few = Neighbours::new((0..15).map(|_| [0]));
    assert!(message(make(&config, vec![few])).contains("15 of section a's 16 crops"));
    let astray = Neighbours::new((0..16).map(|n| [n + 1]));
    assert!(message(make(&config, vec![astray])).contains("16 of section a's 16 crops"));
    // A share of 0 takes none of them.
    let moco = make(&MocoConfig { neighbours: 0.0, ..config }, vec![near]).unwrap();
    assert!(moco.next_batch().is_some_and(|b| b.crops[0] == b.crops[1]));
}

/// What nobody trained is what is trained from.
#[test]
fn it_begins_from_the_untrained_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encoder.safetensors");
    let moco = trained(&MocoConfig { seed: 7, ..quick() }, 0);
    moco.write_encoder(&path, &moco.origin(&[])).unwrap();
    let crops = formula::crops(2, 48);
    let untrained = ResNet::untrained(ResNetDepth::R18, 7, &Device::Cpu).unwrap().with_pixels(Some(PixelNorm::UNIT));
    let written = ResNet::open(ResNetDepth::R18, &path, &Device::Cpu).unwrap();
    assert_eq!(written.embed(crops.view()).unwrap(), untrained.embed(crops.view()).unwrap());
}

#[test]
fn wrong_use_is_an_error_and_changes_nothing() {
    let make = |config, sections| Moco::new(config, PixelNorm::UNIT, sections, &Device::Cpu).map(|_| ());
    let message = make(quick(), vec![section("a", 7)]).unwrap_err().to_string();
    assert!(message.contains("7 at most for batches of 8"), "{message}");
    let mut moco = trained(&quick(), 1);
    let before = state(&moco);
    let (good, few) = (Array4::zeros((8, 48, 48, 3)), Array4::zeros((5, 48, 48, 3)));
    for crops in [[few.view(), good.view()], [good.view(), few.view()]] {
        let message = moco.step(crops).unwrap_err().to_string();
        assert!(message.contains("8 crops") && message.contains("[5, 48, 48, 3]"), "{message}");
    }
    assert!(state(&moco) == before);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moco.safetensors");
    moco.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    for (what, bytes) in [("cut", &good[..good.len() - 9]), ("empty", &[]), ("header", &good[..100])] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(moco.restore(&path), Err(EmbedError::Checkpoint { .. })), "{what}");
    }
    let mut broken = good.clone();
    let end = broken.len();
    broken[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, broken).unwrap();
    let message = moco.restore(&path).unwrap_err().to_string();
    assert!(message.contains("NaN"), "{message}");
    std::fs::write(&path, &good).unwrap();
    let mut other = trained(&MocoConfig { seed: 1, ..quick() }, 0);
    let message = other.restore(&path).unwrap_err().to_string();
    assert!(message.contains("other settings"), "{message}");
    assert!(moco.restore(&folder.path().join("none")).is_err());
    assert!(state(&moco) == before);
    moco.restore(&path).unwrap();
}

#[test]
fn a_loss_that_is_no_number_stops_before_the_weights_are_spoilt() {
    let mut moco = trained(&quick(), 1);
    let named = moco.named();
    let (_, values) = named.iter().find(|(n, _)| n == "projector.0.weight").unwrap();
    let (dims, _) = values.get().unwrap();
    values.set(&vec![f32::NAN; dims.iter().product()]).unwrap();
    drop(named);
    let before = moco.encoder()[0].1.get().unwrap();
    let crops = pictures(moco.next_batch().unwrap());
    let message = moco.step([crops.view(), crops.view()]).unwrap_err().to_string();
    assert!(message.contains("step 2") && message.contains("NaN"), "{message}");
    assert_eq!(moco.encoder()[0].1.get().unwrap(), before);
}
