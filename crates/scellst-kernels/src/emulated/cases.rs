//! What is run: every operation, forward and backward, over bags and sizes that a kernel may get wrong.

use candle_core::{Device, Result, Tensor, Var};

use super::program::{Array, bytes_of, words};
use super::{Emulator, compare};
use crate::adamw::Step;
use crate::columns::ColumnSums;
use crate::operation::apply_without_gradient;
use crate::source::{self, Dialect};
use crate::{
    ActivationSpec, Dropout, Offsets, bias_leaky_relu_dropout, negative_binomial, segment_max, segment_mean,
    segment_softmax, segment_sum, segment_weighted_sum, softplus, softplus_segment_mean, squared_error,
};

/// Numbers in -1..1 that are not round, the same each time.
pub(super) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
}

fn matrix(rows: usize, columns: usize, seed: u64) -> Var {
    let x = Tensor::from_vec(numbers(rows * columns, seed), (rows, columns), &Device::Cpu).unwrap();
    Var::from_tensor(&x).unwrap()
}

/// Runs the operation and its gradient.
fn both_ways(y: Result<Tensor>) -> Result<()> {
    let y = y?;
    let w = Tensor::from_vec(numbers(y.elem_count(), 5), y.dims(), &Device::Cpu)?;
    (y * w)?.sum_all()?.backward()?;
    Ok(())
}

/// All reductions of the rows of `x`.
pub(super) fn segments(x: &Var, offsets: &Offsets) -> Result<()> {
    both_ways(segment_sum(x, offsets))?;
    both_ways(segment_mean(x, offsets))?;
    both_ways(segment_max(x, offsets))?;
    both_ways(segment_softmax(x, offsets))?;
    both_ways(softplus_segment_mean(x, offsets, 20.0))?;
    let weights = Var::from_tensor(&Tensor::from_vec(numbers(offsets.rows(), 8), offsets.rows(), &Device::Cpu)?)?;
    both_ways(segment_weighted_sum(x, &weights, offsets))
}

/// Softplus and the tail of a hidden layer.
pub(super) fn activations(x: &Var) -> Result<()> {
    both_ways(softplus(x, 20.0))?;
    let bias = Var::from_tensor(&Tensor::from_vec(numbers(x.dim(1)?, 9), x.dim(1)?, &Device::Cpu)?)?;
    for dropout in [None, Some(Dropout::new(0.3, 11).unwrap()), Some(Dropout::new(0.5, u64::MAX - 3).unwrap())] {
        both_ways(bias_leaky_relu_dropout(x, &bias, ActivationSpec { slope: 0.01, dropout }))?;
    }
    Ok(())
}

/// Losses of bags: counts from none to millions, means of 0 and far off.
pub(super) fn losses(bags: usize, genes: usize) -> Result<()> {
    let predicted = matrix(bags, genes, 21);
    both_ways(squared_error(&predicted, matrix(bags, genes, 22).as_tensor()))?;
    let scale = [0.0, 1e-6, 0.3, 1.0, 5.0, 40.0, 900.0, 2.5e4, 1.7e6];
    let shape = (bags, genes);
    let at = |seed: usize| (0..bags * genes).map(move |i| scale[(i * 7 + i / 11 + seed) % scale.len()]);
    let count = Tensor::from_iter(
        at(0).zip(numbers(bags * genes, 2)).map(|(s, u)| (s * (1.0 + 0.5 * u)).round()),
        &Device::Cpu,
    )?;
    // Near the count, and anywhere.
    let mean = at(0).zip(at(3)).enumerate().map(|(i, (near, far))| if i % 3 > 0 { near * 1.02 } else { far });
    let mean = Var::from_tensor(&Tensor::from_iter(mean, &Device::Cpu)?.reshape(shape)?)?;
    let theta = (0..genes).map(|g| [-7.0f32, -1.5, 0.0, 0.7, 3.0, 9.0][g % 6]);
    let theta = Var::from_tensor(&Tensor::from_iter(theta, &Device::Cpu)?)?;
    both_ways(negative_binomial(&mean, &theta, &count.reshape(shape)?))
}

/// A step of AdamW over `n` weights.
pub(super) fn adamw(emulator: &Emulator, n: usize) -> Result<()> {
    let step = Step { beta1: 0.9, beta2: 0.999, keep: 0.999, step: 0.01, root: 0.0316, epsilon: 1e-8 };
    let gradient = numbers(n, 1);
    let mut state = [numbers(n, 2), numbers(n, 3), numbers(n, 4).iter().map(|x| x.abs()).collect()];
    let changed = state.iter().map(|x| Array::Changed(bytes_of(x)));
    let arrays: Vec<Array> = [Array::Read(bytes_of(&gradient))].into_iter().chain(changed).collect();
    let plan = step.plan(n)?;
    let found = emulator.launch(&plan, "f32", &arrays)?;
    let [weight, first, second] = &mut state;
    step.cpu(weight, &gradient, first, second);
    for (found, expected) in found.iter().zip(&state) {
        compare(&plan, &words(found).map(f32::from_bits).collect::<Vec<_>>(), expected, 1e-6)?;
    }
    Ok(())
}

fn offsets(of: &[u32]) -> Offsets {
    let mut at = 0;
    let rest = of.iter().map(|n| {
        at += n;
        at
    });
    Offsets::new(std::iter::once(0).chain(rest).collect()).unwrap()
}

/// Every kernel of a dialect against the CPU.
fn everything(dialect: Dialect, source: &str) {
    let Some(emulator) = Emulator::new(dialect, source) else { return };
    let run = |what: &str, f: &dyn Fn() -> Result<()>| emulator.observe(f).unwrap_or_else(|e| panic!("{what}: {e}"));
    let many: Vec<u32> = (0..40).map(|i| [0, 1, 2, 5, 8, 9, 17][i % 7]).collect();
    // Bags: none; one cell; empty ones first, last and in between; more cells than a block has threads; many.
    for bags in [&[][..], &[1], &[0], &[0, 0, 3, 0, 1, 20, 0], &[300], &many] {
        let offsets = offsets(bags);
        // Columns: one, a block's, one more, not a multiple, none.
        for columns in if bags.len() > 9 { &[33][..] } else { &[1, 32, 75, 0] } {
            let x = matrix(offsets.rows(), *columns, 1);
            run(&format!("bags of {bags:?}, {columns} columns"), &|| segments(&x, &offsets));
        }
    }
    for (rows, columns) in [(1, 1), (8, 32), (9, 33), (3, 300), (600, 2), (0, 5), (5, 0)] {
        let x = matrix(rows, columns, 2);
        run(&format!("{rows} x {columns}"), &|| activations(&x));
        run("column sums", &|| {
            let sums = |chunk| apply_without_gradient(&ColumnSums { chunk }, &[x.as_tensor()]);
            [1, 7, 8, 256].into_iter().try_for_each(|chunk| sums(chunk).map(|_| ()))
        });
    }
    run("values that are hard", &|| {
        let hard =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e30, -1e30, 1e-40, 0.999, 1.001, -87.0, 3.0];
        let hard = |i: usize| hard[(i * 5 + i / 17) % hard.len()];
        let x = Var::from_tensor(&Tensor::from_iter((0..40 * 7).map(hard), &Device::Cpu)?.reshape((40, 7))?)?;
        let offsets = offsets(&[1, 0, 12, 13, 14]);
        both_ways(segment_mean(&x, &offsets))?;
        both_ways(segment_max(&x, &offsets))?;
        both_ways(segment_softmax(&x, &offsets))?;
        both_ways(softplus_segment_mean(&x, &offsets, 20.0))?;
        activations(&x)
    });
    run("ties", &|| {
        let x = Var::from_tensor(
            &Tensor::from_iter((0..60 * 3).map(|i| (i / 13 % 3) as f32), &Device::Cpu)?.reshape((60, 3))?,
        )?;
        both_ways(segment_max(&x, &offsets(&[30, 0, 1, 29])))
    });
    for (bags, genes) in [(1, 1), (5, 256), (9, 257), (70, 19)] {
        run(&format!("losses of {bags} x {genes}"), &|| losses(bags, genes));
    }
    run("a loss that is no number", &|| {
        let (mean, count) =
            (matrix(2, 3, 1).abs()?, Tensor::new(&[[1f32, f32::NAN, 0.0], [2.0, 0.0, 1.0]], &Device::Cpu)?);
        let theta = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu)?;
        negative_binomial(&mean, &theta, &count).map(|_| ())
    });
    [1, 255, 256, 1000].into_iter().try_for_each(|n| adamw(&emulator, n)).unwrap();
    let ran: Vec<String> = emulator.ran.borrow().iter().cloned().collect();
    let mut all = source::kernels(dialect);
    all.sort();
    assert_eq!(ran, all);
}

#[test]
fn cuda_kernels_do_what_the_cpu_does() {
    everything(Dialect::Cuda, source::CUDA);
}

#[test]
fn metal_kernels_do_what_the_cpu_does() {
    everything(Dialect::Metal, source::METAL);
}
