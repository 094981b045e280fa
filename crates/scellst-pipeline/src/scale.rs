use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

/// Mean and deviation of each feature over the cells of one slide: what takes the slide's own stain and light out of
/// its features, without knowing anything but the slide.
///
/// A slide of another tissue mix is shifted too: where sections differ in what they are made of, this hides it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlideScale {
    mean: Vec<f32>,
    /// 1 for a feature that does not vary.
    deviation: Vec<f32>,
}

impl SlideScale {
    /// Cells that are measured at most, evenly spaced in the order of the cells.
    pub const SAMPLE: usize = 8192;

    /// Of these features, `(cells, dim)`.
    pub fn of(features: ArrayView2<'_, f32>) -> Self {
        let n = features.nrows().max(1) as f64;
        let (mut mean, mut deviation) = (Vec::new(), Vec::new());
        for column in features.axis_iter(Axis(1)) {
            let centre = column.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let spread = (column.iter().map(|&v| (f64::from(v) - centre).powi(2)).sum::<f64>() / n).sqrt();
            mean.push(centre as f32);
            deviation.push(if spread > 1e-6 * (1.0 + centre.abs()) { spread as f32 } else { 1.0 });
        }
        Self { mean, deviation }
    }

    /// Features less the mean, over the deviation.
    pub fn apply(&self, features: &mut Array2<f32>) {
        for mut row in features.rows_mut() {
            row.iter_mut().zip(&self.mean).zip(&self.deviation).for_each(|((v, m), d)| *v = (*v - m) / d);
        }
    }

    /// Back: the first columns that there are measures for.
    pub fn undo(&self, mut features: ArrayViewMut2<'_, f32>) {
        for mut row in features.rows_mut() {
            row.iter_mut().zip(&self.mean).zip(&self.deviation).for_each(|((v, m), d)| *v = *v * d + m);
        }
    }
}
