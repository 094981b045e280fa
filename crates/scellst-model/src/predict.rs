use candle_core::{Device, Tensor};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1, Axis, concatenate};
use scellst_kernels::{Loss, Offsets};

use crate::engine::Network;
use crate::network::{Seen, finite, needs_sets, same};
use crate::{MilModel, ModelError, Pooling};

/// Cells that are predicted at a time.
const BLOCK: usize = 4096;

impl MilModel {
    /// Expression of cells from their features `(cells, input)`, in blocks: `(cells, genes)`, positive. For losses of
    /// counts, the mean count of a cell's bag if all cells were like it and its size factor 1; for [`Pooling::Sum`] the
    /// count of the cell itself.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of features, [`ModelError::NotFinite`] for features that are no numbers;
    /// [`ModelError::Config`] for a deep set, which wants [`MilModel::predict_with_sets`].
    pub fn predict_cells(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f32>, ModelError> {
        match self.shape().pooling() {
            Pooling::DeepSet => Err(needs_sets()),
            Pooling::Mean | Pooling::Sum | Pooling::Attention => self.predict(features, None),
        }
    }

    /// The same for a [`Pooling::DeepSet`], each cell with its set: `sets` `(cells, width)` is the mean of
    /// [`MilModel::set_features`] over the cells of its set, itself among them. For other poolings sets have no say.
    ///
    /// # Errors
    /// As [`MilModel::predict_cells`], and for sets of another size.
    pub fn predict_with_sets(
        &self,
        features: ArrayView2<'_, f32>,
        sets: ArrayView2<'_, f32>,
    ) -> Result<Array2<f32>, ModelError> {
        if self.shape().pooling() != Pooling::DeepSet {
            return self.predict(features, None);
        }
        same("sets, one for each cell", features.dim().0, sets.dim().0)?;
        same("features of a set", self.shape().side_layers()[0].inputs, sets.dim().1)?;
        finite("a set's features", sets)?;
        self.predict(features, Some(sets))
    }

    /// What a deep set is the mean of: the first hidden layer of each cell, `(cells, width)`.
    ///
    /// # Errors
    /// As [`MilModel::predict_cells`]; [`ModelError::Config`] for another pooling.
    pub fn set_features(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f32>, ModelError> {
        self.wants(Pooling::DeepSet)?;
        self.check(features)?;
        if self.device().is_cpu() {
            return Ok(Network::new(self)?.first_hidden(features));
        }
        self.in_blocks(features, self.shape().side_layers()[0].inputs, |_, x| self.first_hidden(x))
    }

    /// Expression of the cells of bags, `(cells, genes)`: as [`MilModel::predict_cells`], where a deep set is the bag.
    ///
    /// # Errors
    /// As [`MilModel::predict_cells`]; [`ModelError::Shape`] for offsets that are not those of the cells.
    pub fn predict_cells_of_bags(
        &self,
        features: ArrayView2<'_, f32>,
        offsets: &[u32],
    ) -> Result<Array2<f32>, ModelError> {
        let offsets = checked(offsets, features.dim().0)?;
        if self.shape().pooling() != Pooling::DeepSet {
            return self.predict(features, None);
        }
        let cells = self.set_features(features)?;
        let mut sets = Array2::zeros(cells.dim());
        for rows in bags(&offsets) {
            if let Some(mean) = cells.slice_axis(Axis(0), rows.clone().into()).mean_axis(Axis(0)) {
                sets.slice_axis_mut(Axis(0), rows.into()).rows_mut().into_iter().for_each(|mut row| row.assign(&mean));
            }
        }
        self.predict(features, Some(sets.view()))
    }

    /// Expression of bags, `(bags, genes)`, pooled as in training: in the unit of the labels, for losses of counts at a
    /// size factor of 1. An empty bag has none.
    ///
    /// # Errors
    /// As [`MilModel::predict_cells_of_bags`].
    pub fn predict_bags(&self, features: ArrayView2<'_, f32>, offsets: &[u32]) -> Result<Array2<f32>, ModelError> {
        let cells = self.predict_cells_of_bags(features, offsets)?;
        let attention = match self.shape().pooling() {
            Pooling::Attention => Some(self.attention(features, offsets)?),
            _ => None,
        };
        let offsets = checked(offsets, features.dim().0)?;
        let mut out = Array2::zeros((offsets.bags(), self.shape().genes()));
        for (rows, mut bag) in bags(&offsets).zip(out.rows_mut()) {
            let (weight, _) = self.shape().pooling().weights(self.shape().loss(), rows.len());
            let add = |to: &mut ArrayViewMut1<'_, f32>, cell: usize| {
                let weight = attention.as_ref().map_or(weight, |a| a[cell]);
                to.scaled_add(weight, &cells.row(cell));
            };
            rows.for_each(|cell| add(&mut bag, cell));
        }
        Ok(out)
    }

    /// How much each cell of bags counts in its bag's expression: positive, those of a bag add up to 1.
    ///
    /// # Errors
    /// As [`MilModel::attention_scores`] and [`MilModel::predict_cells_of_bags`].
    pub fn attention(&self, features: ArrayView2<'_, f32>, offsets: &[u32]) -> Result<Vec<f32>, ModelError> {
        let offsets = checked(offsets, features.dim().0)?;
        let mut weights = self.attention_scores(features)?;
        for rows in bags(&offsets) {
            let of = &mut weights[rows];
            let most = of.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            of.iter_mut().for_each(|score| *score = (*score - most).exp());
            let sum: f32 = of.iter().sum();
            of.iter_mut().for_each(|weight| *weight /= sum);
        }
        Ok(weights)
    }

    /// What the attention of a bag is the softmax of, for each cell by itself: of two cells in one bag the first counts
    /// `exp(difference)` times as much as the second. Only differences mean anything.
    ///
    /// # Errors
    /// As [`MilModel::predict_cells`]; [`ModelError::Config`] for another pooling.
    pub fn attention_scores(&self, features: ArrayView2<'_, f32>) -> Result<Vec<f32>, ModelError> {
        self.wants(Pooling::Attention)?;
        self.check(features)?;
        if self.device().is_cpu() {
            return Ok(Network::new(self)?.scores(features));
        }
        let scores = self.in_blocks(features, 1, |_, x| Ok(self.scores_of(x)?.unsqueeze(1)?))?;
        Ok(scores.into_iter().collect())
    }

    fn predict(
        &self,
        features: ArrayView2<'_, f32>,
        sets: Option<ArrayView2<'_, f32>>,
    ) -> Result<Array2<f32>, ModelError> {
        self.check(features)?;
        let mut out = match self.device().is_cpu() {
            true => Network::new(self)?.predict(features, sets),
            false => self.predict_by_tensors(features, sets)?,
        };
        if let (Loss::NbTotal, Some(genes)) = (self.shape().loss(), self.vars().last()) {
            let odds = Array1::from(genes.exp()?.flatten_all()?.to_vec1::<f32>()?);
            out *= &odds;
        }
        Ok(out)
    }

    fn predict_by_tensors(
        &self,
        features: ArrayView2<'_, f32>,
        sets: Option<ArrayView2<'_, f32>>,
    ) -> Result<Array2<f32>, ModelError> {
        self.in_blocks(features, self.shape().genes(), |rows, x| {
            let Some(sets) = sets else { return self.cells(x, None) };
            let part = sets.slice_axis(Axis(0), rows.into());
            let means = Tensor::from_iter(part.iter().copied(), self.device())?.reshape(part.dim())?;
            self.cells_seeing(x, Seen::Means(&means), None)
        })
    }

    /// Some function of cells by tensors, block by block, `(cells, columns)`.
    fn in_blocks(
        &self,
        features: ArrayView2<'_, f32>,
        columns: usize,
        of: impl Fn(std::ops::Range<usize>, &Tensor) -> Result<Tensor, ModelError>,
    ) -> Result<Array2<f32>, ModelError> {
        let mut parts = Vec::new();
        for (i, x) in features.axis_chunks_iter(Axis(0), BLOCK).enumerate() {
            let rows = i * BLOCK..i * BLOCK + x.dim().0;
            let values = of(rows, &self.tensor(x)?.detach())?.detach().to_device(&Device::Cpu)?;
            let values = values.flatten_all()?.to_vec1::<f32>()?;
            let part = Array2::from_shape_vec((x.dim().0, columns), values);
            parts.push(part.map_err(|e| ModelError::Tensor(e.to_string()))?);
        }
        if parts.is_empty() {
            return Ok(Array2::zeros((0, columns)));
        }
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(0), &views).map_err(|e| ModelError::Tensor(e.to_string()))
    }

    fn check(&self, features: ArrayView2<'_, f32>) -> Result<(), ModelError> {
        same("features of a cell", self.shape().input(), features.dim().1)?;
        finite("a cell's features", features)
    }

    fn wants(&self, pooling: Pooling) -> Result<(), ModelError> {
        if self.shape().pooling() == pooling {
            return Ok(());
        }
        let expected = if pooling == Pooling::DeepSet { "deep-set for this" } else { "attention for this" };
        Err(ModelError::Config { setting: "the pooling", expected, found: self.pooling_name() })
    }
}

fn checked(offsets: &[u32], cells: usize) -> Result<Offsets, ModelError> {
    let offsets = Offsets::new(offsets.to_vec())?;
    same("cells in bags", offsets.rows(), cells)?;
    Ok(offsets)
}

fn bags(offsets: &Offsets) -> impl Iterator<Item = std::ops::Range<usize>> {
    offsets.as_slice().windows(2).map(|w| w[0] as usize..w[1] as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InputScale, ModelShape};

    fn close(what: &str, found: &Array2<f32>, expected: &Array2<f32>) {
        assert_eq!(found.dim(), expected.dim(), "{what}");
        let far = found.iter().zip(expected).find(|(f, e)| (*f - *e).abs() > 1e-5 * e.abs().max(0.1));
        assert!(far.is_none(), "{what}: {far:?}");
    }

    /// What other devices do, done on the CPU, is what the engine does; in blocks and out of them.
    #[test]
    fn tensors_and_the_engine_predict_the_same() {
        let number = |i: usize| ((i * 7919) % 1013) as f32 / 506.0 - 1.0;
        let x = Array2::from_shape_fn((BLOCK + 300, 13), |(i, j)| number(i * 13 + j) + j as f32);
        let offsets = [0, 3, 3, 700, (BLOCK + 300) as u32];
        for pooling in Pooling::ALL {
            let shape = ModelShape::published(13, 35).unwrap().with_hidden(vec![40, 33]).unwrap();
            let model = MilModel::new(shape.with_pooling(pooling).unwrap(), 4, &Device::Cpu).unwrap();
            let model = model.with_input(InputScale::standardising(x.view())).unwrap();
            let cells = model.predict_cells_of_bags(x.view(), &offsets).unwrap();
            let bags = model.predict_bags(x.view(), &offsets).unwrap();
            let tensor = model.tensor(x.view()).unwrap();
            let expected = model.bags(&tensor, &Offsets::new(offsets.to_vec()).unwrap(), None).unwrap();
            let expected = Array2::from_shape_vec(bags.dim(), expected.flatten_all().unwrap().to_vec1().unwrap());
            close("bags", &bags, &expected.unwrap());
            match pooling {
                Pooling::DeepSet => {
                    let sets = model.set_features(x.view()).unwrap();
                    let by_tensors = model.in_blocks(x.view(), 40, |_, x| model.first_hidden(x)).unwrap();
                    close("set features", &by_tensors, &sets);
                    let found = model.predict_by_tensors(x.view(), Some(sets.view())).unwrap();
                    close("each its own set", &found, &model.predict_with_sets(x.view(), sets.view()).unwrap());
                    assert!(model.predict_cells(x.view()).unwrap_err().to_string().contains("predict_with_sets"));
                    assert!(model.predict_with_sets(x.view(), sets.slice_axis(Axis(0), (1..).into())).is_err());
                }
                _ => close("cells", &model.predict_by_tensors(x.view(), None).unwrap(), &cells),
            }
            let attention = model.attention(x.view(), &offsets);
            match pooling {
                Pooling::Attention => {
                    let scores = model.in_blocks(x.view(), 1, |_, x| Ok(model.scores_of(x)?.unsqueeze(1)?)).unwrap();
                    let expected = Array2::from_shape_vec(scores.dim(), model.attention_scores(x.view()).unwrap());
                    close("scores", &scores, &expected.unwrap());
                    let attention = attention.unwrap();
                    for rows in [0..3, 3..700, 700..BLOCK + 300] {
                        assert!((attention[rows].iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    }
                }
                _ => assert!(attention.unwrap_err().to_string().contains("must be attention for this")),
            }
            assert!(model.predict_bags(x.view(), &[0, 5]).unwrap_err().to_string().contains("cells in bags"));
        }
    }
}
