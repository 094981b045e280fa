//! Shrinking by whole numbers, pixels to their mean.

use image::RgbImage;

use crate::{Level, LevelRegion, Slide, SlideError};

/// A tile of [`Level::tiles`], shrunk by a power of two: by its codec where that is quicker, else by
/// the mean of squares.
pub(crate) fn shrunk_tile(
    slide: &Slide,
    level: &Level<'_>,
    tile: &LevelRegion,
    factor: u32,
) -> Result<RgbImage, SlideError> {
    debug_assert!(factor.is_power_of_two());
    let piece = level.info.piece;
    // A region may hold many pieces (strips), or the clipped part of one; the codec shrinks whole ones.
    if factor > 1 && tile.size() == piece {
        let row = tile.y() as u64 / u64::from(piece.height) * u64::from(level.info.across());
        let index = row + tile.x() as u64 / u64::from(piece.width);
        if let Some(small) = slide.reader().reduced(level.index().get(), index, factor.ilog2()) {
            return small;
        }
    }
    Ok(mean_of_squares(&slide.read_uncached(tile)?, factor))
}

/// Every square of `factor` x `factor` pixels as its mean, rounded to nearest; squares at the right
/// and lower edge may be cut.
pub(crate) fn mean_of_squares(image: &RgbImage, factor: u32) -> RgbImage {
    match factor {
        1 => image.clone(),
        2 => by::<2>(image, factor),
        4 => by::<4>(image, factor),
        8 => by::<8>(image, factor),
        16 => by::<16>(image, factor),
        // 0: not known at compile time.
        _ => by::<0>(image, factor),
    }
}

/// `N`, if not 0, is the factor.
fn by<const N: usize>(image: &RgbImage, factor: u32) -> RgbImage {
    let side = if N > 0 { N } else { factor as usize };
    let (width, height) = (image.width().div_ceil(factor), image.height().div_ceil(factor));
    let mut out = RgbImage::new(width, height);
    let stride = image.width() as usize * 3;
    // First down the columns, which goes along memory and in wide registers, then along the rows.
    let mut columns = vec![0_u32; stride];
    for (rows, line) in image.as_raw().chunks(stride * side).zip(out.chunks_exact_mut(width as usize * 3)) {
        columns.fill(0);
        for row in rows.chunks_exact(stride) {
            for (sum, &value) in columns.iter_mut().zip(row) {
                *sum += u32::from(value);
            }
        }
        let count = (rows.len() / stride) as u32;
        let squares = columns.chunks_exact(side * 3);
        let cut = squares.remainder();
        let n = count * side as u32;
        let (whole, rest) = line.split_at_mut(squares.len() * 3);
        if N > 0 && count as usize == N {
            // Dividing by a number known at compile time is a shift.
            for (square, pixel) in squares.zip(whole.chunks_exact_mut(3)) {
                mean(square, pixel, (N * N) as u32);
            }
        } else {
            for (square, pixel) in squares.zip(whole.chunks_exact_mut(3)) {
                mean(square, pixel, n);
            }
        }
        if !cut.is_empty() {
            mean(cut, rest, count * (cut.len() / 3) as u32);
        }
    }
    out
}

#[inline(always)]
fn mean(columns: &[u32], pixel: &mut [u8], n: u32) {
    let mut sums = [n / 2; 3];
    for column in columns.chunks_exact(3) {
        for (sum, value) in sums.iter_mut().zip(column) {
            *sum += value;
        }
    }
    for (value, sum) in pixel.iter_mut().zip(sums) {
        *value = (sum / n) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_of_whole_and_cut_squares() {
        let image = RgbImage::from_fn(3, 3, |x, y| image::Rgb([(x * 10 + y) as u8, 255, 0]));
        let small = mean_of_squares(&image, 2);
        assert_eq!(small.dimensions(), (2, 2));
        assert_eq!(small.get_pixel(0, 0).0, [6, 255, 0]); // (0 + 10 + 1 + 11) / 4 = 5.5
        assert_eq!(small.get_pixel(1, 0).0, [21, 255, 0]); // (20 + 21) / 2
        assert_eq!(small.get_pixel(1, 1).0, [22, 255, 0]);
    }

    /// Against the definition, for factors that have code of their own and others.
    #[test]
    fn every_factor_gives_the_mean() {
        for (w, h) in [(1, 1), (5, 37), (64, 48), (71, 33), (300, 2)] {
            let image = RgbImage::from_fn(w, h, |x, y| image::Rgb([(x * 7 + y) as u8, (x * y) as u8, (y * 31) as u8]));
            for factor in [1, 2, 3, 4, 5, 8, 16, 24, 32, 64, 1024] {
                let small = mean_of_squares(&image, factor);
                assert_eq!(small.dimensions(), (w.div_ceil(factor), h.div_ceil(factor)));
                for (i, j, found) in small.enumerate_pixels() {
                    let (mut sum, mut n) = ([0_u32; 3], 0);
                    for y in j * factor..(j * factor + factor).min(h) {
                        for x in i * factor..(i * factor + factor).min(w) {
                            let pixel = image.get_pixel(x, y).0;
                            sum = [0, 1, 2].map(|c| sum[c] + u32::from(pixel[c]));
                            n += 1;
                        }
                    }
                    assert_eq!(found.0, sum.map(|s| ((s + n / 2) / n) as u8), "{w} x {h} by {factor} at {i}, {j}");
                }
            }
        }
    }
}
