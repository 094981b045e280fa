use ndarray::{Array2, ArrayView2};
use scellst_kernels::Loss;

use crate::network::{finite, same};
use crate::{ModelError, ModelShape};

/// What a model is trained on: bags of cells and a label for each.
#[derive(Debug, Clone)]
pub struct TrainData {
    features: Array2<f32>,
    /// Bag `i` is rows `offsets[i]..offsets[i + 1]` of `features`.
    offsets: Vec<u32>,
    labels: Array2<f32>,
    sizes: Option<Vec<f32>>,
}

impl TrainData {
    /// `features` `(cells, input)`, f32 and finite, the cells of a bag one after another; `offsets` as of CSR, one more
    /// than there are bags, no bag empty; `labels` `(bags, genes)`, finite, at least 0.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if they do not go together, [`ModelError::NotFinite`] for values that are no numbers.
    pub fn new(features: Array2<f32>, offsets: Vec<u32>, labels: Array2<f32>) -> Result<Self, ModelError> {
        same("bag offsets (bags + 1)", labels.dim().0 + 1, offsets.len())?;
        if labels.dim().0 == 0 {
            return Err(ModelError::Shape { what: "bags", expected: "at least one".into(), found: "none".into() });
        }
        if let Some(i) = offsets.windows(2).position(|w| w[1] <= w[0]) {
            let found = format!("{} then {}", offsets[i], offsets[i + 1]);
            return Err(ModelError::Shape { what: "bag offsets", expected: "increasing (no empty bag)".into(), found });
        }
        same("the first bag offset", 0, offsets[0] as usize)?;
        same("cells in bags", features.dim().0, offsets[offsets.len() - 1] as usize)?;
        finite("a cell's features", features.view())?;
        finite("a bag's label", labels.view())?;
        let (features, labels) = (in_rows(features), in_rows(labels));
        Ok(Self { features, offsets, labels, sizes: None })
    }

    /// With a size factor for each bag, which losses of counts want: the spot's total over the median total, of all genes
    /// and not only those that are learnt. For [`Pooling::Sum`](crate::Pooling::Sum) the section's median total over the
    /// usual one, for each of its spots: what a spot's cells add up to is not to be said twice.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number, [`ModelError::Label`] for one that is not positive and finite.
    pub fn with_size_factors(mut self, sizes: Vec<f32>) -> Result<Self, ModelError> {
        same("size factors", self.bags(), sizes.len())?;
        if let Some(bag) = sizes.iter().position(|s| !(s.is_finite() && *s > 0.0)) {
            let (what, value) = ("a size factor that is not positive", sizes[bag]);
            return Err(ModelError::Label { what, bag, gene: 0, value });
        }
        self.sizes = Some(sizes);
        Ok(self)
    }

    /// The size factor of a bag, 1 where none are known.
    pub fn size_factor(&self, bag: usize) -> f32 {
        self.sizes.as_ref().map_or(1.0, |s| s[bag])
    }

    /// What these bags count for together, which their losses are divided by.
    pub(crate) fn importance(&self, shape: &ModelShape, bags: &[usize]) -> f64 {
        let of = |&bag: &usize| f64::from(shape.pooling().weights(shape.loss(), self.bag(bag).len()).1);
        bags.iter().map(of).sum()
    }

    /// # Errors
    /// If labels are not what the loss is of.
    pub(crate) fn check_loss(&self, loss: Loss) -> Result<(), ModelError> {
        if !loss.of_counts() {
            return Ok(());
        }
        if self.sizes.is_none() {
            let setting = "the data of a loss of counts";
            return Err(ModelError::Config { setting, expected: "with size factors", found: "none".into() });
        }
        match self.labels.indexed_iter().find(|(_, v)| **v < 0.0) {
            None => Ok(()),
            Some(((bag, gene), &value)) => Err(ModelError::Label { what: "a count below zero", bag, gene, value }),
        }
    }

    /// `(bags, genes)`, row after row.
    pub(crate) fn label_values(&self) -> &[f32] {
        self.labels.as_slice().unwrap_or(&[])
    }

    /// A number that other data very likely have not: of all values, bags and the bags that train and validate.
    pub(crate) fn fingerprint(&self, fit: &[usize], validation: &[usize]) -> u64 {
        let mut state = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |v: u64| state = (state.rotate_left(5) ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let sizes = self.sizes.as_deref().unwrap_or(&[]);
        for part in [self.features.as_slice().unwrap_or(&[]), self.label_values(), sizes] {
            add(part.len() as u64);
            part.iter().for_each(|v| add(v.to_bits().into()));
        }
        self.offsets.iter().for_each(|&o| add(o.into()));
        for part in [fit, validation] {
            add(part.len() as u64);
            part.iter().for_each(|&b| add(b as u64));
        }
        state
    }

    /// Several of them as one, in turn.
    ///
    /// # Errors
    /// [`ModelError::Shape`] without any, or for other numbers of features or genes.
    pub fn concat(parts: Vec<Self>) -> Result<Self, ModelError> {
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else {
            return Err(ModelError::Shape { what: "sections", expected: "at least one".into(), found: "none".into() });
        };
        for part in parts {
            same("features of a cell", all.features.dim().1, part.features.dim().1)?;
            same("genes", all.labels.dim().1, part.labels.dim().1)?;
            if all.sizes.is_some() != part.sizes.is_some() {
                let (expected, found) = ("for all sections or for none".into(), "for some".into());
                return Err(ModelError::Shape { what: "size factors", expected, found });
            }
            let shift = all.offsets[all.offsets.len() - 1];
            all.offsets.extend(part.offsets[1..].iter().map(|o| o + shift));
            let append = |to: &mut Array2<f32>, from: &Array2<f32>| to.append(ndarray::Axis(0), from.view());
            // The widths are the same: appending cannot fail.
            append(&mut all.features, &part.features).and_then(|()| append(&mut all.labels, &part.labels)).map_err(
                |e| ModelError::Shape { what: "sections", expected: "equal widths".into(), found: e.to_string() },
            )?;
            if let (Some(sizes), Some(more)) = (&mut all.sizes, part.sizes) {
                sizes.extend(more);
            }
        }
        Ok(all)
    }

    /// Number of bags.
    pub fn bags(&self) -> usize {
        self.labels.dim().0
    }

    /// `(cells, input)`, bag after bag.
    pub fn features(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// `(bags, genes)`.
    pub fn labels(&self) -> ArrayView2<'_, f32> {
        self.labels.view()
    }

    /// As of CSR: bag `i` is rows `offsets[i]..offsets[i + 1]`.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// The rows of a bag.
    pub fn bag(&self, i: usize) -> std::ops::Range<usize> {
        self.offsets[i] as usize..self.offsets[i + 1] as usize
    }

    /// Mean features of each bag's cells, `(bags, input)`: what the linear baselines take.
    pub fn bag_means(&self) -> Array2<f32> {
        let mut means = Array2::zeros((self.bags(), self.features.dim().1));
        for (i, mut row) in means.rows_mut().into_iter().enumerate() {
            if let Some(mean) =
                self.features.slice_axis(ndarray::Axis(0), self.bag(i).into()).mean_axis(ndarray::Axis(0))
            {
                row.assign(&mean);
            }
        }
        means
    }

    /// Only these bags.
    pub fn subset(&self, bags: &[usize]) -> Self {
        let rows: Vec<usize> = bags.iter().flat_map(|&b| self.bag(b)).collect();
        let mut offsets = vec![0u32];
        let mut end = 0;
        for &b in bags {
            end += self.bag(b).len() as u32;
            offsets.push(end);
        }
        Self {
            features: self.features.select(ndarray::Axis(0), &rows),
            offsets,
            labels: self.labels.select(ndarray::Axis(0), bags),
            sizes: self.sizes.as_ref().map(|s| bags.iter().map(|&b| s[b]).collect()),
        }
    }

    pub(crate) fn check_bags(&self, bags: &[usize]) -> Result<(), ModelError> {
        match bags.iter().find(|&&b| b >= self.bags()) {
            None => Ok(()),
            Some(b) => Err(ModelError::Shape {
                what: "a bag of the split",
                expected: format!("below {}", self.bags()),
                found: b.to_string(),
            }),
        }
    }
}

/// Row-major, copied only if it was not.
fn in_rows(x: Array2<f32>) -> Array2<f32> {
    if x.is_standard_layout() { x } else { x.as_standard_layout().into_owned() }
}
