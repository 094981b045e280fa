//! The same of candle's own operations, for devices and types without a kernel.

use candle_core::{Result, Tensor};

use crate::Offsets;

pub(super) fn sum(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    let bag = Tensor::from_vec(offsets.bag_of_rows(), offsets.rows(), x.device())?;
    Tensor::zeros((offsets.bags(), x.dim(1)?), x.dtype(), x.device())?.index_add(&bag, &x.contiguous()?, 0)
}

pub(super) fn mean(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    let weight: Vec<f32> = (0..offsets.bags()).map(|b| 1.0 / offsets.bag(b).len().max(1) as f32).collect();
    let weight = Tensor::from_vec(weight, (offsets.bags(), 1), x.device())?.to_dtype(x.dtype())?;
    sum(x, offsets)?.broadcast_mul(&weight)
}

/// Bag by bag: slow. candle shares the gradient among equals.
pub(super) fn max(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    let columns = x.dim(1)?;
    let bag = |b: usize| {
        let rows = offsets.bag(b);
        match rows.is_empty() {
            true => Tensor::zeros((1, columns), x.dtype(), x.device()),
            false => x.narrow(0, rows.start, rows.len())?.max_keepdim(0),
        }
    };
    match offsets.bags() {
        0 => Tensor::zeros((0, columns), x.dtype(), x.device()),
        bags => Tensor::cat(&(0..bags).map(bag).collect::<Result<Vec<_>>>()?, 0),
    }
}

pub(super) fn softmax(x: &Tensor, offsets: &Offsets) -> Result<Tensor> {
    let bag = Tensor::from_vec(offsets.bag_of_rows(), offsets.rows(), x.device())?;
    let of_rows = |t: Tensor| t.index_select(&bag, 0);
    let e = (x - of_rows(max(x, offsets)?.detach())?)?.exp()?;
    &e / of_rows(sum(&e, offsets)?)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// What runs where there is no kernel gives what the kernels' reference gives.
    #[test]
    fn the_formulas_are_the_operations() {
        let offsets = Offsets::new(vec![0, 3, 3, 4, 9]).unwrap();
        let x: Vec<f64> = (0..45).map(|i| ((i * 29) % 47) as f64 / 11.0 - 2.0).collect();
        let x = Tensor::from_vec(x, (9, 5), &Device::Cpu).unwrap();
        let close = |a: Result<Tensor>, b: Result<Tensor>| {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!(a.dims(), b.dims());
            let far = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(far < 1e-7, "{far}"); // the composed mean's weights are f32
        };
        close(sum(&x, &offsets), crate::segment_sum(&x, &offsets));
        close(mean(&x, &offsets), crate::segment_mean(&x, &offsets));
        close(max(&x, &offsets), crate::segment_max(&x, &offsets));
        close(softmax(&x, &offsets), crate::segment_softmax(&x, &offsets));
        assert_eq!(max(&x.narrow(0, 0, 0).unwrap(), &Offsets::new(vec![0]).unwrap()).unwrap().dims(), [0, 5]);
    }
}
