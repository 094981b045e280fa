//! Each operation against the formula composed of candle's own operations, and its gradient against
//! central differences in f64.

use candle_core::{DType, Device, Result, Tensor, Var};
use scellst_kernels::softplus_segment_mean;
use scellst_kernels::{ActivationSpec, Dropout, Offsets, bias_leaky_relu_dropout, segment_mean, softplus};

/// Numbers that are neither round nor near a kink, the same each time.
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    (0..n as u64).map(|i| (((i * 2_654_435_761 + seed * 97) % 1009) as f64 / 504.5 - 1.0) * 0.7 + 1e-4).collect()
}

fn matrix(rows: usize, columns: usize, seed: u64) -> Tensor {
    Tensor::from_vec(numbers(rows * columns, seed), (rows, columns), &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!(a.dims(), b.dims());
    for (i, (a, b)) in flat(a).iter().zip(flat(b)).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "element {i}: {a} against {b}");
    }
}

/// The gradient of a weighted sum of `f(x)` against (f(x + h) - f(x - h)) / 2h.
fn check_gradient(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let weigh = |y: Tensor| {
        let w = Tensor::from_vec(numbers(y.elem_count(), 5), y.dims(), &Device::Cpu).unwrap();
        (y * w).unwrap().sum_all().unwrap()
    };
    let var = Var::from_tensor(x).unwrap();
    let grads = weigh(f(var.as_tensor()).unwrap()).backward().unwrap();
    let found = flat(grads.get(&var).unwrap());
    let values = flat(x);
    let h = 1e-6;
    for i in 0..values.len() {
        let at = |d: f64| {
            let mut v = values.clone();
            v[i] += d;
            let x = Tensor::from_vec(v, x.dims(), &Device::Cpu).unwrap();
            weigh(f(&x).unwrap()).to_scalar::<f64>().unwrap()
        };
        let expected = (at(h) - at(-h)) / (2.0 * h);
        // Truncation of central differences is h^2 and rounding 1e-16 / h.
        assert!((found[i] - expected).abs() < 1e-7 * expected.abs().max(1.0), "{i}: {} against {expected}", found[i]);
    }
}

fn bags() -> Offsets {
    Offsets::new(vec![0, 3, 3, 4, 9]).unwrap() // three, none, one, five
}

#[test]
fn segment_mean_is_a_product_with_the_averaging_matrix() {
    let x = matrix(9, 5, 1);
    let mut average = vec![0.0; 4 * 9];
    for (bag, rows) in [(0, 0..3), (2, 3..4), (3, 4..9)] {
        for r in rows.clone() {
            average[bag * 9 + r] = 1.0 / rows.len() as f64;
        }
    }
    let expected = Tensor::from_vec(average, (4, 9), &Device::Cpu).unwrap().matmul(&x).unwrap();
    close(&segment_mean(&x, &bags()).unwrap(), &expected, 1e-14);
    check_gradient(&x, |x| segment_mean(x, &bags()));
}

#[test]
fn softplus_is_the_formula_and_linear_far_out() {
    let x = Tensor::new(&[-50.0, -1.0, -0.01, 0.0, 0.02, 0.5, 1.5, 50.0], &Device::Cpu).unwrap();
    let y = flat(&softplus(&x, 20.0).unwrap());
    for (x, y) in flat(&x).iter().zip(y) {
        let expected = if 20.0 * x > 20.0 { *x } else { (1.0 + (20.0 * x).exp()).ln() / 20.0 };
        assert!((y - expected).abs() < 1e-12, "{x}: {y} against {expected}");
    }
    check_gradient(&matrix(4, 6, 2), |x| softplus(x, 20.0));
}

#[test]
fn fused_mean_of_softplus_is_the_two_in_turn() {
    let z = matrix(9, 7, 3);
    let expected = segment_mean(&softplus(&z, 20.0).unwrap(), &bags()).unwrap();
    close(&softplus_segment_mean(&z, &bags(), 20.0).unwrap(), &expected, 1e-14);
    check_gradient(&z, |z| softplus_segment_mean(z, &bags(), 20.0));
    let single = softplus_segment_mean(&z.to_dtype(DType::F32).unwrap(), &bags(), 20.0).unwrap();
    close(&single, &expected, 1e-6); // f32 has 24 bits
}

#[test]
fn hidden_layers_tail_has_both_gradients() {
    let (x, bias) = (matrix(6, 5, 4), Tensor::from_vec(numbers(5, 9), 5, &Device::Cpu).unwrap());
    for dropout in [None, Some(Dropout::new(0.4, 11).unwrap())] {
        let spec = ActivationSpec { slope: 0.01, dropout };
        let z = x.broadcast_add(&bias).unwrap();
        let mut expected = z.maximum(&(&z * 0.01).unwrap()).unwrap();
        if let Some(d) = dropout {
            let mask: Vec<f64> = (0..30).map(|i| d.factor(i).into()).collect();
            assert!(mask.contains(&0.0) && mask.iter().any(|m| *m > 1.0));
            expected = (expected * Tensor::from_vec(mask, (6, 5), &Device::Cpu).unwrap()).unwrap();
        }
        close(&bias_leaky_relu_dropout(&x, &bias, spec).unwrap(), &expected, 1e-14);
        check_gradient(&x, |x| bias_leaky_relu_dropout(x, &bias, spec));
        check_gradient(&bias, |b| bias_leaky_relu_dropout(&x, b, spec));
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let x = matrix(1000, 33, 6).to_dtype(DType::F32).unwrap();
    let offsets = Offsets::new((0..=100).map(|i| i * 10).collect()).unwrap();
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let var = Var::from_tensor(&x).unwrap();
            let bias = Var::zeros(33, DType::F32, &Device::Cpu).unwrap();
            let spec = ActivationSpec { slope: 0.01, dropout: Some(Dropout::new(0.1, 3).unwrap()) };
            let y = bias_leaky_relu_dropout(var.as_tensor(), bias.as_tensor(), spec).unwrap();
            let loss = softplus_segment_mean(&y, &offsets, 20.0).unwrap().sqr().unwrap().sum_all().unwrap();
            let grads = loss.backward().unwrap();
            (flat(grads.get(&var).unwrap()), flat(grads.get(&bias).unwrap()))
        })
    };
    let one = run(1);
    assert!(one.1.iter().any(|g| *g != 0.0));
    assert_eq!(one, run(2));
    assert_eq!(one, run(4));
}

#[test]
fn arguments_that_do_not_fit_are_errors() {
    let x = matrix(8, 2, 1);
    assert!(segment_mean(&x, &bags()).unwrap_err().to_string().contains("cover 9 rows, the matrix has 8"));
    assert!(softplus(&x.to_dtype(DType::U8).unwrap(), 1.0).is_err());
    let spec = ActivationSpec { slope: 0.01, dropout: None };
    assert!(bias_leaky_relu_dropout(&x, &Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap(), spec).is_err());
}
