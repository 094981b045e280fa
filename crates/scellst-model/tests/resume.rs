//! A training that is interrupted and taken up again, and one that goes on with other threads, give the same bits.

use candle_core::Device;
use ndarray::Array2;
use scellst_model::{
    Ensemble, Epoch, LogLine, Loss, MilModel, ModelShape, Pooling, Schedule, TrainConfig, TrainData, Trainer,
    TrainingFiles, train, train_ensemble, train_resumable,
};

const BAGS: usize = 90;

fn data() -> TrainData {
    let number = |i: usize| ((i * 7919 + 13) % 1013) as f32 / 506.0 - 1.0;
    let mut offsets = vec![0u32];
    (0..BAGS).for_each(|b| offsets.push(offsets[b] + 1 + (b as u32 * 5) % 23));
    let cells = offsets[BAGS] as usize;
    let features = Array2::from_shape_fn((cells, 19), |(i, j)| number(i * 19 + j));
    let counts = Array2::from_shape_fn((BAGS, 40), |(i, j)| ((i * 31 + j * 17) % 11) as f32);
    TrainData::new(features, offsets, counts).unwrap().with_size_factors(vec![1.0; BAGS]).unwrap()
}

fn model(loss: Loss) -> MilModel {
    pooling_model(loss, Pooling::Mean)
}

fn pooling_model(loss: Loss, pooling: Pooling) -> MilModel {
    let shape = ModelShape::published(19, 40).unwrap().with_hidden(vec![48, 20]).unwrap().with_loss(loss);
    MilModel::new(shape.with_pooling(pooling).unwrap(), 5, &Device::Cpu).unwrap()
}

fn split() -> (Vec<usize>, Vec<usize>) {
    ((0..BAGS).filter(|b| b % 6 != 0).collect(), (0..BAGS).step_by(6).collect())
}

fn config() -> TrainConfig {
    TrainConfig {
        learning_rate: 2e-3,
        bags_per_step: 12,
        max_epochs: 6,
        schedule: Schedule::Cosine { warm_up_epochs: 1 },
        clip_norm: Some(0.05),
        ..TrainConfig::default()
    }
}

fn bits(m: &MilModel) -> Vec<u32> {
    let tensors = m.tensors().unwrap();
    let mut names: Vec<_> = tensors.keys().collect();
    names.sort();
    let values = names.into_iter().flat_map(|n| tensors[n].flatten_all().unwrap().to_vec1::<f32>().unwrap());
    values.map(f32::to_bits).collect()
}

#[test]
fn taken_up_at_any_step_it_ends_in_the_same_bits() {
    let (data, (fit, validation), config) = (data(), split(), config());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let of_pooling = Pooling::ALL.map(|pooling| (Loss::NbMean, pooling));
    for (loss, pooling) in of_pooling.into_iter().chain([(Loss::Mse, Pooling::Mean), (Loss::Mse, Pooling::Sum)]) {
        let model = |loss| pooling_model(loss, pooling);
        let mut whole = model(loss);
        let expected = train(&mut whole, &data, &fit, &validation, &config, &mut |_| true).unwrap();
        let steps = {
            let mut m = model(loss);
            let t = Trainer::new(&mut m, &data, &fit, &validation, &config).unwrap();
            t.steps_per_epoch() * config.max_epochs
        };
        assert!(steps > 20);
        // Ten moments for each loss, spread over all steps.
        for k in 0..10 {
            let stop = (k * 7919 + 3) % steps;
            let mut first = model(loss);
            let mut trainer = Trainer::new(&mut first, &data, &fit, &validation, &config).unwrap();
            for _ in 0..stop {
                trainer.step().unwrap();
            }
            trainer.save(&path).unwrap();
            drop(trainer);
            // Into a model of other weights: all comes from the checkpoint.
            let mut second = MilModel::new(first.shape().clone(), 99, &Device::Cpu).unwrap();
            let mut trainer = Trainer::new(&mut second, &data, &fit, &validation, &config).unwrap();
            trainer.restore(&path).unwrap();
            assert_eq!(trainer.steps_done(), stop as u64);
            while trainer.step().unwrap().is_some() || !trainer.is_finished() {}
            assert_eq!(trainer.finish().unwrap(), expected, "{loss} {pooling} stopped at {stop}");
            assert_eq!(bits(&second), bits(&whole), "{loss} {pooling} stopped at {stop}");
        }
    }
}

#[test]
fn one_two_and_four_threads_make_the_same_bits() {
    let data = data();
    let (fit, validation) = split();
    let of_pooling = Pooling::ALL.map(|pooling| (Loss::Mse, pooling));
    let of_loss = [Loss::NbTotal, Loss::ZeroInflatedNb].map(|loss| (loss, Pooling::Mean));
    for (loss, pooling) in of_pooling.into_iter().chain(of_loss) {
        let run = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let mut m = pooling_model(loss, pooling);
                let training = train(&mut m, &data, &fit, &validation, &config(), &mut |_| true).unwrap();
                let cells = m.predict_cells_of_bags(data.features(), data.offsets()).unwrap();
                (bits(&m), training, cells, m.predict_bags(data.features(), data.offsets()).unwrap())
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(4), "{loss} {pooling}");
    }
}

#[test]
fn checkpoints_of_every_epoch_are_gone_on_from_and_stay() {
    let (data, (fit, validation), config) = (data(), split(), config());
    let folder = tempfile::tempdir().unwrap();
    let files = TrainingFiles::checkpoint(&folder.path().join("c.safetensors"));
    let run = |m: &mut MilModel, progress: &mut dyn FnMut(&Epoch) -> bool| {
        train_resumable(m, &data, &fit, &validation, &config, &files, progress).unwrap()
    };
    let (mut whole, mut m) = (model(Loss::Mse), model(Loss::Mse));
    let expected = train(&mut whole, &data, &fit, &validation, &config, &mut |_| true).unwrap();
    run(&mut m, &mut |e| e.epoch < 2); // cancelled
    let mut first = 0;
    let found = run(&mut m, &mut |e| {
        first = if first == 0 { e.epoch } else { first };
        true
    });
    assert_eq!((first, &found), (3, &expected));
    assert_eq!(bits(&m), bits(&whole));
    let mut again = model(Loss::Mse);
    assert_eq!(run(&mut again, &mut |_| panic!("all epochs are done")), expected);
    assert_eq!(bits(&again), bits(&whole));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The process is really killed, at twenty moments that nobody chose, for every pooling; whatever was being written then,
/// the last run ends in the bits of an uninterrupted one, and the log has every epoch once.
#[test]
fn killed_twenty_times_it_ends_in_the_same_bits() {
    const FOLDER: &str = "SCELLST_KILLED_IN";
    const POOLING: &str = "SCELLST_KILLED_POOLING";
    let (data, (fit, validation)) = (data(), split());
    // Long enough that no twenty moments see its end.
    let config = TrainConfig { max_epochs: 500, patience: 500, ..config() };
    let result = |m: &MilModel| bits(m).iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<u8>>();
    if let (Some(folder), Ok(pooling)) = (std::env::var_os(FOLDER), std::env::var(POOLING)) {
        // The child.
        let folder = std::path::PathBuf::from(folder);
        let mut m = pooling_model(Loss::NbMean, pooling.parse().unwrap());
        let (checkpoint, log) = (folder.join("c.safetensors"), Some(folder.join("log.jsonl")));
        let files = TrainingFiles { checkpoint, log, member: 3 };
        train_resumable(&mut m, &data, &fit, &validation, &config, &files, &mut |_| true).unwrap();
        std::fs::write(folder.join("result"), result(&m)).unwrap();
        return;
    }
    let mut moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    for pooling in Pooling::ALL {
        let folder = tempfile::tempdir().unwrap();
        let child = || {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "killed_twenty_times_it_ends_in_the_same_bits"]);
            command.env(FOLDER, folder.path()).env(POOLING, pooling.to_string());
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let mut killed = 0;
        for _ in 0..20 {
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut child = child();
            std::thread::sleep(std::time::Duration::from_micros(2_000 + (moment >> 33) % 60_000));
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
        }
        // Else it was too fast to be killed, and this shows nothing.
        assert!(killed >= 5, "{pooling}: only {killed} of 20 were killed in time");
        assert!(child().wait().unwrap().success());
        let mut whole = pooling_model(Loss::NbMean, pooling);
        let training = train(&mut whole, &data, &fit, &validation, &config, &mut |_| true).unwrap();
        assert!(std::fs::read(folder.path().join("result")).unwrap() == result(&whole), "{pooling}");
        let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
        let lines: Vec<LogLine> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|l| l.epoch).collect::<Vec<_>>(), training.history, "{pooling}");
        assert!(lines.iter().all(|l| l.member == 3 && l.seconds >= 0.0));
    }
}

#[test]
fn a_log_is_gone_on_with_and_has_no_epoch_twice() {
    let (data, (fit, validation), config) = (data(), split(), config());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let run = |member: usize, epochs: usize| {
        let checkpoint = folder.path().join(format!("{member}"));
        let files = TrainingFiles { checkpoint, log: Some(log.clone()), member };
        let go_on = &mut |e: &Epoch| e.epoch < epochs;
        train_resumable(&mut model(Loss::Mse), &data, &fit, &validation, &config, &files, go_on).unwrap();
    };
    let epochs = || -> Vec<(usize, usize)> {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().map(|l| serde_json::from_str::<LogLine>(l).unwrap()).map(|l| (l.member, l.epoch.epoch)).collect()
    };
    run(0, 9);
    run(1, 2);
    let expected: Vec<_> = (1..=6).map(|e| (0, e)).chain([(1, 1), (1, 2)]).collect();
    assert_eq!(epochs(), expected);
    // Killed between line and checkpoint, then within a line.
    let mut text = std::fs::read_to_string(&log).unwrap();
    let third = text.lines().last().unwrap().replace("\"epoch\":2", "\"epoch\":3");
    assert!(third.contains("\"epoch\":3"));
    text += &format!("{third}\n{}", &third[..20]);
    std::fs::write(&log, text).unwrap();
    run(1, 4);
    assert_eq!(epochs(), [expected, vec![(1, 3), (1, 4)]].concat());
    let missing = TrainingFiles {
        checkpoint: folder.path().join("2"),
        log: Some(folder.path().join("no/such/log.jsonl")),
        member: 2,
    };
    let run = train_resumable(&mut model(Loss::Mse), &data, &fit, &validation, &config, &missing, &mut |_| true);
    assert!(run.unwrap_err().to_string().contains("no/such/log.jsonl"));
}

#[test]
fn damaged_checkpoints_and_those_of_other_trainings_are_refused() {
    let (data, (fit, validation), config) = (data(), split(), config());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    let mut m = model(Loss::Mse);
    let mut trainer = Trainer::new(&mut m, &data, &fit, &validation, &config).unwrap();
    for _ in 0..9 {
        trainer.step().unwrap();
    }
    trainer.save(&path).unwrap();
    drop(trainer);
    let bytes = std::fs::read(&path).unwrap();
    let refused = |fit: &[usize], config: &TrainConfig, loss| {
        let mut m = model(loss);
        let mut trainer = Trainer::new(&mut m, &data, fit, &validation, config).unwrap();
        let problem = trainer.restore(&path).unwrap_err().to_string();
        // It is as before, and trains.
        assert_eq!(trainer.steps_done(), 0);
        trainer.step().unwrap();
        problem
    };
    let other = TrainConfig { seed: 1, ..config.clone() };
    assert!(refused(&fit, &other, Loss::Mse).contains("the seed was 0, is 1"));
    let other = TrainConfig { weight_decay: 0.5, ..config.clone() };
    assert!(refused(&fit, &other, Loss::Mse).contains("settings"));
    assert!(refused(&fit[1..], &config, Loss::Mse).contains("data and bags"));
    assert!(refused(&fit, &config, Loss::Poisson).contains("network"));
    for cut in [0, 7, 8, 400, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let problem = refused(&fit, &config, Loss::Mse);
        assert!(problem.contains("damaged or cut short") && problem.contains("c.safetensors"), "{cut}: {problem}");
    }
    let later = String::from_utf8_lossy(&bytes).contains("\\\"version\\\":1,");
    assert!(later);
    let at = bytes.windows(13).position(|w| w == b"\\\"version\\\":1").unwrap();
    let mut newer = bytes.clone();
    newer[at + 12] = b'9';
    std::fs::write(&path, newer).unwrap();
    assert!(refused(&fit, &config, Loss::Mse).contains("version 9"));
}

#[test]
fn an_ensemble_is_the_mean_of_its_members() {
    let (data, (fit, validation)) = (data(), split());
    let config = TrainConfig { max_epochs: 2, ..config() };
    let make = |seed| MilModel::new(model(Loss::Mse).shape().clone(), seed, &Device::Cpu);
    let mut heard = Vec::new();
    let (ensemble, trainings) = train_ensemble(&make, &[1, 2, 3], &data, &fit, &validation, &config, &mut |i, e| {
        heard.push((i, e.epoch));
        true
    })
    .unwrap();
    assert_eq!((trainings.len(), heard.len(), heard[5]), (3, 6, (2, 2)));
    let each: Vec<Array2<f32>> = ensemble.members().iter().map(|m| m.predict_cells(data.features()).unwrap()).collect();
    let (mean, spread) = ensemble.predict_cells(data.features()).unwrap();
    for at in [(0, 0), (17, 3), (40, 39)] {
        let values = [each[0][at], each[1][at], each[2][at]];
        let m = values.iter().sum::<f32>() / 3.0;
        let s = (values.iter().map(|v| (v - m).powi(2)).sum::<f32>() / 3.0).sqrt();
        assert!((mean[at] - m).abs() < 1e-6 && (spread[at] - s).abs() < 1e-6);
    }
    assert!(Ensemble::new(Vec::new()).is_err());
}

#[test]
fn what_a_loss_cannot_be_of_is_refused_and_what_diverges_names_its_bag() {
    let features = Array2::<f32>::from_elem((4, 19), 0.5);
    let plain = TrainData::new(features, vec![0, 1, 4], Array2::from_elem((2, 40), 1.0)).unwrap();
    let run = |data: &TrainData, loss, config: TrainConfig| {
        train(&mut model(loss), data, &[0, 1], &[], &config, &mut |_| true).unwrap_err().to_string()
    };
    assert!(run(&plain, Loss::NbMean, config()).contains("size factors"));
    assert!(plain.clone().with_size_factors(vec![1.0, 0.0]).unwrap_err().to_string().contains("bag 1"));
    let mut labels = plain.labels().to_owned();
    labels[(1, 7)] = -2.0;
    let negative = TrainData::new(plain.features().to_owned(), vec![0, 1, 4], labels).unwrap();
    let negative = negative.with_size_factors(vec![1.0; 2]).unwrap();
    let problem = run(&negative, Loss::NbTotal, config());
    assert!(problem.contains("a count below zero: -2, bag 1, gene 7"), "{problem}");

    let mut features = plain.features().to_owned();
    features.row_mut(2).fill(3e38);
    let huge = TrainData::new(features, vec![0, 1, 4], plain.labels().to_owned()).unwrap();
    let problem = run(&huge, Loss::Mse, config());
    assert!(problem.contains("epoch 1, step 1: bag 1 has a loss of"), "{problem}");
    let bad = TrainConfig { clip_norm: Some(0.0), ..config() };
    assert!(run(&plain, Loss::Mse, bad).contains("gradients' length"));
}
