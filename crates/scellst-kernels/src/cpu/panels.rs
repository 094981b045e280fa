//! Matrices as panels of 32 columns, the layout in which everything of the CPU engine lies.
//!
//! A matrix `(rows, columns)` is `columns / 32` panels, rounded up, one after another; a panel is `rows` times 32
//! values, and what is beyond the last column is zero. Products read and write whole panels, element-wise passes run
//! over rows of 32, and tasks own runs of panels.

/// Columns of a panel.
pub const LANES: usize = 32;

/// Number of panels of so many columns.
pub fn panels(columns: usize) -> usize {
    columns.div_ceil(LANES)
}

/// Columns with the padding.
pub fn padded(columns: usize) -> usize {
    panels(columns) * LANES
}

/// From row-major `(rows, columns)`; `height` is the number of rows with padding.
///
/// # Panics
/// If the sizes do not go together.
pub fn from_rows(x: &[f32], rows: usize, columns: usize, height: usize, out: &mut [f32]) {
    assert!(
        rows <= height && x.len() == rows * columns && out.len() == padded(columns) * height,
        "panels of other sizes"
    );
    out.fill(0.0);
    for (p, panel) in out.chunks_mut(height * LANES).enumerate() {
        let width = LANES.min(columns - p * LANES);
        for (row, to) in x.chunks(columns).zip(panel.chunks_mut(LANES)) {
            to[..width].copy_from_slice(&row[p * LANES..][..width]);
        }
    }
}

/// To row-major `(rows, columns)`, without the padding.
///
/// # Panics
/// If the sizes do not go together.
pub fn to_rows(x: &[f32], rows: usize, columns: usize, height: usize, out: &mut [f32]) {
    assert!(
        rows <= height && out.len() == rows * columns && x.len() == padded(columns) * height,
        "panels of other sizes"
    );
    for (p, panel) in x.chunks(height * LANES).enumerate() {
        let width = LANES.min(columns - p * LANES);
        for (row, from) in out.chunks_mut(columns).zip(panel.chunks(LANES)) {
            row[p * LANES..][..width].copy_from_slice(&from[..width]);
        }
    }
}

/// Panel `p` of the transposed matrix: `x` is panels of height `height`, a multiple of 32; `out` is one panel as high as
/// `x` has columns with padding.
///
/// # Panics
/// If the sizes do not go together.
pub fn transposed_panel(x: &[f32], height: usize, p: usize, out: &mut [f32]) {
    assert!(x.len() == out.len() / LANES * height && (p + 1) * LANES <= height, "panels of other sizes");
    for (panel, square) in x.chunks(height * LANES).zip(out.chunks_mut(LANES * LANES)) {
        let from = &panel[p * LANES * LANES..][..LANES * LANES];
        for (i, row) in square.chunks_mut(LANES).enumerate() {
            for (j, to) in row.iter_mut().enumerate() {
                *to = from[j * LANES + i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_go_there_and_back_and_turn() {
        let (rows, columns) = (70, 45);
        let x: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let height = padded(rows);
        let mut p = vec![f32::NAN; height * padded(columns)];
        from_rows(&x, rows, columns, height, &mut p);
        assert_eq!(p[height * LANES + 3 * LANES + 2], x[3 * columns + 34]);
        assert!(p.iter().filter(|v| **v == 0.0).count() == p.len() - x.len() + 1);
        let mut back = vec![0.0; x.len()];
        to_rows(&p, rows, columns, height, &mut back);
        assert_eq!(back, x);
        let mut turned = vec![f32::NAN; padded(columns) * LANES];
        transposed_panel(&p, height, 1, &mut turned);
        assert_eq!(turned[7 * LANES + 5], x[37 * columns + 7]);
    }
}
