use ndarray::{Array2, ArrayView2, Zip};

use super::{Epoch, Training, train};
use crate::{MilModel, ModelError, TrainConfig, TrainData};

/// Several models of the same outputs, from different seeds; their mean is steadier than any of them, their spread says
/// where they guess.
pub struct Ensemble {
    members: Vec<MilModel>,
}

impl Ensemble {
    /// From at least one model, all of the same genes.
    ///
    /// # Errors
    /// [`ModelError::Shape`] otherwise.
    pub fn new(members: Vec<MilModel>) -> Result<Self, ModelError> {
        let Some(first) = members.first() else {
            let (expected, found) = ("at least one".into(), "none".into());
            return Err(ModelError::Shape { what: "members of an ensemble", expected, found });
        };
        let genes = first.shape().genes();
        members.iter().try_for_each(|m| crate::network::same("genes of a member", genes, m.shape().genes()))?;
        Ok(Self { members })
    }

    /// The models.
    pub fn members(&self) -> &[MilModel] {
        &self.members
    }

    /// Mean over the members of [`MilModel::predict_cells`], and their standard deviation (0 for one member), both
    /// `(cells, genes)`.
    ///
    /// # Errors
    /// As [`MilModel::predict_cells`].
    pub fn predict_cells(&self, features: ArrayView2<'_, f32>) -> Result<(Array2<f32>, Array2<f32>), ModelError> {
        self.predict(|_, member| member.predict_cells(features))
    }

    /// The same of whatever members predict, each told its number; all of the same size.
    ///
    /// # Errors
    /// Those of `of`, and [`ModelError::Shape`] for other sizes.
    pub fn predict(
        &self,
        of: impl Fn(usize, &MilModel) -> Result<Array2<f32>, ModelError>,
    ) -> Result<(Array2<f32>, Array2<f32>), ModelError> {
        let mut mean = of(0, &self.members[0])?;
        let mut square = Array2::<f32>::zeros(mean.dim());
        for (i, member) in self.members.iter().enumerate().skip(1) {
            let values = of(i, member)?;
            crate::network::same("rows of a member's prediction", mean.dim().0, values.dim().0)?;
            crate::network::same("columns of a member's prediction", mean.dim().1, values.dim().1)?;
            // Welford's running mean and sum of squared differences.
            let share = 1.0 / (i + 1) as f32;
            Zip::from(&mut mean).and(&mut square).and(&values).par_for_each(|m, s, &x| {
                let d = x - *m;
                *m += d * share;
                *s += d * (x - *m);
            });
        }
        let n = self.members.len() as f32;
        Ok((mean, square.mapv_into(|s| (s / n).max(0.0).sqrt())))
    }
}

/// Trains a model for each seed, in turn; `make` gives the untrained model of a seed, `progress` is told which member it
/// is and may stop that member's training.
///
/// # Errors
/// As [`train`], and [`Ensemble::new`] without seeds.
pub fn train_ensemble(
    make: &dyn Fn(u64) -> Result<MilModel, ModelError>,
    seeds: &[u64],
    data: &TrainData,
    fit: &[usize],
    validation: &[usize],
    config: &TrainConfig,
    progress: &mut dyn FnMut(usize, &Epoch) -> bool,
) -> Result<(Ensemble, Vec<Training>), ModelError> {
    let (mut members, mut trainings) = (Vec::new(), Vec::new());
    for (i, &seed) in seeds.iter().enumerate() {
        let mut model = make(seed)?;
        let config = TrainConfig { seed, ..config.clone() };
        trainings.push(train(&mut model, data, fit, validation, &config, &mut |e| progress(i, e))?);
        members.push(model);
    }
    Ok((Ensemble::new(members)?, trainings))
}
