//! Each operation and its gradients by their definition, in f64.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::*;

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

/// Largest difference over the largest value.
fn error(found: &Tensor, expected: &[f64]) -> f64 {
    let found = list(found);
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    found.iter().zip(expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max) / largest
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
        let x = Var::from_tensor(&tensor(&[n, h, w, inputs], 1009)).unwrap();
        let weight = Var::from_tensor(&tensor(&[outputs, inputs, side, side], 997)).unwrap();
        let filters = Arc::new(Filters::new(&weight, stride).unwrap());
        let y = convolve(&x, &weight, &filters, true).unwrap();
        let (oh, ow) = (h.div_ceil(stride), w.div_ceil(stride));
        assert_eq!(y.dims(), [n, oh, ow, outputs], "{side} {stride}");
        let r = tensor(y.dims(), 881);
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
        assert!(error(&y, &ys) < 1e-5, "{side} {stride} {inputs}: {}", error(&y, &ys));
        // What a GPU runs.
        assert!(error(&composed_convolve(&x, &weight, stride).unwrap(), &ys) < 1e-5, "{side} {stride} {inputs}");
        let found = gradients(&y, &r, &[&x, &weight]);
        for (what, found, expected) in [("input", &found[0], dx), ("weight", &found[1], dw)] {
            assert!(error(found, &expected) < 1e-5, "{what} of {side} {stride} {inputs}: {}", error(found, &expected));
        }
    }
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
        let x = Var::from_tensor(&tensor(&[2, h, w, 19], 7)).unwrap();
        let y = max_pool(&x).unwrap();
        let r = tensor(y.dims(), 887);
        let found = gradients(&y, &r, &[&x]);
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
        assert_eq!(list(&y), ys);
        assert!(error(&found[0], &dx) < 1e-6);
    }
}

#[test]
fn a_residual_has_its_gradient_where_it_is_above_zero() {
    let (a, b) = (tensor(&[70_000], 101), tensor(&[70_000], 89));
    let (a, b) = (Var::from_tensor(&a).unwrap(), Var::from_tensor(&b).unwrap());
    let y = add_relu(&a, &b).unwrap();
    let r = tensor(&[70_000], 997);
    let expected = (a.as_tensor() + b.as_tensor()).unwrap().relu().unwrap();
    assert_eq!(list(&y), list(&expected));
    let found = gradients(&y, &r, &[&a, &b]);
    let wanted: Vec<f64> = list(&y).iter().zip(list(&r)).map(|(y, r)| if *y > 0.0 { r } else { 0.0 }).collect();
    assert_eq!(list(&found[0]), wanted);
    assert_eq!(list(&found[1]), wanted);
    assert!(add_relu(&a, &tensor(&[3], 7)).is_err());
}

#[test]
fn threads_change_no_bit() {
    let run = || {
        let x = Var::from_tensor(&tensor(&[40, 12, 12, 64], 1009)).unwrap();
        let weight = Var::from_tensor(&tensor(&[64, 64, 3, 3], 997)).unwrap();
        let filters = Arc::new(Filters::new(&weight, 1).unwrap());
        let (gamma, beta) = (tensor(&[64], 7), tensor(&[64], 5));
        let y = convolve(&x, &weight, &filters, true).unwrap();
        let y = batch_norm(&y, &gamma, &beta, &Arc::new(Moments::of(&y).unwrap()), true).unwrap();
        let y = max_pool(&y).unwrap();
        let r = tensor(y.dims(), 883);
        gradients(&y, &r, &[&x, &weight]).iter().flat_map(list).collect::<Vec<f64>>()
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let one = on(1);
    for threads in [2, 3, 5] {
        assert!(on(threads) == one, "{threads} threads");
    }
}
