//! Training on made bags whose cells' truth is known.

use candle_core::Device;
use ndarray::Array2;
use scellst_model::{MilModel, ModelShape, TrainConfig, TrainData, train};

/// Cells of two types (feature 0 and 1) in bags of 3 to 7; gene 0 is made by the first type, gene 1 by the second.
fn data(bags: usize) -> TrainData {
    let mut rows = Vec::new();
    let (mut offsets, mut labels) = (vec![0u32], Vec::new());
    let mut next = 17u64;
    let mut random = move || {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (next >> 33) as f32 / (1u64 << 31) as f32
    };
    for b in 0..bags {
        let n = 3 + b % 5;
        let first = (0..n).filter(|_| {
            let is_first = random() < 0.5;
            rows.extend(if is_first { [1.0, 0.0] } else { [0.0, 1.0] });
            rows.push(random());
            is_first
        });
        let share = first.count() as f32 / n as f32;
        offsets.push(offsets[b] + n as u32);
        labels.extend([share, 2.0 * (1.0 - share)]);
    }
    let cells = rows.len() / 3;
    let features = Array2::from_shape_vec((cells, 3), rows).unwrap();
    TrainData::new(features, offsets, Array2::from_shape_vec((bags, 2), labels).unwrap()).unwrap()
}

fn config(max_epochs: usize) -> TrainConfig {
    TrainConfig { learning_rate: 3e-3, bags_per_step: 16, max_epochs, patience: 30, ..Default::default() }
}

fn model(seed: u64) -> MilModel {
    let shape = ModelShape::published(3, 2).unwrap().with_hidden(vec![32, 32]).unwrap();
    MilModel::new(shape, seed, &Device::Cpu).unwrap()
}

fn split(n: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..n).filter(|i| i % 5 != 0).collect(), (0..n).step_by(5).collect())
}

#[test]
fn cells_are_learnt_from_bags_alone() {
    let data = data(200);
    let (fit, validation) = split(200);
    let mut m = model(1);
    let result = train(&mut m, &data, &fit, &validation, &config(300), &mut |_| true).unwrap();
    assert!(result.best_loss < 0.02, "{result:?}");
    assert_eq!(result.best_loss, result.history[result.best_epoch - 1].validation_loss);
    let cells = m.predict_cells(ndarray::array![[1f32, 0.0, 0.5], [0.0, 1.0, 0.5]].view()).unwrap();
    let expected = [[1.0, 0.0], [0.0, 2.0]];
    for (i, row) in expected.iter().enumerate() {
        for (g, e) in row.iter().enumerate() {
            assert!((cells[(i, g)] - e).abs() < 0.25, "{cells}");
        }
    }
}

#[test]
fn the_best_epochs_weights_are_kept() {
    let data = data(40);
    let (fit, validation) = split(40);
    let mut m = model(2);
    let result = train(&mut m, &data, &fit, &validation, &config(60), &mut |_| true).unwrap();
    let held = data.subset(&validation);
    let cells = m.predict_cells(held.features()).unwrap();
    let mut sum = 0.0;
    for b in 0..held.bags() {
        for g in 0..2 {
            let mean = held.bag(b).map(|c| cells[(c, g)]).sum::<f32>() / held.bag(b).len() as f32;
            sum += (mean - held.labels()[(b, g)]).powi(2);
        }
    }
    let loss = sum / (2 * held.bags()) as f32;
    assert!((loss - result.best_loss).abs() < 1e-5, "{loss} against {}", result.best_loss);
}

#[test]
fn same_seed_same_bits_on_any_number_of_threads() {
    let run = |threads, seed| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let data = data(64);
            let (fit, validation) = split(64);
            let mut m = model(seed);
            train(&mut m, &data, &fit, &validation, &config(5), &mut |_| true).unwrap();
            m.predict_cells(data.features()).unwrap()
        })
    };
    let one = run(1, 3);
    assert_eq!(one, run(1, 3));
    assert_eq!(one, run(4, 3));
    assert_ne!(one, run(1, 4));
}

#[test]
fn weights_go_out_and_come_back() {
    let m = model(5);
    let tensors = m.tensors().unwrap();
    let back = MilModel::from_tensors(m.shape().clone(), &tensors, &Device::Cpu).unwrap();
    let x = Array2::from_shape_fn((9, 3), |(i, j)| (i * 3 + j) as f32 / 10.0);
    assert_eq!(m.predict_cells(x.view()).unwrap(), back.predict_cells(x.view()).unwrap());

    let mut missing = tensors.clone();
    missing.remove("layers.1.weight");
    let e = MilModel::from_tensors(m.shape().clone(), &missing, &Device::Cpu).err().unwrap().to_string();
    assert!(e.contains("layers.1.weight") && e.contains("no such tensor"), "{e}");
    let other = ModelShape::published(4, 2).unwrap().with_hidden(vec![32, 32]).unwrap();
    let e = MilModel::from_tensors(other, &tensors, &Device::Cpu).err().unwrap().to_string();
    assert!(e.contains("[32, 4]") && e.contains("[32, 3]"), "{e}");
}

#[test]
fn stops_when_told_and_says_what_is_wrong() {
    let data = data(20);
    let mut m = model(1);
    let mut seen = 0;
    let result = train(&mut m, &data, &[0, 1, 2], &[3], &config(50), &mut |e| {
        seen = e.epoch;
        e.epoch < 3
    });
    assert_eq!((result.unwrap().history.len(), seen), (3, 3));

    let fails = |m: &mut MilModel, fit: &[usize], config: TrainConfig| {
        train(m, &data, fit, &[], &config, &mut |_| true).unwrap_err().to_string()
    };
    assert!(fails(&mut m, &[], config(5)).contains("training bags"));
    assert!(fails(&mut m, &[99], config(5)).contains("below 20"));
    assert!(fails(&mut m, &[0], TrainConfig { patience: 0, ..config(5) }).contains("patience"));
    let diverged = fails(&mut m, &[0, 1, 2], TrainConfig { learning_rate: 1e30, ..config(50) });
    assert!(diverged.contains("diverged"), "{diverged}");
    assert!(m.predict_cells(Array2::zeros((2, 5)).view()).is_err());
    assert!(
        m.predict_cells(ndarray::array![[0.0, f32::NAN, 1.0]].view()).unwrap_err().to_string().contains("column 1")
    );
}

#[test]
fn data_that_does_not_go_together_is_refused() {
    let f = || Array2::<f32>::zeros((4, 2));
    let l = |n| Array2::<f32>::zeros((n, 3));
    assert!(TrainData::new(f(), vec![0, 2, 4], l(2)).is_ok());
    for (offsets, bags) in [(vec![0, 2, 5], 2), (vec![0, 2], 2), (vec![0, 3, 3, 4], 3), (vec![1, 4], 1), (vec![0], 0)] {
        assert!(TrainData::new(f(), offsets.clone(), l(bags)).is_err(), "{offsets:?}");
    }
    let mut nan = l(2);
    nan[(1, 2)] = f32::NAN;
    assert!(TrainData::new(f(), vec![0, 2, 4], nan).is_err());
    assert!(TrainData::concat(vec![]).is_err());
}
