use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::SimError;
use crate::random::{Stage, generator};

/// Of Lloyd's iterations, as scikit-learn.
const MOST_ITERATIONS: usize = 300;

/// Rows by their nearest centre.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// Centres, clusters x dimensions.
    pub centres: Array2<f32>,
    /// The cluster of each row.
    pub of_row: Vec<u32>,
    /// Squared distance of each row to its centre.
    pub square: Vec<f64>,
}

impl Clusters {
    /// Sum of the squared distances.
    pub fn inertia(&self) -> f64 {
        self.square.iter().sum()
    }

    /// The `most` rows of a cluster that lie nearest to its centre, nearest first.
    pub fn nearest(&self, cluster: u32, most: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.of_row.len()).filter(|&row| self.of_row[row] == cluster).collect();
        rows.sort_by(|&a, &b| self.square[a].total_cmp(&self.square[b]));
        rows.truncate(most);
        rows
    }
}

/// k-means (Lloyd 1982) from `starts` choices of centres (k-means++, Arthur and Vassilvitskii 2007); the one with the
/// lowest inertia is kept. `rows` are observations x dimensions, finite.
///
/// # Errors
/// [`SimError::Study`] for fewer rows than clusters, no cluster, no start, or a value that is no number.
pub fn kmeans(rows: ArrayView2<'_, f32>, clusters: usize, starts: usize, seed: u64) -> Result<Clusters, SimError> {
    if clusters == 0 || rows.nrows() < clusters {
        let expected = format!("at least {}", clusters.max(1));
        return Err(SimError::study("rows to cluster", expected, rows.nrows()));
    }
    if starts == 0 {
        return Err(SimError::study("starts of k-means", "at least 1", starts));
    }
    if let Some(((row, column), value)) = rows.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(SimError::study(format!("row {row}, column {column} to cluster"), "a finite number", value));
    }
    let start = |start: usize| {
        let mut rng = generator(seed, Stage::Clusters, start as u64);
        lloyd(rows, choose(rows, clusters, &mut rng))
    };
    let first = start(0);
    Ok((1..starts).map(start).fold(first, |best, other| if other.inertia() < best.inertia() { other } else { best }))
}

/// Centres far apart: each next one with a chance that goes with the squared distance to those there are.
fn choose(rows: ArrayView2<'_, f32>, clusters: usize, rng: &mut ChaCha8Rng) -> Array2<f32> {
    let mut chosen = vec![rng.random_range(0..rows.nrows())];
    let mut nearest = vec![f64::INFINITY; rows.nrows()];
    while chosen.len() < clusters {
        let last = rows.row(chosen[chosen.len() - 1]);
        nearest.iter_mut().zip(rows.rows()).for_each(|(n, row)| *n = n.min(square(row, last)));
        let mut left = rng.random_range(0.0..=1.0) * nearest.iter().sum::<f64>();
        let next = nearest.iter().position(|n| {
            left -= n;
            left <= 0.0 && *n > 0.0
        });
        // All rows lie on a centre already: any will do.
        chosen.push(next.unwrap_or_else(|| rng.random_range(0..rows.nrows())));
    }
    rows.select(Axis(0), &chosen)
}

fn lloyd(rows: ArrayView2<'_, f32>, mut centres: Array2<f32>) -> Clusters {
    let (mut of_row, mut squares) = assign(rows, &centres);
    for _ in 0..MOST_ITERATIONS {
        let mut sums = Array2::<f64>::zeros(centres.dim());
        let mut counts = vec![0.0; centres.nrows()];
        for (row, &cluster) in rows.rows().into_iter().zip(&of_row) {
            counts[cluster as usize] += 1.0;
            sums.row_mut(cluster as usize).zip_mut_with(&row, |sum, &v| *sum += f64::from(v));
        }
        for (cluster, &count) in counts.iter().enumerate() {
            if count > 0.0 {
                centres.row_mut(cluster).assign(&sums.row(cluster).mapv(|sum| (sum / count) as f32));
            } else {
                // An empty cluster takes the row that is worst off.
                let worst = (0..squares.len()).fold(0, |w, row| if squares[row] > squares[w] { row } else { w });
                centres.row_mut(cluster).assign(&rows.row(worst));
                squares[worst] = 0.0;
            }
        }
        let before = std::mem::take(&mut of_row);
        (of_row, squares) = assign(rows, &centres);
        if before == of_row {
            break;
        }
    }
    Clusters { centres, of_row, square: squares }
}

fn assign(rows: ArrayView2<'_, f32>, centres: &Array2<f32>) -> (Vec<u32>, Vec<f64>) {
    let nearest = |row: ArrayView1<'_, f32>| {
        let candidates = (0..).zip(centres.rows()).map(|(cluster, centre)| (cluster, square(row, centre)));
        candidates.fold((0, f64::INFINITY), |best, c| if c.1 < best.1 { c } else { best })
    };
    let rows: Vec<_> = rows.rows().into_iter().collect();
    rows.into_par_iter().map(nearest).unzip()
}

fn square(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn finds_clusters_that_are_there() {
        let rows = Array2::from_shape_fn((90, 2), |(i, j)| {
            let centre = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]][i % 3][j];
            centre + ((i * 7 + j * 3) % 11) as f32 / 11.0
        });
        let found = kmeans(rows.view(), 3, 5, 1).unwrap();
        for i in 3..90 {
            assert_eq!(found.of_row[i], found.of_row[i % 3], "{i}");
        }
        let near = found.nearest(found.of_row[0], 7);
        assert_eq!(near.len(), 7);
        assert!(near.windows(2).all(|w| found.square[w[0]] <= found.square[w[1]]));
    }

    #[test]
    fn equal_rows_and_refusals() {
        let same = Array2::from_elem((5, 2), 1.0f32);
        assert_eq!(kmeans(same.view(), 3, 2, 1).unwrap().inertia(), 0.0);
        assert!(kmeans(same.view(), 6, 2, 1).is_err());
        assert!(kmeans(same.view(), 0, 2, 1).is_err());
        assert!(kmeans(same.view(), 2, 0, 1).is_err());
        let bad = array![[1.0, f32::NAN], [0.0, 1.0]];
        assert!(kmeans(bad.view(), 1, 1, 1).unwrap_err().to_string().contains("column 1"));
    }
}
