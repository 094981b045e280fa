//! Counts of cells and of spots.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Poisson};
use rayon::prelude::*;
use scellst_expr::CsrMatrix;
use scellst_types::{Micron, Point};

use crate::config::CountModel;
use crate::ground::Ground;
use crate::nucleus::Nucleus;
use crate::programme::Programme;
use crate::random::{Stage, generator, normal};
use crate::{SimConfig, SimError};

/// Expected expression and drawn counts of all cells, cells x genes.
pub(crate) fn cells(
    config: &SimConfig,
    programme: &Programme,
    nuclei: &[Nucleus],
) -> Result<(Array2<f32>, CsrMatrix), SimError> {
    let genes = programme.genes().len();
    let mut expected = Array2::zeros((nuclei.len(), genes));
    let rows: Vec<Vec<(u32, f32)>> = expected
        .outer_iter_mut()
        .into_par_iter()
        .zip(nuclei)
        .enumerate()
        .map(|(i, (mut row, nucleus))| {
            let mean = programme.expected(nucleus);
            row.iter_mut().zip(&mean).for_each(|(to, &from)| *to = from as f32);
            let mut rng = generator(config.seed, Stage::Counts, i as u64);
            draw(&mut rng, &config.counts, &mean, programme.hidden_sd())
        })
        .collect();
    let counts = sparse(genes, &rows)?;
    Ok((expected, counts))
}

/// Counts of one cell: the genes that have any.
fn draw(rng: &mut ChaCha8Rng, model: &CountModel, mean: &[f64], hidden_sd: &[f64]) -> Vec<(u32, f32)> {
    // A factor of mean 1.
    let factor = |rng: &mut ChaCha8Rng, sd: f64| (normal(rng, 0.0, sd) - sd * sd / 2.0).exp();
    let library = factor(rng, model.library_sd);
    let mut row = Vec::new();
    for (gene, (&mean, &sd)) in (0..).zip(mean.iter().zip(hidden_sd)) {
        let mut rate = mean * library * factor(rng, sd);
        // A Poisson variable whose rate is gamma distributed is negative binomial.
        if let Some(gamma) = model.theta.and_then(|theta| Gamma::new(theta, 1.0 / theta).ok()) {
            rate *= gamma.sample(rng);
        }
        let count: f64 = Poisson::new(rate).map_or(0.0, |poisson| poisson.sample(rng));
        if count > 0.0 {
            row.push((gene, count as f32));
        }
    }
    row
}

fn sparse(columns: usize, rows: &[Vec<(u32, f32)>]) -> Result<CsrMatrix, SimError> {
    let mut indptr = vec![0];
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for row in rows {
        indices.extend(row.iter().map(|e| e.0));
        values.extend(row.iter().map(|e| e.1));
        indptr.push(indices.len());
    }
    Ok(CsrMatrix::new(rows.len(), columns, indptr, indices, values)?)
}

/// Centres of the spots on the tissue, um, and which row and column of the array they are.
pub(crate) fn array(config: &SimConfig, ground: &Ground) -> (Vec<Point<Micron>>, Vec<(u32, u32)>) {
    let (pitch, radius) = (config.spots.pitch_um, config.spots.diameter_um / 2.0);
    let row_step = pitch * 0.75f64.sqrt();
    let (w, h) = config.size_um;
    let (mut centres, mut places) = (Vec::new(), Vec::new());
    let mut row = 0;
    loop {
        let y = radius + f64::from(row) * row_step;
        if y + radius > h {
            return (centres, places);
        }
        // Every second row is moved by half a step; columns count half steps, as Visium's do.
        let mut column = row % 2;
        loop {
            let x = radius + f64::from(column) * pitch / 2.0;
            if x + radius > w {
                break;
            }
            if ground.at(x as f32, y as f32).inside_um > 0.0 {
                centres.push(Point::new(x, y));
                places.push((row, column));
            }
            column += 2;
        }
        row += 1;
    }
}

/// The cells of each spot, and the sums of their counts, spots x genes.
pub(crate) fn spots(
    config: &SimConfig,
    centres: &[Point<Micron>],
    nuclei: &[Nucleus],
    counts: &CsrMatrix,
) -> Result<(Vec<Vec<u32>>, CsrMatrix), SimError> {
    let radius = config.spots.diameter_um / 2.0;
    let mut members = vec![Vec::new(); centres.len()];
    let pitch = config.spots.pitch_um;
    let column = |x: f64| (x / pitch).floor() as i64;
    let mut by_column = std::collections::HashMap::<(i64, i64), Vec<usize>>::new();
    for (s, c) in centres.iter().enumerate() {
        by_column.entry((column(c.x), column(c.y))).or_default().push(s);
    }
    for (n, nucleus) in (0u32..).zip(nuclei) {
        let (i, j) = (column(nucleus.centre.x), column(nucleus.centre.y));
        let near = (j - 1..=j + 1).flat_map(|j| (i - 1..=i + 1).map(move |i| (i, j)));
        let spots = near.filter_map(|key| by_column.get(&key)).flatten();
        let nearest = spots
            .map(|&s| (nucleus.centre.distance(centres[s]), s))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        if let Some((distance, s)) = nearest
            && distance <= radius
        {
            members[s].push(n);
        }
    }
    let sum = |cells: &Vec<u32>| {
        let mut sums = vec![0.0f32; counts.cols()];
        for &cell in cells {
            let (genes, values) = counts.row(cell as usize);
            genes.iter().zip(values).for_each(|(&g, v)| sums[g as usize] += v);
        }
        (0..).zip(sums).filter(|entry| entry.1 > 0.0).collect()
    };
    let rows: Vec<Vec<(u32, f32)>> = members.iter().map(sum).collect();
    let sums = sparse(counts.cols(), &rows)?;
    Ok((members, sums))
}
