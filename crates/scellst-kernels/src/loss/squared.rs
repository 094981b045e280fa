use candle_core::{Result, Shape, Tensor};

use super::{each_element, each_row_value, has_losses, same_matrix};
use crate::cpu::Real;
use crate::operation::{Operation, apply, apply_without_gradient};
use crate::plan::Plan;

/// Mean over genes of the squared difference: predictions and labels `(bags, genes)` to `(bags)`; f32 or f64.
/// Gradients flow to the predictions, none to the labels.
///
/// # Errors
/// candle's, for other shapes or types, and without genes.
pub fn squared_error(predicted: &Tensor, labels: &Tensor) -> Result<Tensor> {
    same_matrix("labels", predicted, labels)?;
    let labels = labels.detach();
    if !has_losses(predicted) {
        return (predicted - labels)?.sqr()?.mean(1);
    }
    apply(SquaredError, &[predicted, &labels])
}

struct SquaredError;

impl Operation for SquaredError {
    fn name(&self) -> &'static str {
        "squared error"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].dims2()?.0.into())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let ((p, l), (rows, genes)) = ((inputs[0], inputs[1]), shapes[0].dims2()?);
        Ok(each_row_value(rows, |row| {
            let row = row * genes..(row + 1) * genes;
            let sum: f64 = p[row.clone()].iter().zip(&l[row]).map(|(p, l)| (p.to_f64() - l.to_f64()).powi(2)).sum();
            sum / genes as f64
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, genes) = shapes[0].dims2()?;
        Plan::lines("squared_error", rows)?.u32("genes", genes)
    }

    fn backward(&self, inputs: &[&Tensor], _: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(apply_without_gradient(&SquaredErrorGrad, &[inputs[0], inputs[1], grad])?)])
    }
}

/// Of predictions, labels and the gradient of the bags.
struct SquaredErrorGrad;

impl Operation for SquaredErrorGrad {
    fn name(&self) -> &'static str {
        "gradient of squared error"
    }

    fn shape(&self, inputs: &[&Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn cpu<T: Real>(&self, inputs: &[&[T]], shapes: &[&Shape]) -> Result<Vec<T>> {
        let (rows, genes) = shapes[0].dims2()?;
        Ok(each_element(rows, genes, |row, gene| {
            let i = row * genes + gene;
            2.0 / genes as f64 * inputs[2][row].to_f64() * (inputs[0][i].to_f64() - inputs[1][i].to_f64())
        }))
    }

    fn plan(&self, shapes: &[&Shape]) -> Result<Plan> {
        let (rows, genes) = shapes[0].dims2()?;
        Plan::lines("squared_error_grad", rows)?.u32("genes", genes)
    }
}
