//! The next level of a pyramid.

use rayon::prelude::*;

/// Rows of RGB pixels halved: every 2 x 2 pixels as their mean, rounded to nearest (half up). Where
/// the width or the number of rows is odd, the last column or row is the mean of the pixels there are.
pub(crate) fn halve(rows: &[u8], width: usize) -> Vec<u8> {
    let stride = width * 3;
    let out_stride = width.div_ceil(2) * 3;
    let mut out = vec![0; (rows.len() / stride).div_ceil(2) * out_stride];
    out.par_chunks_mut(out_stride).zip(rows.par_chunks(2 * stride)).with_min_len(16).for_each(|(out, pair)| {
        let (upper, lower) = pair.split_at(stride);
        // A row without a partner is its own: the mean stays the same.
        let lower = if lower.is_empty() { upper } else { lower };
        let whole = width / 2 * 6;
        let squares = upper[..whole].chunks_exact(6).zip(lower[..whole].chunks_exact(6));
        for (pixel, (u, l)) in out.chunks_exact_mut(3).zip(squares) {
            for c in 0..3 {
                let sum = u16::from(u[c]) + u16::from(u[c + 3]) + u16::from(l[c]) + u16::from(l[c + 3]);
                pixel[c] = ((sum + 2) / 4) as u8;
            }
        }
        if width % 2 == 1 {
            for c in 0..3 {
                out[out_stride - 3 + c] = (u16::from(upper[whole + c]) + u16::from(lower[whole + c])).div_ceil(2) as u8;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::shrink::mean_of_squares;

    #[test]
    fn as_the_mean_over_squares() {
        for (width, height) in [(1, 1), (2, 1), (1, 2), (7, 5), (8, 6), (101, 99)] {
            let image = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([(x * 91 + y * 57) as u8, (x ^ (y * 3)) as u8, (x * y * 31) as u8])
            });
            let expected = mean_of_squares(&image, 2);
            assert_eq!(halve(image.as_raw(), width as usize), *expected.as_raw(), "{width} x {height}");
        }
    }
}
