//! Each operation and its gradients by their definition, in f64.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::cpu::Shape;

fn values(n: usize, of: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + 13) % of) as f32 / of as f32 - 0.5).collect()
}

fn tensor(dims: &[usize], of: usize) -> Tensor {
    let n = dims.iter().product();
    Tensor::from_vec(values(n, of), dims, &Device::Cpu).unwrap()
}

fn list(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn floats(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference over the largest value.
fn error(found: &Tensor, expected: &[f64]) -> f64 {
    off(&floats(found), expected)
}

fn off(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max) / largest
}

/// Gradients of `sum(y * weights)` of each variable.
fn gradients(y: &Tensor, weights: &Tensor, of: &[&Var]) -> Vec<Tensor> {
    let store = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    of.iter().map(|v| store.get(v).unwrap().clone()).collect()
}

#[test]
fn convolutions_and_their_gradients_are_the_definition() {
    let shapes = [
        (1, 1, [3, 5, 4, 16], 32),
        (1, 2, [2, 5, 4, 6], 9),
        (3, 1, [2, 6, 6, 16], 32),
        (3, 1, [3, 2, 3, 80], 16),
        (3, 1, [1, 1, 1, 5], 7),
        (3, 2, [3, 5, 6, 8], 16),
        (3, 2, [2, 2, 3, 65], 5),
        (7, 2, [2, 9, 12, 3], 8),
        // More pixels than are summed up at a time.
        (3, 1, [5, 24, 24, 3], 4),
    ];
    for (side, stride, [n, h, w, inputs], outputs) in shapes {
        let x = tensor(&[n, h, w, inputs], 1009);
        let weight = tensor(&[outputs, inputs, side, side], 997);
        let (oh, ow) = (h.div_ceil(stride), w.div_ceil(stride));
        let r = tensor(&[n, oh, ow, outputs], 881);
        let (xs, ws, rs) = (list(&x), list(&weight), list(&r));
        let (mut ys, mut dx, mut dw) = (vec![0.0; rs.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
        for at in 0..rs.len() {
            let (o, ox, oy, image) = (at % outputs, at / outputs % ow, at / outputs / ow % oh, at / outputs / ow / oh);
            for (ky, kx) in (0..side).flat_map(|ky| (0..side).map(move |kx| (ky, kx))) {
                let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                let (Some(iy), Some(ix)) = (iy.checked_sub(side / 2), ix.checked_sub(side / 2)) else { continue };
                if iy >= h || ix >= w {
                    continue;
                }
                for i in 0..inputs {
                    let (p, q) = (((image * h + iy) * w + ix) * inputs + i, ((o * inputs + i) * side + ky) * side + kx);
                    ys[at] += xs[p] * ws[q];
                    dx[p] += rs[at] * ws[q];
                    dw[q] += rs[at] * xs[p];
                }
            }
        }
        // Packed at once, and packed anew over others.
        let mut refilled = Filters::new(&tensor(weight.dims(), 101), stride).unwrap();
        passes(&refilled, &x, &r);
        refilled.refill(&weight).unwrap();
        for filters in [Filters::new(&weight, stride).unwrap(), refilled] {
            let [y, found_dx, found_dw] = passes(&filters, &x, &r);
            for (what, found, expected) in [("result", &y, &ys), ("input", &found_dx, &dx), ("weight", &found_dw, &dw)]
            {
                assert!(off(found, expected) < 1e-5, "{what} of {side} {stride} {inputs}: {}", off(found, expected));
            }
        }
        // What a GPU runs.
        assert!(error(&composed_convolve(&x, &weight, stride).unwrap(), &ys) < 1e-5, "{side} {stride} {inputs}");
    }
}

/// The result, and the gradients of input and weight by `r`, each added to what was there: ones.
fn passes(filters: &Filters, x: &Tensor, r: &Tensor) -> [Vec<f32>; 3] {
    let (n, h, w, c) = x.dims4().unwrap();
    let from = Shape::dense(n, h, w, c);
    let to = filters.after(from);
    assert_eq!(r.dims(), [to.images, to.height, to.width, to.channels]);
    let (x, r) = (floats(x), floats(r));
    let mut y = vec![0.0; to.span()];
    let sizes = filters.forward((&x, from), (&mut y, to), <[f32]>::len);
    assert_eq!(sizes.iter().sum::<usize>(), y.len());
    let (mut dx, mut added) = (vec![9.0; x.len()], vec![1.0; x.len()]);
    filters.to_input((&r, to), (&mut dx, from), false);
    filters.to_input((&r, to), (&mut added, from), true);
    assert!(dx.iter().zip(&added).all(|(d, a)| (d + 1.0 - a).abs() < 1e-4));
    let mut scratch = WeightScratch::default();
    let mut dw = vec![1.0; filters.weights()];
    filters.to_weight((&x, from), (&r, to), &mut dw, &mut scratch);
    dw.iter_mut().for_each(|v| *v -= 1.0);
    [y, dx, dw]
}

/// candle's own operations, whose gradients are candle's, in f64.
#[test]
fn batch_norms_and_their_gradients_are_the_composed_formula() {
    // (Of two rows the gradient cancels to nothing.)
    for (dims, relu) in [(vec![700, 5], false), (vec![3, 4, 5, 16], true), (vec![5, 3], true)] {
        let channels = *dims.last().unwrap();
        let var = |t: Tensor| Var::from_tensor(&t).unwrap();
        let (x, r) = (var(tensor(&dims, 1009)), tensor(&dims, 991));
        let (gamma, beta) = (var((tensor(&[channels], 31) + 1.0).unwrap()), var(tensor(&[channels], 17)));
        let moments = Arc::new(Moments::of(&x).unwrap());
        let y = batch_norm(&x, &gamma, &beta, &moments, relu).unwrap();
        let found = gradients(&y, &r, &[&x, &gamma, &beta]);

        let wide = |t: &Tensor| Var::from_tensor(&t.to_dtype(DType::F64).unwrap()).unwrap();
        let (x, gamma, beta) = (wide(&x), wide(&gamma), wide(&beta));
        let flat = x.reshape((moments.rows, channels)).unwrap();
        let centred = flat.broadcast_sub(&flat.mean_keepdim(0).unwrap()).unwrap();
        let variance = centred.sqr().unwrap().mean_keepdim(0).unwrap();
        let z = centred.broadcast_div(&(variance + 1e-5).unwrap().sqrt().unwrap()).unwrap();
        let z = z.broadcast_mul(&gamma).unwrap().broadcast_add(&beta).unwrap();
        let z = if relu { z.relu().unwrap() } else { z }.reshape(dims.as_slice()).unwrap();
        assert!(error(&y, &list(&z)) < 1e-5);
        let expected = gradients(&z, &r.to_dtype(DType::F64).unwrap(), &[&x, &gamma, &beta]);
        for (found, expected) in found.iter().zip(&expected) {
            assert!(error(found, &list(expected)) < 2e-5, "{dims:?}: {}", error(found, &list(expected)));
        }
    }
    assert!(Moments::of(&tensor(&[1, 4], 7)).unwrap_err().to_string().contains("two rows"));
}

#[test]
fn pooling_sends_each_gradient_to_the_first_largest_pixel() {
    // Values come many times: ties are everywhere.
    for (h, w) in [(6, 6), (5, 4), (1, 3)] {
        let x = tensor(&[2, h, w, 19], 7);
        let from = Shape::dense(2, h, w, 19);
        let to = pooled(from);
        let r = tensor(&[2, to.height, to.width, 19], 887);
        let (mut y, mut found) = (vec![0.0; to.span()], vec![9.0; from.span()]);
        max_pool(&floats(&x), from, &mut y);
        max_pool_back((&floats(&x), from), &y, &floats(&r), &mut found);
        let (xs, rs) = (list(&x), list(&r));
        let mut dx = vec![0.0; xs.len()];
        let mut ys = Vec::new();
        let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
        for (at, r) in rs.iter().enumerate() {
            let (c, ox, oy, image) = (at % 19, at / 19 % ow, at / 19 / ow % oh, at / 19 / ow / oh);
            let rows = (2 * oy).saturating_sub(1)..(2 * oy + 2).min(h);
            let places: Vec<usize> = rows
                .flat_map(|y| ((2 * ox).saturating_sub(1)..(2 * ox + 2).min(w)).map(move |x| (y, x)))
                .map(|(y, x)| ((image * h + y) * w + x) * 19 + c)
                .collect();
            let largest = places.iter().map(|&p| xs[p]).fold(f64::MIN, f64::max);
            dx[*places.iter().find(|&&p| xs[p] == largest).unwrap()] += r;
            ys.push(largest);
        }
        assert_eq!(y.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), ys);
        assert!(off(&found, &dx) < 1e-6);
        assert_eq!(list(&composed_max_pool(&x).unwrap()), ys);
    }
}

#[test]
fn a_residual_is_added_before_the_relu() {
    let (x, residual) = (tensor(&[700, 5], 101), tensor(&[700, 5], 89));
    let moments = Moments::of(&x).unwrap();
    let (gamma, beta) = (values(5, 31), values(5, 17));
    let mut plain = vec![0.0; 3500];
    normalise(&floats(&x), &moments, [&gamma, &beta], None, false, &mut plain);
    let mut y = vec![0.0; 3500];
    normalise(&floats(&x), &moments, [&gamma, &beta], Some(&floats(&residual)), true, &mut y);
    let wanted: Vec<f64> = plain.iter().zip(list(&residual)).map(|(p, r)| (f64::from(*p) + r).max(0.0)).collect();
    assert!(off(&y, &wanted) < 1e-6 && y.contains(&0.0));
}

/// However the rows are cut.
#[test]
fn moments_of_parts_are_those_of_the_whole() {
    let x: Vec<f32> = values(3000 * 3, 1009).iter().map(|v| v + 50.0).collect();
    let whole = Moments::merge(&[Part::of(&x, 3)]);
    let parts: Vec<Part> = [0..1, 1..700, 700..3000].map(|r| Part::of(&x[r.start * 3..r.end * 3], 3)).into();
    let merged = Moments::merge(&parts);
    assert_eq!(merged.rows, 3000);
    for c in 0..3 {
        let of = || x[c..].iter().step_by(3).map(|v| f64::from(*v));
        let mean = of().sum::<f64>() / 3000.0;
        let variance = of().map(|v| (v - mean).powi(2)).sum::<f64>() / 3000.0;
        for m in [&whole, &merged] {
            assert!((f64::from(m.mean[c]) - mean).abs() < 1e-4, "{} for {mean}", m.mean[c]);
            assert!((f64::from(m.variance[c]) - variance).abs() < 1e-4 * variance, "{} for {variance}", m.variance[c]);
        }
    }
}

#[test]
fn linear_layers_and_their_gradients_are_the_products() {
    for (n, inputs, outputs) in [(1, 1, 1), (5, 7, 3), (130, 40, 600), (64, 300, 17)] {
        let var = |dims: &[usize], of| Var::from_tensor(&tensor(dims, of)).unwrap();
        let (x, w, r) = (var(&[n, inputs], 1009), var(&[outputs, inputs], 997), tensor(&[n, outputs], 881));
        let wide = |t: &Tensor| Var::from_tensor(&t.to_dtype(DType::F64).unwrap()).unwrap();
        let (y, expected) = (linear(&x, &w).unwrap(), [wide(&x), wide(&w)]);
        let z = expected[0].matmul(&expected[1].t().unwrap()).unwrap();
        assert!(error(&y, &list(&z)) < 1e-5);
        let found = gradients(&y, &r, &[&x, &w]);
        let expected = gradients(&z, &wide(&r), &[&expected[0], &expected[1]]);
        for (found, expected) in found.iter().zip(&expected) {
            assert!(error(found, &list(expected)) < 1e-5, "{n} {inputs} {outputs}");
        }
    }
    assert!(linear(&tensor(&[2, 3], 7), &tensor(&[5, 4], 7)).is_err());
}

#[test]
fn threads_change_no_bit() {
    let run = || {
        let (x, r) = (tensor(&[40, 12, 12, 64], 1009), tensor(&[40, 12, 12, 64], 883));
        let filters = Filters::new(&tensor(&[64, 64, 3, 3], 997), 1).unwrap();
        let [y, dx, dw] = passes(&filters, &x, &r);
        let moments = Moments::merge(&filters.forward(
            (&floats(&x), Shape::dense(40, 12, 12, 64)),
            (&mut vec![0.0; y.len()], Shape::dense(40, 12, 12, 64)),
            |y| Part::of(y, 64),
        ));
        let (gamma, mut back) = (values(64, 7), vec![0.0; y.len()]);
        let [dgamma, dbeta] = normalise_back(&y, &moments, &gamma, Some(&dx), &floats(&r), &mut back);
        [y, dx, dw, back, dgamma, dbeta, moments.mean, moments.variance]
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let one = on(1);
    for threads in [2, 3, 5] {
        assert!(on(threads) == one, "{threads} threads");
    }
}
