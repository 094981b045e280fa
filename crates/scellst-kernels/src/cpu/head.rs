//! From the last layer's sums to the loss and back, without keeping the cells' predictions.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::attention::horizontal;
use super::loss::{BagLoss, Gradient};
use super::math::softplus_and_slope;
use super::panels::LANES;

/// A bag within a block of rows.
pub struct BagRows {
    /// Its cells.
    pub rows: Range<usize>,
    /// What each of them is multiplied with in the sum: one over their number for a mean, 1 where every cell has a weight
    /// of its own.
    pub weight: f32,
    /// Its row of the labels.
    pub label: usize,
    /// Its size factor.
    pub size: f32,
    /// What its loss is multiplied with: 1 where all bags count the same.
    pub importance: f32,
}

/// Softplus, bag sums, loss, and back to the gradient of the last layer's sums, in place.
pub struct Head<'a> {
    /// Panels of the last layer's sums without bias; then their gradients, if those are wanted.
    pub z: &'a mut [f32],
    /// Rows of each.
    pub rows: usize,
    /// Which panel of genes the first one is.
    pub first: usize,
    /// Of these panels.
    pub bias: &'a [f32],
    /// Sharpness of softplus.
    pub beta: f32,
    /// The bags, which together have all rows.
    pub bags: &'a [BagRows],
    /// Where cells have weights of their own.
    pub weighted: Option<Weighted<'a>>,
    /// Row-major `(bags of the data, genes)`.
    pub labels: &'a [f32],
    /// Columns of the labels.
    pub genes: usize,
    /// With the genes' parameters taken in.
    pub loss: &'a BagLoss,
    /// What gradients are multiplied with.
    pub normaliser: f64,
    /// Where gradients go; `None` for the loss alone.
    pub gradient: Option<HeadGradient<'a>>,
}

/// Where [`Head`] leaves gradients of these panels' genes.
pub struct HeadGradient<'a> {
    /// Of the bias, set.
    pub bias: &'a mut [f32],
    /// Of the genes' first parameter, set; empty without.
    pub first: &'a mut [f64],
    /// Of the second.
    pub second: &'a mut [f64],
}

/// Weights of cells, which add up to 1 in each bag and by which their bag's weight is multiplied.
pub struct Weighted<'a> {
    /// One for each row.
    pub weights: &'a [f32],
    /// Their gradient, added to, up to a number that is the same for all cells of a bag: weights of a bag that add up to 1
    /// do not see it. Not looked at without [`Head::gradient`].
    pub gradient: &'a mut [f32],
    /// Room for the values of a bag's cells; what is in it does not matter.
    pub room: &'a mut Vec<f32>,
}

impl Head<'_> {
    /// Runs it on this thread and gives the sum of the losses, not normalised.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) -> f64 {
        assert_eq!(self.z.len(), self.bias.len() * self.rows, "a bias of another size");
        if let Some(of) = &self.weighted {
            assert!(of.weights.len() == self.rows && of.gradient.len() == self.rows, "weights of other rows");
        }
        if self.rows == 0 { 0.0 } else { Arch::new().dispatch(self) }
    }
}

impl WithSimd for Head<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> f64 {
        let mut total = 0.0;
        let (beta, inverse) = (self.beta, 1.0 / self.beta);
        let biases = self.bias.as_chunks::<LANES>().0;
        for (i, (z, bias)) in self.z.chunks_mut(self.rows * LANES).zip(biases).enumerate() {
            let p = self.first + i;
            let genes = p * LANES..self.genes.min((p + 1) * LANES);
            let z = z.as_chunks_mut::<LANES>().0;
            let mut bias_sum = [0f32; LANES];
            let mut parameter_sum = [[0f64; LANES]; 2];
            for bag in self.bags {
                let z = &mut z[bag.rows.clone()];
                let mut sum = [0f32; LANES];
                match &mut self.weighted {
                    None => {
                        for z in z.iter_mut() {
                            for j in 0..LANES {
                                let (value, slope) = softplus_and_slope(z[j] + bias[j], beta, inverse);
                                sum[j] += value;
                                z[j] = slope;
                            }
                        }
                    }
                    Some(of) => {
                        // The way back wants the values too: only these 32 genes of one bag.
                        of.room.resize(z.len() * LANES, 0.0);
                        let values = of.room.as_chunks_mut::<LANES>().0;
                        for ((z, values), weight) in z.iter_mut().zip(values).zip(&of.weights[bag.rows.clone()]) {
                            for j in 0..LANES {
                                let (value, slope) = softplus_and_slope(z[j] + bias[j], beta, inverse);
                                sum[j] += weight * value;
                                values[j] = value;
                                z[j] = slope;
                            }
                        }
                    }
                }
                let mut label = [0.0; LANES];
                let known = &self.labels[bag.label * self.genes..][genes.clone()];
                label.iter_mut().zip(known).for_each(|(to, &from)| *to = from.into());
                let mean = sum.map(|s| f64::from(s * bag.weight));
                let mut d = Gradient::default();
                let losses = self.loss.lanes(p, &mean, &label, bag.size.into(), &mut d);
                let importance = f64::from(bag.importance);
                total += importance * losses[..genes.len()].iter().sum::<f64>();
                if self.gradient.is_none() {
                    continue;
                }
                let normaliser = self.normaliser * importance;
                let scale = normaliser * f64::from(bag.weight);
                let mut factor = d.mean.map(|d| (d * scale) as f32);
                // Beyond the last gene there is nothing.
                factor[genes.len()..].fill(0.0);
                match &mut self.weighted {
                    None => {
                        for z in z.iter_mut() {
                            for j in 0..LANES {
                                z[j] *= factor[j];
                                bias_sum[j] += z[j];
                            }
                        }
                    }
                    Some(of) => {
                        let values = of.room.as_chunks::<LANES>().0;
                        let gradients = &mut of.gradient[bag.rows.clone()];
                        let rows = z.iter_mut().zip(values).zip(&of.weights[bag.rows.clone()]).zip(gradients);
                        for (((z, values), weight), d) in rows {
                            let mut by_weight = [0f32; LANES];
                            for j in 0..LANES {
                                // Less the bag's mean: small differences of large sums would be lost.
                                by_weight[j] = (values[j] - sum[j]) * factor[j];
                                z[j] *= factor[j] * weight;
                                bias_sum[j] += z[j];
                            }
                            *d += horizontal(by_weight);
                        }
                    }
                }
                for (sum, d) in parameter_sum.iter_mut().zip(&d.parameters) {
                    for (sum, d) in sum.iter_mut().zip(d) {
                        *sum += d * normaliser;
                    }
                }
            }
            if let Some(g) = &mut self.gradient {
                g.bias[i * LANES..][..LANES].copy_from_slice(&bias_sum);
                for (to, sum) in [&mut *g.first, &mut *g.second].into_iter().zip(&mut parameter_sum) {
                    sum[genes.len()..].fill(0.0);
                    if let Some(to) = to.get_mut(i * LANES..(i + 1) * LANES) {
                        to.copy_from_slice(sum);
                    }
                }
            }
        }
        total
    }
}

/// `out = softplus(z + bias)` from panels to row-major `(rows, genes)` where panel `first` is the first of `z`.
pub struct Outputs<'a> {
    /// Panels.
    pub z: &'a [f32],
    /// Rows of each.
    pub rows: usize,
    /// Which panel of genes the first one is.
    pub first: usize,
    /// Of these panels.
    pub bias: &'a [f32],
    /// Sharpness of softplus.
    pub beta: f32,
    /// Row-major.
    pub out: &'a mut [f32],
    /// Columns of `out`.
    pub genes: usize,
}

impl Outputs<'_> {
    /// Runs it on this thread.
    ///
    /// # Panics
    /// If the sizes do not go together.
    pub fn run(self) {
        assert_eq!(self.z.len(), self.bias.len() * self.rows, "a bias of another size");
        assert_eq!(self.out.len(), self.genes * self.rows, "outputs of another size");
        if self.rows > 0 {
            Arch::new().dispatch(self);
        }
    }
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (beta, inverse) = (self.beta, 1.0 / self.beta);
        let biases = self.bias.as_chunks::<LANES>().0;
        for (i, (z, bias)) in self.z.chunks(self.rows * LANES).zip(biases).enumerate() {
            let p = self.first + i;
            let genes = p * LANES..self.genes.min((p + 1) * LANES);
            for (z, out) in z.as_chunks::<LANES>().0.iter().zip(self.out.chunks_mut(self.genes)) {
                let values: [f32; LANES] = std::array::from_fn(|j| softplus_and_slope(z[j] + bias[j], beta, inverse).0);
                out[genes.clone()].copy_from_slice(&values[..genes.len()]);
            }
        }
    }
}
