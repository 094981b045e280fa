//! Intervals, tests and ceilings: against SciPy where it has them, against simulation where the truth is known.

mod common;

use common::{column, floats, mixed, names, normal, same, singles, with_threads};
use ndarray::Array2;
use proptest::prelude::*;
use scellst_metrics::{
    Agreement, BootstrapOptions, CeilingOptions, Criteria, GeneScores, Metric, MetricsError, Noise, NullOptions,
    PairOptions, PairedOptions, Shuffle, Units, benjamini_hochberg, bootstrap, noise_ceiling, paired_test,
    permutation_null, predictable_genes, sign_flip_test, spatial_blocks,
};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("data/golden_pairs.json")).unwrap()
}

/// Two arrays of 120 rows that go together less and less from gene to gene; the last measurement is constant.
fn section() -> (Array2<f32>, Array2<f32>) {
    let m = Array2::from_shape_fn((120, 5), |(r, c)| if c == 4 { 1.0 } else { normal(r, c) });
    let p = Array2::from_shape_fn((120, 5), |(r, c)| m[[r, c]] + (0.3 + c as f32) * normal(r, c + 50));
    (p, m)
}

/// 20,000 draws each: the bounds' error by chance is about 0.002.
#[test]
fn bootstrap_as_scipy() {
    let golden = golden();
    let (p, m) = (column(&singles(&golden["boot_p"])), column(&singles(&golden["boot_m"])));
    let options = BootstrapOptions { replicates: 20_000, level: 0.9, ..BootstrapOptions::default() };
    let found = bootstrap(p.view(), m.view(), &names(1), Metric::Pearson, &[], &options).unwrap().genes[0].unwrap();
    let wanted = floats(&golden["boot"]);
    assert!((found.low - wanted[0]).abs() < 0.01 && (found.high - wanted[1]).abs() < 0.01, "{found:?} {wanted:?}");
    assert_eq!(found.replicates, 20_000);
}

#[test]
fn null_as_scipy() {
    let golden = golden();
    let (p, m) = (column(&singles(&golden["boot_p"])), column(&singles(&golden["boot_m"])));
    let options = NullOptions { replicates: 20_000, ..NullOptions::default() };
    let found = permutation_null(p.view(), m.view(), &names(1), Metric::Pearson, &options).unwrap()[0].unwrap();
    // Exact for any data: the null's variance is 1 / (n - 1).
    assert!((found.sd - (1.0 / 49.0_f64).sqrt()).abs() < 0.003, "{found:?}");
    assert!((found.sd - golden["null_sd"].as_f64().unwrap()).abs() < 0.004);
    assert!((found.upper - golden["null_upper"].as_f64().unwrap()).abs() < 0.01);
    assert_eq!(found.p_value, 1.0 / 20_001.0);
}

/// Scores by sums and by weights are the same draws: what one finds the other must.
#[test]
fn draws_by_sums_are_draws_of_rows() {
    let (p, m) = section();
    let groups: Vec<u32> = (0..120).map(|row| row / 7).collect();
    for units in [Units::Rows, Units::Groups(&groups)] {
        let options = BootstrapOptions { units, replicates: 1, ..BootstrapOptions::default() };
        for metric in [Metric::Pearson, Metric::Mse, Metric::Rmse, Metric::Mae, Metric::R2, Metric::Concordance] {
            let one = bootstrap(p.view(), m.view(), &names(5), metric, &[], &options).unwrap();
            // The weights of this one draw, by asking for the mean squared error of a matrix that shows them.
            let unit = Array2::from_shape_fn((120, 120), |(r, c)| if r == c { 120.0_f32.sqrt() } else { 0.0 });
            let shown =
                bootstrap(unit.view(), Array2::zeros((120, 120)).view(), &names(120), Metric::Mse, &[], &options)
                    .unwrap();
            let drawn: f64 = shown.genes.iter().map(|gene| gene.unwrap().low).sum();
            let weights: Vec<f64> = shown.genes.iter().map(|gene| gene.unwrap().low / drawn * 120.0).collect();
            for gene in 0..5 {
                let side = |a: &Array2<f32>| a.column(gene).to_vec();
                let options = PairOptions { weights: Some(&weights), ..PairOptions::default() };
                let wanted = Agreement::of(&side(&p), &side(&m), &options).unwrap().get(metric);
                // 120f32.sqrt() squared is 120 to 1e-7.
                same(&format!("{metric:?} {gene}"), one.genes[gene].map(|gene| gene.low), wanted, 1e-5);
            }
        }
    }
}

#[test]
fn intervals_hold_their_estimates_and_count_constants() {
    let (p, m) = section();
    for metric in [Metric::Pearson, Metric::Spearman, Metric::Kendall, Metric::Mse, Metric::Auroc] {
        let options = BootstrapOptions { replicates: 200, positive_above: Some(0.0), ..BootstrapOptions::default() };
        let found = bootstrap(p.view(), m.view(), &names(5), metric, &[&[0, 1], &[0, 1, 2, 3, 4]], &options).unwrap();
        for gene in found.genes.iter().flatten() {
            assert!(gene.low < gene.estimate && gene.estimate < gene.high, "{metric:?} {gene:?}");
        }
        assert_eq!(found.genes[4].is_none(), metric != Metric::Mse, "{metric:?}");
        let (two, all) = (found.means[0], found.means[1]);
        assert!(two.mean.unwrap().low < two.summary.mean.unwrap() && two.summary.constant == 0);
        if metric != Metric::Mse {
            assert_eq!((all.summary.defined, all.summary.constant), (4, 1));
            let (plain, zero) = (all.mean.unwrap(), all.mean_with_constant_as_zero.unwrap());
            assert!((plain.low * 0.8 - zero.low).abs() < 1e-12 && (plain.estimate * 0.8 - zero.estimate).abs() < 1e-12);
        }
    }
    let by_row = bootstrap(p.view(), m.view(), &names(5), Metric::Auroc, &[], &BootstrapOptions::default());
    assert!(matches!(by_row, Err(MetricsError::NotComputed { .. })));
}

/// Rows that come in eights of the same: an eighth of the information, intervals near sqrt(8) as wide.
#[test]
fn blocks_give_wider_intervals_where_neighbours_are_alike() {
    let m = Array2::from_shape_fn((400, 1), |(r, _)| normal(r / 8, 0));
    let p = Array2::from_shape_fn((400, 1), |(r, _)| normal(r / 8, 0) + normal(r / 8, 1));
    let groups: Vec<u32> = (0..400).map(|row| row / 8).collect();
    let width = |units| {
        let options = BootstrapOptions { units, replicates: 2000, ..BootstrapOptions::default() };
        let gene = bootstrap(p.view(), m.view(), &names(1), Metric::Pearson, &[], &options).unwrap().genes[0].unwrap();
        gene.high - gene.low
    };
    let ratio = width(Units::Groups(&groups)) / width(Units::Rows);
    assert!((2.3..3.4).contains(&ratio), "{ratio}");
}

#[test]
fn seeds_count_and_threads_do_not() {
    let (p, m) = section();
    let places: Vec<[f64; 2]> = (0..120).map(|row| [(row % 12) as f64, (row / 12) as f64]).collect();
    let run = |seed| {
        let options = BootstrapOptions { replicates: 50, seed, ..BootstrapOptions::default() };
        let intervals = bootstrap(p.view(), m.view(), &names(5), Metric::Spearman, &[&[0]], &options).unwrap();
        let options = NullOptions { replicates: 50, seed, shuffle: Shuffle::Moved(&places) };
        let null = permutation_null(p.view(), m.view(), &names(5), Metric::Spearman, &options).unwrap();
        let options = PairedOptions { replicates: 50, seed, ..PairedOptions::default() };
        let noisy = p.mapv(|v| v * v);
        let paired = paired_test(p.view(), noisy.view(), m.view(), &names(5), Metric::Pearson, &options).unwrap();
        let counts = m.mapv(|v| (v.abs() * 20.0).floor());
        let sizes = [3.0; 5];
        let noise = Noise::NegativeBinomial(&sizes);
        let ceiling =
            noise_ceiling(counts.view(), &CeilingOptions { seed, noise, ..CeilingOptions::default() }).unwrap();
        (intervals, null, paired, ceiling)
    };
    let one = with_threads(1, || run(3));
    assert_eq!(one, with_threads(5, || run(3)));
    let other = run(4);
    assert!(one.0 != other.0 && one.1 != other.1 && one.2 != other.2 && one.3 != other.3);
}

#[test]
fn rates_and_flips_as_scipy() {
    let golden = golden();
    for (found, wanted) in benjamini_hochberg(&floats(&golden["p_values"])).unwrap().iter().zip(floats(&golden["bh"])) {
        assert!((found - wanted).abs() < 1e-15);
    }
    assert!(benjamini_hochberg(&[]).unwrap().is_empty());
    assert!(matches!(benjamini_hochberg(&[0.1, f64::NAN]), Err(MetricsError::PValue { at: 1, .. })));
    assert!(benjamini_hochberg(&[1.5]).is_err());
    let differences = floats(&golden["differences"]);
    let exact = sign_flip_test(&differences, 512, 0).unwrap();
    assert!((exact.p_value - golden["flips"].as_f64().unwrap()).abs() < 1e-12, "{exact:?}");
    let drawn = sign_flip_test(&differences, 511, 0).unwrap();
    assert!((drawn.p_value - exact.p_value).abs() < 0.09 && drawn.p_value != exact.p_value, "{drawn:?} {exact:?}");
    assert_eq!(sign_flip_test(&[0.0, 0.0], 100, 0).unwrap().p_value, 1.0);
    assert!(sign_flip_test(&[], 100, 0).is_err() && sign_flip_test(&[f64::NAN], 100, 0).is_err());
}

#[test]
fn models_that_differ_are_told_from_models_that_do_not() {
    let m = Array2::from_shape_fn((200, 6), |(r, c)| normal(r, c));
    let noisy = |salt: usize, by: f32| Array2::from_shape_fn((200, 6), |(r, c)| m[[r, c]] + by * normal(r, c + salt));
    let (good, as_good, bad) = (noisy(10, 0.5), noisy(20, 0.5), noisy(30, 2.0));
    let run = |a: &Array2<f32>, b: &Array2<f32>, metric| {
        paired_test(a.view(), b.view(), m.view(), &names(6), metric, &PairedOptions::default()).unwrap()
    };
    for metric in [Metric::Pearson, Metric::Spearman, Metric::Mse] {
        let far = run(&good, &bad, metric).mean.unwrap();
        assert!(far.p_value < 0.002, "{metric:?} {far:?}");
        assert!(run(&good, &as_good, metric).mean.unwrap().p_value > 0.05);
        // The other way round the difference turns.
        let back = run(&bad, &good, metric).mean.unwrap();
        assert!((far.difference + back.difference).abs() < 1e-12);
    }
    // Another scale is no difference in correlation, nor is the model itself.
    let scaled = run(&good, &good.mapv(|v| 100.0 * v - 7.0), Metric::Pearson);
    assert!(scaled.mean.unwrap().difference.abs() < 1e-6);
    assert_eq!(run(&good, &good, Metric::Mse).mean.unwrap().p_value, 1.0);
    let flat = run(&good, &Array2::zeros((200, 6)), Metric::Pearson);
    assert_eq!((flat.mean, flat.left_out.len()), (None, 6));
}

/// Under the null a p-value is below 5 % in 5 % of the cases: of 400 genes of noise about 20.
#[test]
fn p_values_of_noise_are_even() {
    let (p, m) = (
        Array2::from_shape_fn((60, 400), |(r, c)| normal(r, c)),
        Array2::from_shape_fn((60, 400), |(r, c)| normal(r, c + 400)),
    );
    let options = NullOptions { replicates: 399, ..NullOptions::default() };
    let found = permutation_null(p.view(), m.view(), &names(400), Metric::Spearman, &options).unwrap();
    let low = found.iter().flatten().filter(|null| null.p_value <= 0.05).count();
    assert!((8..=36).contains(&low), "{low}");
    let all: Vec<f64> = found.iter().flatten().map(|null| null.p_value).collect();
    let mean = all.iter().sum::<f64>() / 400.0;
    assert!((mean - 0.5).abs() < 0.06, "{mean}");
}

/// Two smooth maps that have nothing to do with each other: shuffled spots call them related far too often, a moved
/// slide does not.
#[test]
fn a_moved_slide_keeps_its_patterns() {
    let places: Vec<[f64; 2]> = (0..400).map(|row| [(row % 20) as f64, (row / 20) as f64]).collect();
    let smooth = |salt: usize| {
        Array2::from_shape_fn((400, 40), |(row, gene)| {
            let [x, y] = places[row];
            let wave = |k: usize| f64::from(mixed(gene * 8 + k, salt));
            let angle =
                |k: usize| (wave(k) * 0.5 * x + wave(k + 1) * 0.5 * y + std::f64::consts::TAU * wave(k + 2)).sin();
            (angle(0) + angle(3)) as f32
        })
    };
    let (p, m) = (smooth(1), smooth(2));
    let called = |shuffle| {
        let options = NullOptions { shuffle, replicates: 199, ..NullOptions::default() };
        let found = permutation_null(p.view(), m.view(), &names(40), Metric::Pearson, &options).unwrap();
        found.iter().flatten().filter(|null| null.p_value <= 0.05).count()
    };
    let (rows, moved) = (called(Shuffle::Rows), called(Shuffle::Moved(&places)));
    assert!(rows >= 12 && moved <= 8, "{rows} by rows, {moved} moved");
}

#[test]
fn levels_of_groups_are_part_of_the_null_within_them() {
    let groups: Vec<u32> = (0..100).map(|row| row / 50).collect();
    let step = |salt: usize| Array2::from_shape_fn((100, 1), |(row, _)| 5.0 * (row / 50) as f32 + normal(row, salt));
    let run = |shuffle| {
        let options = NullOptions { shuffle, replicates: 200, ..NullOptions::default() };
        permutation_null(step(1).view(), step(2).view(), &names(1), Metric::Pearson, &options).unwrap()[0].unwrap()
    };
    let (anywhere, within) = (run(Shuffle::Rows), run(Shuffle::Within(&groups)));
    assert!(anywhere.p_value < 0.01 && anywhere.mean.abs() < 0.05);
    assert!(within.mean > 0.7 && within.p_value > 0.02, "{within:?}");
}

/// Counts of known rates: the ceiling is the correlation that the rates themselves reach.
#[test]
fn ceilings_are_what_the_true_rates_reach() {
    use rand::SeedableRng;
    use rand_distr::{Distribution, Gamma, Poisson};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let (rows, genes) = (6000, 6);
    // From faint to plain.
    let rate = |row: usize, gene: usize| [0.3, 1.0, 4.0, 15.0, 60.0, 60.0][gene] * (0.4 * normal(row, gene)).exp();
    let poisson = Array2::from_shape_fn((rows, genes), |(r, c)| Poisson::new(rate(r, c)).unwrap().sample(&mut random));
    let sizes = [2.0_f64; 6];
    let binomial = Array2::from_shape_fn((rows, genes), |(r, c)| {
        let own = Gamma::new(2.0, f64::from(rate(r, c)) / 2.0).unwrap().sample(&mut random);
        Poisson::new(own.max(1e-9)).unwrap().sample(&mut random) as f32
    });
    let truth = Array2::from_shape_fn((rows, genes), |(r, c)| rate(r, c));
    let raw = CeilingOptions { target_sum: None, ..CeilingOptions::default() };
    for (counts, noise) in [(&poisson, Noise::Poisson), (&binomial, Noise::NegativeBinomial(&sizes))] {
        let found = noise_ceiling(counts.view(), &CeilingOptions { noise, ..raw }).unwrap();
        let reached = GeneScores::compute(truth.view(), counts.view(), &names(genes)).unwrap();
        for (gene, (ceiling, reached)) in found.iter().zip(&reached.pearson).enumerate() {
            // Halves correlate up to 1 / sqrt(6000) = 0.013, reliability is about twice that at most.
            let (ceiling, reached) = (ceiling.unwrap(), reached.unwrap());
            let apart = (ceiling.reliability - reached * reached).abs();
            assert!(apart < 0.06, "{noise:?} {gene}: {ceiling:?} beside {reached}");
        }
    }
    // What is chance for the one is there to be predicted for the other.
    let as_poisson = noise_ceiling(binomial.view(), &raw).unwrap()[4].unwrap().pearson;
    assert!(as_poisson > 0.95, "{as_poisson}");
    // After the logarithm, of a gene that is a small part of the spot's counts.
    let totals = vec![5_000.0; rows];
    let logged =
        noise_ceiling(poisson.view(), &CeilingOptions { totals: Some(&totals), ..CeilingOptions::default() }).unwrap();
    let log = |counts: &Array2<f32>| counts.mapv(|v| (v * 2.0).ln_1p());
    let reached = GeneScores::compute(log(&truth).view(), log(&poisson).view(), &names(genes)).unwrap();
    for (gene, (ceiling, reached)) in logged.iter().zip(&reached.pearson).enumerate().skip(2) {
        let (ceiling, reached) = (ceiling.unwrap(), reached.unwrap());
        let apart = (ceiling.reliability - reached * reached).abs();
        assert!(apart < 0.06, "log {gene}: {ceiling:?} beside {reached}");
    }
}

#[test]
fn ceilings_of_what_is_no_count() {
    let mut counts = Array2::from_elem((5, 2), 3.0_f32);
    let run = |counts: &Array2<f32>, options: &CeilingOptions<'_>| noise_ceiling(counts.view(), options);
    // Thinning makes a constant vary, by chance alone.
    assert!(run(&counts, &CeilingOptions::default()).is_ok());
    assert_eq!(run(&Array2::zeros((5, 2)), &CeilingOptions::default()).unwrap(), [None, None]);
    let totals = [6.0, 6.0, 5.0, 6.0, 6.0];
    let low = CeilingOptions { totals: Some(&totals), ..CeilingOptions::default() };
    assert!(matches!(run(&counts, &low), Err(MetricsError::Count { row: 2, column: 2, .. })));
    for bad in [0.5, -1.0, f32::NAN, f32::INFINITY, 1e8] {
        counts[[3, 1]] = bad;
        assert!(matches!(run(&counts, &CeilingOptions::default()), Err(MetricsError::Count { row: 3, column: 1, .. })));
    }
    assert!(matches!(run(&Array2::zeros((2, 2)), &CeilingOptions::default()), Err(MetricsError::TooFew { .. })));
}

#[test]
fn predictable_genes_come_with_their_evidence() {
    let (p, m) = section();
    let intervals =
        bootstrap(p.view(), m.view(), &names(5), Metric::Pearson, &[], &BootstrapOptions::default()).unwrap();
    let nulls = permutation_null(p.view(), m.view(), &names(5), Metric::Pearson, &NullOptions::default()).unwrap();
    let found = predictable_genes(&names(5), &intervals.genes, &nulls, &[], &Criteria::default()).unwrap();
    assert!(found[0].predictable && found[0].q_value.unwrap() < 0.01 && found[0].ceiling.is_none());
    let constant = &found[4];
    assert!(!constant.predictable && constant.correlation.is_none() && constant.q_value.is_none());
    let strict = Criteria { low: 0.999, ..Criteria::default() };
    let none = predictable_genes(&names(5), &intervals.genes, &nulls, &[], &strict).unwrap();
    assert!(none.iter().all(|gene| !gene.predictable));
    assert!(predictable_genes(&names(4), &intervals.genes, &nulls, &[], &strict).is_err());
}

#[test]
fn too_little_to_draw_from() {
    let (p, m) = section();
    let one = vec![7; 120];
    let options = BootstrapOptions { units: Units::Groups(&one), ..BootstrapOptions::default() };
    let found = bootstrap(p.view(), m.view(), &names(5), Metric::Pearson, &[], &options);
    assert_eq!(found.unwrap_err(), MetricsError::TooFewUnits { found: 1 });
    for options in [
        BootstrapOptions { level: 1.0, ..BootstrapOptions::default() },
        BootstrapOptions { level: f64::NAN, ..BootstrapOptions::default() },
        BootstrapOptions { replicates: 0, ..BootstrapOptions::default() },
    ] {
        let found = bootstrap(p.view(), m.view(), &names(5), Metric::Pearson, &[], &options);
        assert!(matches!(found, Err(MetricsError::Setting { .. })));
    }
    let no_gene = bootstrap(p.view(), m.view(), &names(5), Metric::Pearson, &[&[5]], &BootstrapOptions::default());
    assert!(matches!(no_gene, Err(MetricsError::NoSuchGene { found: 5, genes: 5 })));
}

proptest! {
    #[test]
    fn blocks_are_squares(points in prop::collection::vec((-50.0..50.0_f64, -50.0..50.0_f64), 1..60), side in 0.5..30.0_f64) {
        let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [x, y]).collect();
        let blocks = spatial_blocks(&points, side).unwrap();
        prop_assert_eq!(blocks[0], 0);
        for (i, a) in points.iter().enumerate() {
            for (j, b) in points.iter().enumerate().take(i) {
                let apart = (a[0] - b[0]).abs().max((a[1] - b[1]).abs());
                prop_assert!(blocks[i] != blocks[j] || apart <= side * (1.0 + 1e-9));
            }
        }
    }
}
