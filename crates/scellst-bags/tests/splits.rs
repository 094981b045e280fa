//! Splits by plan, and what leaks from them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use scellst_bags::{
    Bags, BagsError, EncoderTraining, Held, Leak, LeakageOptions, LeakageReport, Reach, SectionBags, Split, SplitBy,
    SplitFile, SplitPlan, Verdict, check_leakage,
};
use scellst_types::{Point, SectionId};

/// A section of `side` x `side` spots at a pitch of 100 um, discs of 55.
fn section(name: &str, patient: &str, side: u32) -> SectionBags {
    SectionBags {
        id: SectionId(name.into()),
        patient: Some(patient.into()),
        slide_sha256: Some(format!("{name}00ff")),
        spot_radius_um: 27.5,
        spots: (0..side * side).collect(),
        centres: (0..side * side)
            .map(|i| Point::new(100.0 * f64::from(i % side) - 5e3, 100.0 * f64::from(i / side)))
            .collect(),
    }
}

fn cohort() -> Vec<SectionBags> {
    vec![
        section("A1", "A", 6),
        section("A2", "a ", 5),
        section("B1", "B", 7),
        section("C1", "C", 4),
        section("C2", "C", 3),
    ]
}

fn plan(by: SplitBy, held: Held, seed: u64) -> SplitPlan {
    SplitPlan { by, held, seed }
}

const BLOCK: SplitBy = SplitBy::Block { side_um: 200.0, gap_um: 110.0 };

/// Section and place of every bag.
fn places(sections: &[SectionBags]) -> Vec<(usize, f64, f64)> {
    sections.iter().enumerate().flat_map(|(s, section)| section.centres.iter().map(move |c| (s, c.x, c.y))).collect()
}

/// What must hold of all splits of a plan.
fn check_splits(sections: &[SectionBags], plan: &SplitPlan, splits: &[Split]) {
    let places = places(sections);
    let n = places.len();
    let mut held = Vec::new();
    for split in splits {
        split.check(n).unwrap();
        assert!(!split.train.is_empty() && !split.validation.is_empty());
        assert_eq!(split.train.len() + split.validation.len() + split.dropped.len(), n, "every bag is somewhere");
        held.extend_from_slice(&split.validation);
        let group = |bag: usize| match plan.by {
            SplitBy::Random | SplitBy::Block { .. } => bag.to_string(),
            SplitBy::Section => sections[places[bag].0].id.0.clone(),
            SplitBy::Patient => sections[places[bag].0].patient.clone().unwrap().trim().to_lowercase(),
        };
        let of = |bags: &[usize]| -> BTreeSet<String> { bags.iter().map(|&bag| group(bag)).collect() };
        assert!(of(&split.train).is_disjoint(&of(&split.validation)));
        let gap = match plan.by {
            SplitBy::Block { gap_um, .. } => gap_um,
            _ => 0.0,
        };
        let near = |bag: usize| {
            let (s, x, y) = places[bag];
            split.validation.iter().any(|&t| places[t].0 == s && (places[t].1 - x).hypot(places[t].2 - y) <= gap)
        };
        assert!(split.train.iter().all(|&bag| gap == 0.0 || !near(bag)));
        assert!(split.dropped.iter().all(|&bag| near(bag)), "only what lies in the gap is dropped");
    }
    if let Held::Folds(folds) = plan.held {
        assert_eq!(splits.len(), folds);
        held.sort_unstable();
        assert_eq!(held, (0..n).collect::<Vec<_>>(), "each bag is held out once");
    }
}

#[test]
fn every_plan_splits_as_it_says() {
    let sections = cohort();
    for by in [SplitBy::Random, SplitBy::Section, SplitBy::Patient, BLOCK] {
        for held in [Held::Folds(2), Held::Folds(3), Held::Share(0.3)] {
            for seed in 0..5 {
                let plan = plan(by, held, seed);
                let splits = plan.split(&sections).unwrap();
                check_splits(&sections, &plan, &splits);
                assert_eq!(splits, plan.split(&sections).unwrap());
            }
        }
    }
    // Random folds differ by one bag at most; a share takes what fits.
    let n = 36 + 25 + 49 + 16 + 9;
    let sizes: Vec<usize> =
        plan(SplitBy::Random, Held::Folds(4), 3).split(&sections).unwrap().iter().map(|s| s.validation.len()).collect();
    assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max(), sizes.iter().min()), (n, Some(&34), Some(&33)));
    assert_eq!(plan(SplitBy::Random, Held::Share(0.2), 0).split(&sections).unwrap()[0].validation.len(), n / 5);
    // Leaving each section out once.
    assert_eq!(plan(SplitBy::Section, Held::Folds(5), 0).split(&sections).unwrap().len(), 5);
    // Seeds matter where there is a choice.
    let of = |seed| plan(BLOCK, Held::Share(0.2), seed).split(&sections).unwrap();
    assert_ne!(of(1), of(2));
}

/// Written down once: the split of a seed must not change between releases.
#[test]
fn a_seed_splits_as_it_always_did() {
    let sections = [section("A", "A", 4)];
    let held = |by| plan(by, Held::Share(0.25), 7).split(&sections).unwrap().remove(0).validation;
    assert_eq!(held(SplitBy::Random), GOLDEN_RANDOM);
    assert_eq!(held(SplitBy::Block { side_um: 200.0, gap_um: 0.0 }), GOLDEN_BLOCK);
}

const GOLDEN_RANDOM: [usize; 4] = [4, 8, 10, 12];
const GOLDEN_BLOCK: [usize; 4] = [8, 9, 12, 13];

#[test]
fn what_cannot_be_split_is_refused() {
    let sections = cohort();
    let setting = |by, held| matches!(plan(by, held, 0).split(&sections), Err(BagsError::Setting { .. }));
    for share in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(setting(SplitBy::Random, Held::Share(share)));
    }
    assert!(setting(SplitBy::Patient, Held::Folds(4)) && setting(SplitBy::Section, Held::Folds(6)));
    assert!(setting(SplitBy::Random, Held::Folds(1)) && setting(SplitBy::Random, Held::Folds(0)));
    for (side_um, gap_um) in
        [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0), (200.0, -1.0), (200.0, f64::NAN)]
    {
        assert!(setting(SplitBy::Block { side_um, gap_um }, Held::Folds(2)));
    }
    // A gap that leaves nothing to train on says so.
    let text = plan(SplitBy::Block { side_um: 200.0, gap_um: 1e5 }, Held::Folds(2), 0)
        .split(&sections)
        .unwrap_err()
        .to_string();
    assert!(text.contains("smaller gap"), "{text}");
    let mut unknown = cohort();
    unknown[2].patient = None;
    let text = plan(SplitBy::Patient, Held::Folds(2), 0).split(&unknown).unwrap_err().to_string();
    assert!(text.contains("section B1 names no patient"), "{text}");
    assert!(plan(SplitBy::Section, Held::Folds(2), 0).split(&unknown).is_ok());
    let twice = [section("A", "A", 2), section("A", "B", 2)];
    assert!(
        plan(SplitBy::Random, Held::Folds(2), 0).split(&twice).unwrap_err().to_string().contains("A is there twice")
    );
    assert_eq!(plan(SplitBy::Random, Held::Share(0.5), 0).split(&[]).unwrap_err(), BagsError::Empty { what: "bags" });
    let mut lost = cohort();
    lost[1].centres[3].x = f64::NAN;
    assert!(matches!(plan(BLOCK, Held::Folds(2), 0).split(&lost), Err(BagsError::NotFinite { index: 3, .. })));
}

#[test]
fn a_split_is_written_and_read_back() {
    let sections = cohort();
    let plan = plan(BLOCK, Held::Folds(3), 5);
    let file = SplitFile::new(Some(plan), &sections, plan.split(&sections).unwrap()).unwrap();
    let text = serde_json::to_string(&file).unwrap();
    assert!(text.contains(r#""by":{"block":{"side_um":200.0,"gap_um":110.0}},"held":{"folds":3},"seed":5"#), "{text}");
    let back: SplitFile = serde_json::from_str(&text).unwrap();
    assert_eq!(back, file);
    back.check(&sections).unwrap();
    let differs = |change: &dyn Fn(&mut Vec<SectionBags>), part: &str| {
        let mut other = cohort();
        change(&mut other);
        let text = back.check(&other).unwrap_err().to_string();
        assert!(text.contains(part), "'{text}' does not say '{part}'");
    };
    differs(&|s| drop(s.pop()), "5 sections, expected 4");
    differs(&|s| s.swap(0, 1), "section A1 where A2 is");
    differs(&|s| s[3].spots[2] = 77, "section C1 has other bags (16)");
    let broken = |from: &str, to: &str| {
        let text = text.replacen(from, to, 1);
        serde_json::from_str::<SplitFile>(&text)
            .map_err(|e| e.to_string())
            .and_then(|f| f.check(&sections).map_err(|e| e.to_string()))
    };
    assert!(broken(r#""version":1"#, r#""version":2"#).unwrap_err().contains("version 2"));
    assert!(broken(r#""train":["#, r#""train":[1000,"#).is_err());
    assert!(broken(r#""seed":5"#, r#""seeds":5"#).is_err());
    // What older programs wrote.
    let old: Split = serde_json::from_str(r#"{"train":[0,2],"validation":[1]}"#).unwrap();
    assert_eq!(old, Split::new(vec![2, 0], vec![1]).unwrap());
    assert!(Split::new(vec![1], vec![1]).is_err() && Split::new(vec![1, 1], vec![]).is_err());
}

fn options(reach: Reach) -> LeakageOptions {
    LeakageOptions { reach, patients_apart: true, encoder: Some(EncoderTraining::default()) }
}

fn verdicts(report: &LeakageReport) -> Vec<Verdict> {
    [Leak::Neighbour, Leak::Patient, Leak::Encoder, Leak::Slide].map(|leak| report.verdict(leak).unwrap()).to_vec()
}

#[test]
fn a_split_by_patient_is_clean_and_one_by_section_is_not() {
    use Verdict::{Clean, Leaks, NotAsked};
    let sections = cohort();
    let options = options(Reach::CellContext(500.0));
    for split in plan(SplitBy::Patient, Held::Folds(3), 0).split(&sections).unwrap() {
        let report = check_leakage(&sections, &split, &options).unwrap();
        assert_eq!(verdicts(&report), [Clean; 4], "{report}");
        assert_eq!((report.nearest_um, report.require_clean()), (None, Ok(())));
    }
    // A2 alone, written with another case and a blank: patient A on both sides.
    let split = Split::new((0..36).chain(61..135).collect(), (36..61).collect()).unwrap();
    let report = check_leakage(&sections, &split, &options).unwrap();
    assert_eq!(verdicts(&report), [Clean, Leaks, Clean, Clean]);
    let text = report.require_clean().unwrap_err().to_string();
    assert!(text.contains("patient a: section A1 trains, section A2 tests"), "{text}");
    let asked = LeakageOptions { patients_apart: false, ..options.clone() };
    let report = check_leakage(&sections, &split, &asked).unwrap();
    assert_eq!((report.verdict(Leak::Patient), report.require_clean()), (Some(NotAsked), Ok(())));
    let mut unknown = cohort();
    unknown[2].patient = None;
    let report = check_leakage(&unknown, &split, &options).unwrap();
    assert!(report.require_clean().unwrap_err().to_string().contains("section B1 names no patient"));
}

#[test]
fn a_gap_as_wide_as_the_reach_is_clean_and_a_narrower_one_is_not() {
    let sections = [section("A", "A", 20)];
    let reach = Reach::SpotContext(110.0);
    assert_eq!((reach.um(27.5), Reach::Spot.um(27.5), Reach::CellContext(10.0).um(27.5)), (137.5, 55.0, 65.0));
    assert_eq!(Reach::SpotContext(5.0).um(27.5), 55.0);
    let options = LeakageOptions { patients_apart: false, ..options(reach) };
    let of = |gap_um| {
        let plan = plan(SplitBy::Block { side_um: 500.0, gap_um }, Held::Share(0.25), 3);
        check_leakage(&sections, &plan.split(&sections).unwrap()[0], &options).unwrap()
    };
    let clean = of(reach.um(27.5));
    assert_eq!(clean.verdict(Leak::Neighbour), Some(Verdict::Clean));
    // Neighbours at 100 and the diagonals at 141.4: the first are dropped.
    assert!((clean.nearest_um.unwrap() - 141.421).abs() < 1e-3 && clean.require_clean().is_ok());
    let leaks = of(0.0);
    assert_eq!((leaks.verdict(Leak::Neighbour), leaks.nearest_um), (Some(Verdict::Leaks), Some(100.0)));
    let finding = &leaks.findings[0];
    assert!(finding.cases > 10 && finding.evidence.len() == 10, "{leaks}");
    assert!(finding.evidence[0].contains("within the reach of 137.5 um"), "{leaks}");
    // It survives the bundle.
    let text = serde_json::to_string(&leaks).unwrap();
    assert_eq!(serde_json::from_str::<LeakageReport>(&text).unwrap(), leaks);
    assert!(leaks.to_string().contains("NO") && clean.to_string().contains("yes"));
}

#[test]
fn encoders_and_slides_that_have_seen_the_test_are_found() {
    let mut sections = cohort();
    let split = Split::new((0..110).collect(), (110..135).collect()).unwrap();
    let with = |sections: &[SectionBags], encoder: Option<EncoderTraining>| {
        check_leakage(sections, &split, &LeakageOptions { encoder, ..options(Reach::Spot) }).unwrap()
    };
    let seen = |sections: &[&str], hashes: &[&str], patients: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Some(EncoderTraining { sections: list(sections), slides_sha256: list(hashes), patients: list(patients) })
    };
    let encoder = |sections: &[SectionBags], e| with(sections, e).verdict(Leak::Encoder).unwrap();
    assert_eq!(encoder(&sections, None), Verdict::Unknown);
    assert!(with(&sections, None).require_clean().is_ok());
    // Training sections are fair.
    assert_eq!(encoder(&sections, seen(&["A1", "B1"], &["A100ff"], &["B"])), Verdict::Clean);
    assert_eq!(encoder(&sections, seen(&["A1", "c2"], &[], &[])), Verdict::Leaks);
    assert_eq!(encoder(&sections, seen(&[], &["C100FF"], &[])), Verdict::Leaks);
    assert_eq!(encoder(&sections, seen(&[], &[], &["C"])), Verdict::Leaks);
    let report = with(&sections, seen(&["C1", "C2"], &[], &[]));
    assert_eq!(report.findings[2].cases, 2);
    assert!(report.require_clean().unwrap_err().to_string().contains("test section C1"));

    // One slide under two names, on both sides.
    assert_eq!(with(&sections, seen(&[], &[], &[])).verdict(Leak::Slide), Some(Verdict::Clean));
    sections[4].slide_sha256 = Some("A100FF".into());
    let report = with(&sections, seen(&[], &[], &[]));
    assert_eq!(report.verdict(Leak::Slide), Some(Verdict::Leaks));
    assert!(report.to_string().contains("sections A1 and C2 are one slide"), "{report}");
    // Both test: no leak.
    sections[4].slide_sha256 = sections[3].slide_sha256.clone();
    assert_eq!(with(&sections, seen(&[], &[], &[])).verdict(Leak::Slide), Some(Verdict::Clean));
    sections[4].slide_sha256 = None;
    assert_eq!(with(&sections, seen(&[], &[], &[])).verdict(Leak::Slide), Some(Verdict::Unknown));
    assert_eq!(encoder(&sections, seen(&[], &["x"], &[])), Verdict::Unknown);
}

#[test]
fn what_is_no_split_of_these_bags_is_refused() {
    let sections = [section("A", "A", 2)];
    let split = Split::new(vec![0, 1], vec![2, 4]).unwrap();
    let text = check_leakage(&sections, &split, &options(Reach::Spot)).unwrap_err().to_string();
    assert!(text.contains("validation names bag 4, but there are 4"), "{text}");
    let split = Split::new(vec![0, 1], vec![2, 3]).unwrap();
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        for reach in [Reach::SpotContext(bad), Reach::CellContext(bad)] {
            assert!(matches!(check_leakage(&sections, &split, &options(reach)), Err(BagsError::Setting { .. })));
        }
    }
    let bags = Bags::new(vec![0, 1, 2], vec![0, 1], vec![1, 3]).unwrap();
    let of = SectionBags::new(SectionId("A".into()), &bags, &sections[0].centres, 27.5).unwrap();
    assert_eq!((of.spots.clone(), of.centres[1]), (vec![1, 3], sections[0].centres[3]));
    assert!(SectionBags::new(SectionId("A".into()), &bags, &of.centres, 27.5).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn neighbours_are_found_as_by_looking_at_every_pair(
        places in prop::collection::vec((0..30_i32, 0..30_i32, 0..3_usize), 2..60),
        sides in prop::collection::vec(0..3_u8, 60),
        context in 0.0..20.0f64,
    ) {
        let sections: Vec<SectionBags> = (0..3).map(|s| {
            let centres: Vec<_> = places.iter().filter(|p| p.2 == s).map(|p| Point::new(p.0.into(), p.1.into())).collect();
            SectionBags { spots: (0..centres.len() as u32).collect(), centres, spot_radius_um: 1.0, ..section(&s.to_string(), "x", 1) }
        }).collect();
        let all = self::places(&sections);
        let of = |side| (0..all.len()).filter(|&bag| sides[bag] == side).collect::<Vec<_>>();
        let split = Split::new(of(0), of(1)).unwrap();
        let reach = Reach::SpotContext(context);
        let asked = LeakageOptions { patients_apart: false, ..options(reach) };
        let report = check_leakage(&sections, &split, &asked).unwrap();
        let distance = |a: usize, b: usize| (all[a].0 == all[b].0).then(|| (all[a].1 - all[b].1).hypot(all[a].2 - all[b].2));
        let nearest = |test: &usize| split.train.iter().filter_map(|&train| distance(*test, train)).min_by(f64::total_cmp);
        let cases = split.validation.iter().filter_map(nearest).filter(|&d| d <= reach.um(1.0)).count();
        prop_assert_eq!(report.findings[0].cases, cases);
        let least = split.validation.iter().filter_map(nearest).min_by(f64::total_cmp);
        prop_assert_eq!(report.nearest_um.map(|d| (d * 1e6).round()), least.map(|d| (d * 1e6).round()));
    }

    #[test]
    fn plans_hold_for_any_cohort(
        sizes in prop::collection::vec(1..7_u32, 2..6),
        by in prop_oneof![Just(SplitBy::Random), Just(SplitBy::Section), Just(SplitBy::Patient), Just(BLOCK)],
        held in prop_oneof![(2..4_usize).prop_map(Held::Folds), (0.05..0.9f64).prop_map(Held::Share)],
        seed in any::<u64>(),
    ) {
        let sections: Vec<_> = (0..).zip(&sizes).map(|(i, &n)| section(&format!("S{i}"), &format!("P{}", i / 2), n)).collect();
        let plan = plan(by, held, seed);
        match plan.split(&sections) {
            Ok(splits) => check_splits(&sections, &plan, &splits),
            Err(error) => {
                let refused = matches!(error, BagsError::Setting { .. });
                prop_assert!(refused);
            }
        }
    }
}
