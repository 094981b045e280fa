//! Each operation against the formula composed of candle's own operations, and its gradient against
//! central differences in f64.

use candle_core::{DType, Device, Result, Tensor, Var};
use scellst_kernels::{
    ActivationSpec, AdamW, AdamWSettings, Dropout, Offsets, bias_leaky_relu_dropout, negative_binomial, segment_max,
    segment_mean, segment_softmax, segment_sum, segment_weighted_sum, softplus, softplus_segment_mean, squared_error,
};

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
fn segment_sum_is_the_mean_times_the_cells() {
    let x = matrix(9, 5, 1);
    let cells = Tensor::new(&[[3.0], [0.0], [1.0], [5.0]], &Device::Cpu).unwrap();
    let expected = segment_mean(&x, &bags()).unwrap().broadcast_mul(&cells).unwrap();
    close(&segment_sum(&x, &bags()).unwrap(), &expected, 1e-14);
    check_gradient(&x, |x| segment_sum(x, &bags()));
}

#[test]
fn weighted_sum_has_both_gradients() {
    let (x, w) = (matrix(9, 5, 1), Tensor::from_vec(numbers(9, 7), 9, &Device::Cpu).unwrap());
    let expected = segment_sum(&x.broadcast_mul(&w.unsqueeze(1).unwrap()).unwrap(), &bags()).unwrap();
    close(&segment_weighted_sum(&x, &w, &bags()).unwrap(), &expected, 1e-14);
    check_gradient(&x, |x| segment_weighted_sum(x, &w, &bags()));
    check_gradient(&w, |w| segment_weighted_sum(&x, w, &bags()));
}

#[test]
fn maximum_of_a_bag_takes_the_first_of_equals() {
    let x = matrix(9, 5, 1);
    let y = segment_max(&x, &bags()).unwrap();
    for (bag, rows) in [(0, 0..3), (2, 3..4), (3, 4..9)] {
        let expected = x.narrow(0, rows.start, rows.len()).unwrap().max(0).unwrap();
        close(&y.get(bag).unwrap(), &expected, 0.0);
    }
    assert_eq!(flat(&y.get(1).unwrap()), [0.0; 5]);
    check_gradient(&x, |x| segment_max(x, &bags()));
    let ties = Var::new(&[[1f32], [2.0], [2.0], [f32::NAN], [5.0], [f32::NAN]], &Device::Cpu).unwrap();
    let two = Offsets::new(vec![0, 3, 6]).unwrap();
    let y = segment_max(&ties, &two).unwrap();
    assert!(flat(&y)[0] == 2.0 && flat(&y)[1].is_nan());
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(grads.get(&ties).unwrap()), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn softmax_of_a_bag_sums_to_one() {
    let x = matrix(9, 5, 1);
    let y = segment_softmax(&x, &bags()).unwrap();
    let e = x.exp().unwrap();
    let rows = Tensor::from_vec(bags().bag_of_rows(), 9, &Device::Cpu).unwrap();
    let sums = segment_sum(&e, &bags()).unwrap().index_select(&rows, 0).unwrap();
    close(&y, &(e / sums).unwrap(), 1e-14);
    close(
        &segment_sum(&y, &bags()).unwrap().get(3).unwrap(),
        &Tensor::ones(5, DType::F64, &Device::Cpu).unwrap(),
        1e-14,
    );
    check_gradient(&x, |x| segment_softmax(x, &bags()));
    // Numbers whose exponentials are too large; a vector of rows.
    let x = Tensor::new(&[1000.0, 1001.0, 999.0, -1e6, 0.0, 0.0, 0.0, 0.0, 700.0], &Device::Cpu).unwrap();
    let y = flat(&segment_softmax(&x, &bags()).unwrap());
    assert!((y[1] / y[0] - 1f64.exp()).abs() < 1e-9 && y[3] == 1.0 && y[8] == 1.0, "{y:?}");
}

#[test]
fn squared_error_is_the_mean_over_genes() {
    let (x, labels) = (matrix(4, 6, 2), matrix(4, 6, 3));
    let expected = (&x - &labels).unwrap().sqr().unwrap().mean(1).unwrap();
    close(&squared_error(&x, &labels).unwrap(), &expected, 1e-14);
    check_gradient(&x, |x| squared_error(x, &labels));
}

#[test]
fn negative_binomial_is_its_likelihood() {
    // scipy 1.17.1: -nbinom(theta, theta / (theta + mean)).logpmf(count)
    let one = |x: f64| Tensor::new(&[[x]], &Device::Cpu).unwrap();
    for (mean, theta, count, expected) in NEGATIVE_BINOMIAL {
        let log_theta = Tensor::new(&[theta.ln()], &Device::Cpu).unwrap();
        let found = flat(&negative_binomial(&one(mean), &log_theta, &one(count)).unwrap())[0];
        assert!(
            (found - expected).abs() < 1e-7 * expected.abs().max(1.0),
            "{mean} {theta} {count}: {found} {expected}"
        );
    }
    let mean = (matrix(4, 6, 2).abs().unwrap() * 30.0).unwrap();
    let counts = (matrix(4, 6, 4).abs().unwrap() * 40.0).unwrap().round().unwrap();
    let log_theta = (Tensor::from_vec(numbers(6, 3), 6, &Device::Cpu).unwrap() * 3.0).unwrap();
    check_gradient(&mean, |mean| negative_binomial(mean, &log_theta, &counts));
    check_gradient(&log_theta, |log_theta| negative_binomial(&mean, log_theta, &counts));
}

/// Mean, theta, count, minus the logarithm of the probability.
const NEGATIVE_BINOMIAL: [(f64, f64, f64, f64); 6] = [
    (7.5, 1.3, 0.0, 2.486_103_694_121_670_8),
    (7.5, 1.3, 3.0, 2.468_213_410_300_384_3),
    (0.2, 5.0, 2.0, 4.004_246_440_707_156),
    (1000.0, 0.5, 1200.0, 8.518_058_744_750_02),
    (2e6, 30.0, 1.9e6, 13.717_288_098_452_734),
    (0.5, 0.1, 1.0, 2.664_082_596_710_805_7),
];

#[test]
fn adamw_is_the_published_algorithm() {
    let (start, direction) = (numbers(40, 1), numbers(40, 2));
    let settings = AdamWSettings { learning_rate: 0.05, weight_decay: 0.1, ..AdamWSettings::default() };
    // Algorithm 2 of Loshchilov and Hutter 2019, with the gradient of direction x (w + 1)^2 / 2.
    let (mut w, mut m, mut v) = (start.clone(), vec![0.0; 40], vec![0.0; 40]);
    for t in 1..=5 {
        for i in 0..40 {
            let g = direction[i] * (w[i] + 1.0);
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let (mean, square) = (m[i] / (1.0 - 0.9f64.powi(t)), v[i] / (1.0 - 0.999f64.powi(t)));
            w[i] -= 0.05 * (mean / (square.sqrt() + 1e-8) + 0.1 * w[i]);
        }
    }
    let weight = Var::from_vec(start, (4, 10), &Device::Cpu).unwrap();
    let direction = Tensor::from_vec(direction, (4, 10), &Device::Cpu).unwrap();
    let idle = Var::zeros(3, DType::F64, &Device::Cpu).unwrap();
    let gradients = || {
        let loss = ((weight.as_tensor() + 1.0).unwrap().sqr().unwrap() * &direction).unwrap();
        (loss.sum_all().unwrap() * 0.5).unwrap().backward().unwrap()
    };
    let mut optimiser = AdamW::new(vec![weight.clone(), idle.clone()], settings).unwrap();
    for _ in 0..3 {
        optimiser.step(&gradients()).unwrap();
    }
    // Stopped and resumed.
    let (steps, moments) = (optimiser.steps(), optimiser.moments().unwrap());
    let mut optimiser = AdamW::resumed(vec![weight.clone(), idle.clone()], settings, steps, &moments).unwrap();
    for _ in 0..2 {
        optimiser.step(&gradients()).unwrap();
    }
    close(weight.as_tensor(), &Tensor::from_vec(w, (4, 10), &Device::Cpu).unwrap(), 1e-12);
    assert_eq!(flat(idle.as_tensor()), [0.0; 3]);
    assert!(AdamW::resumed(vec![idle.clone()], settings, 1, &moments).is_err());
    assert!(AdamW::resumed(vec![idle], settings, 1, &moments[..1]).is_err());
    assert!(AdamW::new(vec![Var::zeros(3, DType::U8, &Device::Cpu).unwrap()], settings).is_err());
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
    fn says(result: Result<Tensor>, what: &str) {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let x = matrix(8, 2, 1);
    for op in [segment_mean, segment_sum, segment_max, segment_softmax] {
        says(op(&x, &bags()), "cover 9 rows, the matrix has 8");
        says(op(&matrix(9, 2, 1).to_dtype(DType::U8).unwrap(), &bags()), "wants f32 or f64 on the CPU, found U8");
        says(op(&matrix(9, 2, 1).reshape((3, 3, 2)).unwrap(), &bags()), "");
    }
    says(softplus_segment_mean(&x, &bags(), 20.0), "cover 9 rows, the matrix has 8");
    says(softplus(&x.to_dtype(DType::U8).unwrap(), 1.0), "U8");
    let (nine, five) = (matrix(9, 2, 1), Tensor::zeros(5, DType::F64, &Device::Cpu).unwrap());
    says(segment_weighted_sum(&nine, &five, &bags()), "5 weights do not fit a matrix of 9 rows");
    let single = Tensor::zeros(9, DType::F32, &Device::Cpu).unwrap();
    says(segment_weighted_sum(&nine, &single, &bags()), "one type, found F64 and F32");
    let spec = ActivationSpec { slope: 0.01, dropout: None };
    let bias = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
    says(bias_leaky_relu_dropout(&x, &bias, spec), "a bias of 3 does not fit rows of 2");
    says(squared_error(&x, &nine), "labels of [9, 2] do not fit predictions of [8, 2]");
    says(squared_error(&matrix(3, 0, 1), &matrix(3, 0, 1)), "[3, 0]");
    says(negative_binomial(&x, &five, &x), "dispersions of 5 genes do not fit means of 2");
    says(negative_binomial(&x, &five, &nine), "counts of [9, 2]");
}

/// A tensor may lie in another order, or begin within its storage.
#[test]
fn layouts_do_not_matter() {
    let x = matrix(9, 4, 1);
    let turned = x.t().unwrap().contiguous().unwrap().t().unwrap();
    let within = Tensor::cat(&[&x, &x, &x], 0).unwrap().narrow(0, 9, 9).unwrap();
    assert!(!turned.is_contiguous());
    for op in [segment_mean, segment_sum, segment_max, segment_softmax] {
        let expected = op(&x, &bags()).unwrap();
        close(&op(&turned, &bags()).unwrap(), &expected, 0.0);
        close(&op(&within, &bags()).unwrap(), &expected, 0.0);
    }
    check_gradient(&x, |x| segment_softmax(&x.t()?.contiguous()?.t()?, &bags())?.t()?.contiguous());
}
