use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{each_element, each_row_value, has_losses, same_matrix};
use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient};
use crate::plan::Plan;
use crate::special;

/// Minus the log-likelihood of counts under negative binomials, summed over genes: means and counts `(bags, genes)` and
/// `log_theta` `(genes)` to `(bags)`; f32 or f64. The variance is `mean + mean^2 / theta`.
/// Gradients flow to the means and to `log_theta`, none to the counts.
///
/// The means have the counts' unit: where libraries differ in size, a bag's mean times its size factor. 1e-8 is added to
/// means and dispersions, so that a mean of 0 gives a number.
///
/// # Errors
/// candle's, for other shapes or types, without genes, and on a device without a kernel for it: candle has no
/// log-gamma to compose it of.
pub fn negative_binomial(mean: &Tensor, log_theta: &Tensor, counts: &Tensor) -> Result<Tensor> {
    same_matrix("counts", mean, counts)?;
    let genes = mean.dim(1)?;
    if log_theta.dims1()? != genes {
        bail!("dispersions of {} genes do not fit means of {genes}", log_theta.dims1()?);
    }
    if !has_losses(mean) {
        bail!("the negative binomial has no kernel for {:?} on {:?} in this build", mean.dtype(), mean.device());
    }
    apply(NegativeBinomial, &[mean, log_theta, &counts.detach()])
}

struct NegativeBinomial;

impl Operation for NegativeBinomial {
    fn name(&self) -> &'static str {
        "negative binomial"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].dims2()?.0.into())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (rows, genes) = shapes[0].dims2()?;
        let (mean, theta, count) = (inputs[0], thetas(inputs[1]), inputs[2]);
        Ok(each_row_value(rows, |row| {
            let loss = |gene: usize| {
                let i = row * genes + gene;
                special::negative_binomial(mean[i].to_f64(), theta[gene], count[i].to_f64())
            };
            (0..genes).map(loss).sum()
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, genes) = shapes[0].dims2()?;
        Plan::lines("negative_binomial", rows)?.u32("genes", genes)
    }

    fn backward(&self, inputs: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let all = [inputs[0], inputs[1], inputs[2], grad];
        let by_mean = apply_without_gradient(&NegativeBinomialByMean, &all)?;
        let by_theta = apply_without_gradient(&NegativeBinomialByTheta, &all)?;
        Ok(vec![Some(by_mean), Some(by_theta)])
    }
}

fn thetas<T: Real>(log_theta: &[T]) -> Vec<f64> {
    log_theta.iter().map(|t| t.to_f64().exp()).collect()
}

/// Of means, dispersions, counts and the gradient of the bags.
struct NegativeBinomialByMean;

impl Operation for NegativeBinomialByMean {
    fn name(&self) -> &'static str {
        "gradient of negative binomial by its means"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (rows, genes) = shapes[0].dims2()?;
        let theta = thetas(inputs[1]);
        Ok(each_element(rows, genes, |row, gene| {
            let i = row * genes + gene;
            let slope = special::negative_binomial_by_mean(inputs[0][i].to_f64(), theta[gene], inputs[2][i].to_f64());
            inputs[3][row].to_f64() * slope
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, genes) = shapes[0].dims2()?;
        Plan::lines("negative_binomial_by_mean", rows)?.u32("genes", genes)
    }
}

/// Of means, dispersions, counts and the gradient of the bags.
struct NegativeBinomialByTheta;

impl Operation for NegativeBinomialByTheta {
    fn name(&self) -> &'static str {
        "gradient of negative binomial by its dispersions"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[1].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (rows, genes) = shapes[0].dims2()?;
        let theta = thetas(inputs[1]);
        let slope = |gene: usize, row: usize| {
            let i = row * genes + gene;
            let (mean, count) = (inputs[0][i].to_f64(), inputs[2][i].to_f64());
            inputs[3][row].to_f64() * special::negative_binomial_by_log_theta(mean, theta[gene], count)
        };
        let gene = |gene: usize| T::of((0..rows).map(|row| slope(gene, row)).sum());
        Ok((0..genes).into_par_iter().map(gene).collect())
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, genes) = shapes[0].dims2()?;
        Plan::columns("negative_binomial_by_theta", genes)?.u32("bags", rows)?.u32("genes", genes)
    }
}
