/// Otsu's threshold on a histogram: the last bin of the lower class that makes the variance between the two classes
/// greatest (Otsu 1979, doi 10.1109/TSMC.1979.4310076); 0 if there are no two classes.
pub fn otsu(histogram: &[u64]) -> usize {
    let total: f64 = histogram.iter().map(|&n| n as f64).sum();
    let moment: f64 = histogram.iter().enumerate().map(|(i, &n)| i as f64 * n as f64).sum();
    let (mut below, mut below_moment) = (0.0, 0.0);
    let (mut best, mut best_bin) = (0.0, 0);
    for (i, &n) in histogram.iter().enumerate() {
        below += n as f64;
        below_moment += i as f64 * n as f64;
        let above = total - below;
        if below == 0.0 || above == 0.0 {
            continue;
        }
        let gap = below_moment / below - (moment - below_moment) / above;
        let between = below * above * gap * gap;
        if between > best {
            (best, best_bin) = (between, i);
        }
    }
    best_bin
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_two_clusters(low in 5usize..100, gap in 20usize..200, n in 1u64..1000, m in 1u64..1000) {
            let mut histogram = [0u64; 400];
            histogram[low - 1] = n;
            histogram[low] = n;
            histogram[low + gap] = m;
            let cut = otsu(&histogram);
            prop_assert!((low..low + gap).contains(&cut), "{} between {} and {}", cut, low, low + gap);
        }
    }
}
