//! Tissue masks of real slides. Places were read off the slides' pictures, which are as wide as given.

mod common;

use common::shared;
use rayon::ThreadPoolBuilder;
use scellst_slide::{OpenOptions, RgbImage, Slide, TissueConfig, TissueMask};
use scellst_types::{Level0, MicronsPerPixel, Point};

fn open(name: &str, mpp: f64) -> Option<Slide> {
    let options = OpenOptions { mpp: Some(MicronsPerPixel::square(mpp).unwrap()), ..OpenOptions::default() };
    Some(Slide::open_with(shared()?.join(name), &options).unwrap())
}

/// What a slide's mask has to be.
struct Expected {
    name: &'static str,
    mpp: f64,
    /// Of the slide.
    share: std::ops::Range<f64>,
    glass: [u8; 3],
    /// Of the picture that the places are given in, px.
    width: f64,
    tissue: &'static [(f64, f64)],
    not_tissue: &'static [(f64, f64)],
}

const SLIDES: [Expected; 5] = [
    Expected {
        name: "hest/wsis/C2.tif",
        mpp: 0.686,
        share: 0.165..0.175,
        glass: [242, 239, 238],
        width: 1064.0,
        tissue: &[(700.0, 700.0), (230.0, 715.0), (450.0, 640.0), (840.0, 590.0), (690.0, 925.0)],
        // Glass, a dot of the array, a speck, the smear of eosin at its darkest and far out.
        not_tissue: &[(100.0, 150.0), (60.0, 135.0), (36.0, 316.0), (890.0, 600.0), (950.0, 400.0), (860.0, 850.0)],
    },
    Expected {
        name: "hest/wsis/C3.tif",
        mpp: 0.686,
        share: 0.165..0.176,
        glass: [235, 219, 234],
        width: 1064.0,
        tissue: &[(450.0, 450.0), (250.0, 350.0), (90.0, 350.0), (700.0, 200.0), (740.0, 500.0)],
        // Glass, grey dust out of focus at its middle and rim, the smear twice, lines of oil three times.
        not_tissue: &[
            (100.0, 500.0),
            (250.0, 650.0),
            (230.0, 640.0),
            (800.0, 500.0),
            (640.0, 620.0),
            (780.0, 830.0),
            (700.0, 970.0),
            (765.0, 330.0),
        ],
    },
    Expected {
        name: "hest/wsis/C4.tif",
        mpp: 0.686,
        share: 0.165..0.175,
        glass: [230, 213, 228],
        width: 1064.0,
        tissue: &[(400.0, 600.0), (75.0, 513.0), (550.0, 450.0), (755.0, 575.0), (660.0, 230.0)],
        // The smear at its darkest and beside it, two grey spots, a dot of the array.
        not_tissue: &[(740.0, 620.0), (820.0, 580.0), (695.0, 272.0), (895.0, 768.0), (366.0, 100.0), (600.0, 800.0)],
    },
    Expected {
        name: "hest/wsis/C5.jpg",
        mpp: 0.686,
        share: 0.163..0.173,
        glass: [233, 216, 230],
        width: 1064.0,
        tissue: &[(450.0, 400.0), (60.0, 465.0), (750.0, 500.0), (520.0, 670.0), (230.0, 440.0)],
        // The smear, a red dot, grey specks, the gap beside the frayed edge.
        not_tissue: &[(720.0, 600.0), (740.0, 720.0), (908.0, 330.0), (840.0, 605.0), (850.0, 255.0), (640.0, 650.0)],
    },
    Expected {
        name: "wsi/cmu-1-small-region.svs",
        mpp: 0.499,
        share: 0.39..0.42,
        glass: [245, 243, 243],
        width: 898.0,
        // Dermis, epidermis, the thin strand to the left.
        tissue: &[(400.0, 900.0), (470.0, 820.0), (190.0, 425.0), (250.0, 1150.0)],
        // Glass, loose debris, a ghost of the strand.
        not_tissue: &[(100.0, 800.0), (846.0, 247.0), (60.0, 410.0), (800.0, 1000.0)],
    },
];

#[test]
fn real_slides() {
    for expected in SLIDES {
        let Some(slide) = open(expected.name, expected.mpp) else { return };
        let mask = TissueMask::of_slide(&slide, &TissueConfig::default()).unwrap();
        let share = mask.area_share();
        assert!(expected.share.contains(&share), "{}: {share}", expected.name);
        assert_eq!(mask.glass_colour(), Some(expected.glass), "{}", expected.name);
        let scale = f64::from(slide.size().width) / expected.width;
        let on_tissue = |&(x, y): &(f64, f64)| mask.contains(Point::<Level0>::new(x * scale, y * scale));
        let wrong: Vec<_> = expected.tissue.iter().filter(|p| !on_tissue(p)).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?} are tissue", expected.name);
        let wrong: Vec<_> = expected.not_tissue.iter().filter(|p| on_tissue(p)).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?} are no tissue", expected.name);
    }
}

/// Pictures that are all tissue; the two that are less show a clear-cell tumour and a cleft.
#[test]
fn pictures_without_glass() {
    let Some(root) = shared() else { return };
    let mut shares = Vec::new();
    for entry in std::fs::read_dir(root.join("nuclei/monuseg")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with("DX1.png") {
            let image = image::open(&path).unwrap().into_rgb8();
            let mpp = MicronsPerPixel::square(0.25).unwrap();
            shares.push(TissueMask::from_thumbnail(&image, 1.0, mpp, &TissueConfig::default()).area_share());
        }
    }
    shares.sort_by(f64::total_cmp);
    assert_eq!(shares.len(), 8);
    assert!(shares[0] > 0.85 && shares[2] == 1.0, "{shares:?}");
}

#[test]
fn threads_change_nothing() {
    let Some(slide) = open("hest/wsis/C3.tif", 0.686) else { return };
    let with = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| TissueMask::of_slide(&slide, &TissueConfig::default()).unwrap())
    };
    assert_eq!(with(1), with(5));
}

/// Scanned parts beside parts that were left white, as many scanners write them, do not change what is glass.
#[test]
fn blank_parts_are_no_glass() {
    let picture = |blank: bool| {
        RgbImage::from_fn(400, 300, |x, y| {
            image::Rgb(if (150..250).contains(&x) && (100..200).contains(&y) {
                if (x + y) % 3 == 0 { [110, 70, 140] } else { [200, 140, 180] }
            } else if blank && !(100..300).contains(&x) {
                [255; 3]
            } else {
                [228, 221, 226]
            })
        })
    };
    let mpp = MicronsPerPixel::square(0.5).unwrap();
    let mask = |blank| TissueMask::from_thumbnail(&picture(blank), 24.0, mpp, &TissueConfig::default());
    let (with, without) = (mask(true), mask(false));
    assert_eq!((with.glass_colour(), without.glass_colour()), (Some([228, 221, 226]), Some([228, 221, 226])));
    assert_eq!(with.as_slice(), without.as_slice());
    assert!((with.area_share() - 1.0 / 12.0).abs() < 0.005, "{}", with.area_share());
}

/// Light that falls off to half towards a corner.
#[test]
fn uneven_light() {
    let picture = RgbImage::from_fn(500, 500, |x, y| {
        let light = 1.0 - 0.5 * (f64::from(x * x + y * y) / 500_000.0).sqrt();
        let tissue = (300..400).contains(&x) && (150..350).contains(&y);
        let colour = if !tissue {
            [245.0, 240.0, 243.0]
        } else if (x / 2 + y / 3) % 2 == 0 {
            [120.0, 80.0, 150.0]
        } else {
            [225.0, 160.0, 195.0]
        };
        image::Rgb(colour.map(|v| (v * light) as u8))
    });
    let mpp = MicronsPerPixel::square(0.5).unwrap();
    let mask = TissueMask::from_thumbnail(&picture, 24.0, mpp, &TissueConfig::default());
    assert!((mask.area_share() / 0.08 - 1.0).abs() < 0.05, "{}", mask.area_share());
    assert!(!mask.contains(Point::new(490.0 * 24.0, 490.0 * 24.0)));
}
