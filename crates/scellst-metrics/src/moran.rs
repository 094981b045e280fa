use ndarray::ArrayView2;

use crate::blocks::{is_constant, map_columns, unusable};
use crate::pairs::PairOptions;
use crate::table::check_shapes;
use crate::{Agreement, MetricsError, Neighbours};

/// Moran's I of each column of any map, on any graph, for holding predictions against measurements; `scellst-expr` has
/// that of a section's counts on the array's own grid. The weights of an observation's neighbours sum up to 1; `None` for a constant
/// column.
///
/// As squidpy's `spatial_autocorr(mode="moran", transformation=True)`. Expected of a gene without pattern: `-1 / (n - 1)`.
///
/// # Errors
/// [`MetricsError::Shape`] unless there are neighbours for each row; [`MetricsError::TooFew`] if none has a neighbour;
/// [`MetricsError::NotFinite`].
pub fn morans_i(values: ArrayView2<'_, f32>, neighbours: &Neighbours) -> Result<Vec<Option<f64>>, MetricsError> {
    MetricsError::same_length("observations with neighbours", values.nrows(), neighbours.len())?;
    let with_neighbours = neighbours.iter().filter(|near| !near.is_empty()).count();
    if with_neighbours == 0 {
        return Err(MetricsError::TooFew { found: 0, least: 1 });
    }
    map_columns(values, values, None, |column, v, _, deviation: &mut Vec<f64>| {
        if let Some((row, value)) = unusable(v, false) {
            let gene = column.to_string();
            return Err(MetricsError::NotFinite { side: "value", row, column, gene, value });
        }
        if is_constant(v) {
            return Ok(None);
        }
        let mean = v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len() as f64;
        deviation.clear();
        deviation.extend(v.iter().map(|&v| f64::from(v) - mean));
        let lagged = |near: &[u32]| near.iter().map(|&j| deviation[j as usize]).sum::<f64>() / near.len() as f64;
        let rows = neighbours.iter().zip(deviation.iter()).filter(|(near, _)| !near.is_empty());
        let product: f64 = rows.map(|(near, z)| z * lagged(near)).sum();
        let squares: f64 = deviation.iter().map(|z| z * z).sum();
        Ok(Some(v.len() as f64 / with_neighbours as f64 * product / squares))
    })
}

/// How alike the spatial patterns are: Moran's I of each gene in the predictions beside that in the measurements.
///
/// Genes that are constant on a side have no Moran's I; they are [`Agreement::missing`].
///
/// # Errors
/// As [`morans_i`]; [`MetricsError::Shape`] if shapes differ.
pub fn moran_agreement(
    predicted: ArrayView2<'_, f32>,
    measured: ArrayView2<'_, f32>,
    neighbours: &Neighbours,
) -> Result<Agreement, MetricsError> {
    check_shapes(predicted, measured)?;
    let sides = [morans_i(predicted, neighbours)?, morans_i(measured, neighbours)?];
    let [p, m] = sides.map(|side| side.into_iter().map(|i| i.map_or(f32::NAN, |i| i as f32)).collect::<Vec<f32>>());
    Agreement::of(&p, &m, &PairOptions { missing: crate::Missing::Skip, ..PairOptions::default() })
}
