//! One body for every device: results and gradients in f32 against the CPU's in f64.

use candle_core::{DType, Device, Result, Tensor, Var};
use scellst_kernels::{
    ActivationSpec, AdamW, AdamWSettings, Dropout, Offsets, bias_leaky_relu_dropout, negative_binomial, segment_max,
    segment_mean, segment_softmax, segment_sum, segment_weighted_sum, softplus, softplus_segment_mean, squared_error,
};

const ROWS: usize = 1275;
const COLUMNS: usize = 77;

/// Numbers in -1..1, the same each time; exact in f32.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// Bags of 0 to 44 cells.
fn bags() -> Offsets {
    let mut at = 0;
    let rest = (0..60).map(|i: u32| {
        at += i * 7 % 45;
        at
    });
    Offsets::new([0].into_iter().chain(rest).collect()).unwrap()
}

fn var(shape: impl Into<candle_core::Shape>, seed: u64, device: &Device, dtype: DType) -> Result<Var> {
    let shape = shape.into();
    let x = Tensor::from_vec(numbers(shape.elem_count(), seed), shape, &Device::Cpu)?;
    Var::from_tensor(&x.to_device(device)?.to_dtype(dtype)?)
}

/// Result and gradients of every operation, in turn.
fn outcomes(device: &Device, dtype: DType) -> Result<Vec<(&'static str, Tensor)>> {
    let offsets = bags();
    assert_eq!(offsets.rows(), ROWS);
    let (x, w, bias) =
        (var((ROWS, COLUMNS), 1, device, dtype)?, var(ROWS, 2, device, dtype)?, var(COLUMNS, 3, device, dtype)?);
    let mut all = Vec::new();
    let mut add = |name: &'static str, y: Tensor, vars: &[&Var]| -> Result<()> {
        let weights = var(y.dims(), 5, device, dtype)?;
        let grads = (&y * weights.as_tensor())?.sum_all()?.backward()?;
        all.push((name, y.clone()));
        for v in vars {
            all.push((name, grads.get(v).unwrap().clone()));
        }
        Ok(())
    };
    add("sum", segment_sum(&x, &offsets)?, &[&x])?;
    add("mean", segment_mean(&x, &offsets)?, &[&x])?;
    add("max", segment_max(&x, &offsets)?, &[&x])?;
    add("softmax", segment_softmax(&x, &offsets)?, &[&x])?;
    add("weighted sum", segment_weighted_sum(&x, &w, &offsets)?, &[&x, &w])?;
    add("softplus", softplus(&x, 20.0)?, &[&x])?;
    add("mean of softplus", softplus_segment_mean(&x, &offsets, 20.0)?, &[&x])?;
    for dropout in [None, Some(Dropout::new(0.1, 1 << 60).unwrap())] {
        let spec = ActivationSpec { slope: 0.01, dropout };
        add("tail of a hidden layer", bias_leaky_relu_dropout(&x, &bias, spec)?, &[&x, &bias])?;
    }
    add("squared error", squared_error(&x, var((ROWS, COLUMNS), 4, device, dtype)?.as_tensor())?, &[&x])?;
    let mean = Var::from_tensor(&(x.abs()? * 20.0)?)?;
    let counts = (var((ROWS, COLUMNS), 6, device, dtype)?.abs()? * 40.0)?.round()?;
    add("negative binomial", negative_binomial(&mean, &bias, &counts)?, &[&mean, &bias])?;
    let mut adamw = AdamW::new(vec![w.clone()], AdamWSettings::default())?;
    for _ in 0..3 {
        adamw.step(&w.as_tensor().sqr()?.sum_all()?.backward()?)?;
    }
    all.push(("AdamW", w.as_tensor().clone()));
    Ok(all)
}

fn check(device: &Device) {
    let expected = outcomes(&Device::Cpu, DType::F64).unwrap();
    let found = outcomes(device, DType::F32).unwrap();
    assert_eq!(found.len(), expected.len());
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert_eq!(found.dims(), expected.dims(), "{name}");
        let flat = |t: &Tensor| -> Vec<f64> {
            let t = t.to_device(&Device::Cpu).unwrap().flatten_all().unwrap();
            t.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
        };
        for (i, (f, e)) in flat(found).iter().zip(flat(expected)).enumerate() {
            // Sums over 1275 rows in f32.
            assert!((f - e).abs() <= 2e-4 * e.abs().max(1.0), "{name}: element {i} is {f}, not {e}");
        }
    }
    // The same bits again, and the same elements dropped.
    for ((name, a), (_, b)) in found.iter().zip(outcomes(device, DType::F32).unwrap()) {
        let bits = |t: &Tensor| -> Vec<u32> {
            let t = t.to_device(&Device::Cpu).unwrap().flatten_all().unwrap();
            t.to_vec1::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
        };
        assert_eq!(bits(a), bits(&b), "{name}: another run gave other bits");
    }
    let spec = ActivationSpec { slope: 0.01, dropout: Some(Dropout::new(0.3, 99).unwrap()) };
    let tail = |device: &Device| -> Vec<f32> {
        let x = var((ROWS, COLUMNS), 1, device, DType::F32).unwrap();
        let bias = var(COLUMNS, 3, device, DType::F32).unwrap();
        let y = bias_leaky_relu_dropout(&x, &bias, spec).unwrap();
        y.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    assert!(tail(device) == tail(&Device::Cpu), "dropout is not the CPU's");
}

#[test]
fn cpu() {
    check(&Device::Cpu);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda() {
    match Device::new_cuda(0) {
        Ok(device) => {
            check(&device);
            short_floats(&device);
        }
        Err(e) => eprintln!("skipped: no GPU: {e}"),
    }
}

/// 16-bit storage, for the operations that have it.
#[cfg(feature = "cuda")]
fn short_floats(device: &Device) {
    let offsets = bags();
    let x = var((ROWS, COLUMNS), 1, device, DType::BF16).unwrap();
    let on_cpu = x.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    let close = |short: Tensor, long: Tensor| {
        let short = short.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let far = (short - long).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(far < 0.01, "{far}"); // values of about 1 in 8 bits
    };
    close(segment_mean(&x, &offsets).unwrap(), segment_mean(&on_cpu, &offsets).unwrap());
    close(segment_max(&x, &offsets).unwrap(), segment_max(&on_cpu, &offsets).unwrap());
    close(segment_softmax(&x, &offsets).unwrap(), segment_softmax(&on_cpu, &offsets).unwrap());
    close(softplus_segment_mean(&x, &offsets, 20.0).unwrap(), softplus_segment_mean(&on_cpu, &offsets, 20.0).unwrap());
}

#[cfg(feature = "metal")]
#[test]
fn metal() {
    match Device::new_metal(0) {
        Ok(device) => check(&device),
        Err(e) => eprintln!("skipped: no GPU: {e}"),
    }
}
