//! Sections as a whole: the same bits on any number of threads, counts that add up, a slide that says its resolution.

use scellst_sim::{GeneRole, SimConfig, SimError, SyntheticSection};
use scellst_slide::{MppSource, Slide};
use scellst_types::{LevelIndex, Size};

fn small(seed: u64) -> SimConfig {
    SimConfig { seed, size_um: (500.0, 420.0), ..SimConfig::default() }
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let make = || {
        let section = SyntheticSection::generate(&small(3)).unwrap();
        let picture = section.render(0, 0, section.size()).unwrap();
        (section, picture)
    };
    let (one, picture_one) = on_threads(1, make);
    let (three, picture_three) = on_threads(3, make);
    assert!(one.cells().len() > 100);
    assert_eq!(one.cells(), three.cells());
    assert_eq!(one.expected(), three.expected());
    assert_eq!(one.cell_counts(), three.cell_counts());
    assert_eq!(one.spot_counts(), three.spot_counts());
    assert!(picture_one == picture_three);
    // Another seed is another section.
    let other = SyntheticSection::generate(&small(4)).unwrap();
    assert_ne!(one.cells().centroids(), other.cells().centroids());
    assert_eq!(one.programme().genes(), other.programme().genes());
    // The programme is shared: the same nucleus is expected to express the same.
    assert_eq!(one.programme().expected(&other.nuclei()[0]), other.programme().expected(&other.nuclei()[0]));
}

#[test]
fn a_part_of_the_picture_is_the_part_of_the_whole() {
    let section = SyntheticSection::generate(&small(3)).unwrap();
    let whole = section.render(0, 0, section.size()).unwrap();
    let part = section.render(301, 277, Size::new(190, 111)).unwrap();
    for (x, y, pixel) in part.enumerate_pixels() {
        assert_eq!(pixel, whole.get_pixel(301 + x, 277 + y), "{x} {y}");
    }
}

#[test]
fn spots_hold_the_sums_of_their_cells() {
    let section = SyntheticSection::generate(&small(5)).unwrap();
    let cells = section.cell_counts().counts().to_dense().unwrap();
    let spots = section.spot_counts().counts().to_dense().unwrap();
    let radius = section.spots().diameter_um() / 2.0;
    let mpp = section.mpp();
    assert!(section.spots().len() >= 8);
    let mut inside = 0;
    for (s, &centre) in section.spots().centres().iter().enumerate() {
        let centre = mpp.to_micron(centre);
        let mut sum = ndarray::Array1::<f32>::zeros(cells.ncols());
        let mut members = Vec::new();
        for (c, nucleus) in section.nuclei().iter().enumerate() {
            if nucleus.centre.distance(centre) <= radius {
                sum += &cells.row(c);
                members.push(c as u32);
            }
        }
        assert_eq!(sum, spots.row(s), "spot {s}");
        assert_eq!(members, section.spot_cells()[s]);
        inside += members.len();
    }
    assert!(inside > 20);
    assert!(spots.iter().chain(&cells).all(|v| v.fract() == 0.0 && *v >= 0.0));
    // Discs do not overlap.
    let all = section.spots().centres();
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            assert!(mpp.to_micron(*a).distance(mpp.to_micron(*b)) > 99.9);
        }
    }
}

#[test]
fn types_look_and_express_as_configured() {
    let config = SimConfig { size_um: (1200.0, 1200.0), ..SimConfig::default() };
    let section = SyntheticSection::generate(&config).unwrap();
    for (t, looks) in config.types.iter().enumerate() {
        let areas: Vec<f64> = section.nuclei().iter().filter(|n| n.cell_type == t).map(|n| n.area_um2).collect();
        assert!(areas.len() > 150, "{}: {}", looks.name, areas.len());
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        // Small nuclei find room more easily; three standard errors besides.
        let slack = 0.03 + 3.0 * looks.area_sd / (areas.len() as f64).sqrt();
        assert!((mean / looks.area_um2 - 1.0).abs() < slack, "{}: {mean}", looks.name);
    }
    let counts = section.cell_counts().counts().to_dense().unwrap();
    let mean_of = |g: usize, keep: &dyn Fn(usize) -> bool| {
        let rows: Vec<f32> = (0..counts.nrows()).filter(|&c| keep(c)).map(|c| counts[[c, g]]).collect();
        f64::from(rows.iter().sum::<f32>()) / rows.len() as f64
    };
    let (mut with_size, mut genes_of_size) = (0, 0);
    for (g, gene) in section.programme().genes().iter().enumerate() {
        let nuclei = section.nuclei();
        let of = |t: usize| move |c: usize| nuclei[c].cell_type == t;
        match gene.role {
            GeneRole::Marker(t) => {
                for other in (0..4).filter(|&o| o != t) {
                    let fold = mean_of(g, &of(t)) / mean_of(g, &of(other)).max(1e-3);
                    assert!(fold > 1.7, "{} {fold}", gene.name);
                }
            }
            // Within one type too.
            GeneRole::Size => {
                let large = mean_of(g, &|c| of(0)(c) && section.nuclei()[c].area_um2 > 80.0);
                let little = mean_of(g, &|c| of(0)(c) && section.nuclei()[c].area_um2 < 55.0);
                genes_of_size += 1;
                with_size += usize::from(!(0.8..1.25).contains(&(large / little)));
            }
            _ => {}
        }
    }
    assert!(with_size >= genes_of_size * 3 / 4, "{with_size} of {genes_of_size}");
    let library: f64 = section.cell_counts().counts_per_observation().iter().sum::<f64>() / counts.nrows() as f64;
    assert!((library / config.counts.library - 1.0).abs() < 0.25, "{library}");
}

#[test]
fn expected_expression_is_the_mean_of_the_counts() {
    // One type without variation of looks: then all cells have the same expectation.
    let mut config = SimConfig { size_um: (800.0, 800.0), ..SimConfig::default() };
    config.types.truncate(1);
    config.types[0].area_sd = 0.0;
    config.types[0].haematoxylin_sd = 0.0;
    config.regions.truncate(1);
    config.regions[0].mixture = vec![1.0];
    config.regions[0].cells_per_mm2 = 2500.0;
    let section = SyntheticSection::generate(&config).unwrap();
    let n = section.cells().len() as f64;
    assert!(n > 600.0);
    let means: Vec<f64> = section.cell_counts().counts_per_gene().iter().map(|sum| sum / n).collect();
    let mut z = Vec::new();
    for (g, gene) in section.programme().genes().iter().enumerate() {
        let expected = f64::from(section.expected()[[0, g]]);
        // Variance of a Poisson-gamma-log-normal product, with the factors' own variances.
        let log_sd: f64 = if gene.role == GeneRole::Uninformative { 0.8 } else { config.counts.hidden_sd };
        let factors = (log_sd.powi(2) + config.counts.library_sd.powi(2)).exp() * (1.0 + 1.0 / 4.0) - 1.0;
        let sd = ((expected + expected * expected * factors) / n).sqrt();
        z.push((means[g] - expected) / sd);
    }
    // Normal draws are cut off at 2.5 standard deviations, so the mean is off by up to 3 % where they are widest.
    assert!(z.iter().all(|z| z.abs() < 4.5), "{z:?}");
    let mean = z.iter().sum::<f64>() / z.len() as f64;
    assert!(mean.abs() < 1.0, "{mean}");
}

#[test]
fn nuclei_are_dark_where_they_should_be_and_the_rim_is_glass() {
    let config = small(6);
    let section = SyntheticSection::generate(&config).unwrap();
    let picture = section.render(0, 0, section.size()).unwrap();
    let corner = picture.get_pixel(2, 2).0;
    for (found, glass) in corner.iter().zip(config.picture.glass) {
        assert!(found.abs_diff(glass) <= 10, "{corner:?}");
    }
    let red = |p: scellst_types::Point<scellst_types::Level0>| picture.get_pixel(p.x as u32, p.y as u32).0[0];
    let dark = section.cells().centroids().iter().filter(|p| red(**p) < 170).count();
    assert!(dark as f64 > 0.97 * section.cells().len() as f64, "{dark} of {}", section.cells().len());
}

#[test]
fn the_slide_says_its_resolution_and_holds_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { mpp: 0.65, ..small(7) };
    let mut config = config;
    config.picture.jpeg_quality = None;
    let section = SyntheticSection::generate(&config).unwrap();
    let written = section.write(folder.path().join("new/folder")).unwrap();
    let slide = Slide::open(&written.slide).unwrap();
    assert_eq!(slide.size(), section.size());
    let mpp = slide.mpp().unwrap();
    assert!((mpp.value.x() - 0.65).abs() < 1e-4 && (mpp.value.y() - 0.65).abs() < 1e-4, "{}", mpp.value);
    assert_eq!(mpp.source, MppSource::ResolutionTags);
    let region = slide.level(LevelIndex(0)).unwrap().region(0, 0, slide.size());
    assert!(slide.read(&region).unwrap() == section.render(0, 0, section.size()).unwrap());

    let text = std::fs::read_to_string(&written.config).unwrap();
    let back: SimConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(back, config);
    // Nothing else is left behind.
    assert_eq!(std::fs::read_dir(folder.path().join("new/folder")).unwrap().count(), 2);
}

#[test]
fn a_folder_that_cannot_be_made_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "a file").unwrap();
    let section = SyntheticSection::generate(&small(8)).unwrap();
    let error = section.write(&file).unwrap_err();
    assert!(matches!(error, SimError::Io { .. }), "{error}");
    assert!(error.to_string().contains("taken"), "{error}");
}

#[test]
fn a_section_without_cells_is_still_a_section() {
    let mut config = small(9);
    config.regions.truncate(1);
    config.regions[0].cells_per_mm2 = 0.0;
    let section = SyntheticSection::generate(&config).unwrap();
    assert!(section.cells().is_empty());
    assert!(section.spot_counts().counts_per_observation().iter().all(|&n| n == 0.0));
    assert_eq!(section.render(0, 0, Size::new(0, 5)).unwrap().dimensions(), (0, 5));
    assert!(section.render(u32::MAX - 4, 0, Size::new(4, 4)).is_ok());
}
