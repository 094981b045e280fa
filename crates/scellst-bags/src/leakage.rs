use std::collections::BTreeMap;
use std::fmt;

use scellst_types::SectionId;
use serde::{Deserialize, Serialize};

use crate::{BagsError, PointGrid, SectionBags, Split};

/// How far what a training spot has seen reaches from its centre to that of a test spot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Spots see no further than their own area.
    Spot,
    /// A spot sees all cells so far from its centre, um.
    SpotContext(f64),
    /// Each cell of a spot sees all cells so far from itself, um.
    CellContext(f64),
}

impl Reach {
    /// Centres of spots of this radius (um) that lie so far apart (um) or less have seen the same tissue.
    pub fn um(self, spot_radius_um: f64) -> f64 {
        match self {
            Self::Spot => 2.0 * spot_radius_um,
            Self::SpotContext(radius) => radius.max(spot_radius_um) + spot_radius_um,
            Self::CellContext(radius) => radius + 2.0 * spot_radius_um,
        }
    }
}

/// What an encoder was trained on, as its makers say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderTraining {
    /// Names of sections.
    pub sections: Vec<String>,
    /// SHA-256 of slides' files.
    pub slides_sha256: Vec<String>,
    /// Patients.
    pub patients: Vec<String>,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq)]
pub struct LeakageOptions {
    /// What a spot's prediction has seen.
    pub reach: Reach,
    /// Whether no patient may be on both sides.
    pub patients_apart: bool,
    /// What the encoder was trained on: empty lists for nothing of the kind (natural images, no weights); `None` if
    /// nobody knows.
    pub encoder: Option<EncoderTraining>,
}

/// A way for test data to get into training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Leak {
    /// A test spot within the reach of a training spot of the same section.
    Neighbour,
    /// A patient on both sides.
    Patient,
    /// An encoder that has seen a test section.
    Encoder,
    /// The same slide under two names.
    Slide,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Neighbour => "test spots out of reach of training spots",
            Self::Patient => "patients apart",
            Self::Encoder => "encoder not trained on test sections",
            Self::Slide => "no slide on both sides under two names",
        })
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing found.
    Clean,
    /// Found: see the evidence.
    Leaks,
    /// What it takes is not known, at least for some sections.
    Unknown,
    /// Not asked for.
    NotAsked,
}

/// One check and what it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked for.
    pub leak: Leak,
    /// What came of it.
    pub verdict: Verdict,
    /// How many cases (test bags for neighbours, else pairs of sections, patients or names).
    pub cases: usize,
    /// In words, the first ten of the cases; or what is not known.
    pub evidence: Vec<String>,
}

/// All checks of a split: goes into the model bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeakageReport {
    /// What a spot's prediction has seen.
    pub reach: Reach,
    /// Bags to train on.
    pub train_bags: usize,
    /// Bags held out.
    pub test_bags: usize,
    /// Shortest distance of a training and a test spot of one section, um; `None` if no section is on both sides.
    pub nearest_um: Option<f64>,
    /// One a check.
    pub findings: Vec<Finding>,
}

const MOST_EVIDENCE: usize = 10;

/// Looks for test data in training: see [`Leak`].
///
/// ```
/// use scellst_bags::{Leak, LeakageOptions, Reach, SectionBags, Split, Verdict, check_leakage};
/// use scellst_types::{Point, SectionId};
///
/// let section = SectionBags {
///     id: SectionId("C2".into()),
///     patient: Some("C".into()),
///     slide_sha256: None,
///     spot_radius_um: 50.0,
///     spots: vec![0, 1, 2],
///     centres: vec![Point::new(0.0, 0.0), Point::new(200.0, 0.0), Point::new(600.0, 0.0)],
/// };
/// let split = Split::new(vec![0], vec![1, 2])?;
/// // Each spot sees 4 radii far: the second, 200 um away, lies in what the first has seen.
/// let options = LeakageOptions { reach: Reach::SpotContext(200.0), patients_apart: false, encoder: None };
/// let report = check_leakage(&[section], &split, &options)?;
/// assert_eq!(report.verdict(Leak::Neighbour), Some(Verdict::Leaks));
/// assert!(report.require_clean().is_err());
/// # Ok::<(), scellst_bags::BagsError>(())
/// ```
///
/// # Errors
/// [`BagsError::BrokenSplit`] for a split that is not one of these bags, [`BagsError::Setting`] for a context that is
/// not finite and at least 0, [`BagsError::NotFinite`].
pub fn check_leakage(
    sections: &[SectionBags],
    split: &Split,
    options: &LeakageOptions,
) -> Result<LeakageReport, BagsError> {
    SectionBags::check(sections)?;
    split.check(sections.iter().map(SectionBags::len).sum())?;
    if let Reach::SpotContext(radius) | Reach::CellContext(radius) = options.reach
        && !(radius.is_finite() && radius >= 0.0)
    {
        let found = radius.to_string();
        return Err(BagsError::Setting { setting: "radius of the context (um)", expected: "at least 0", found });
    }
    let sides = Side::all(sections, split);
    let (nearest_um, neighbours) = neighbours(&sides, options.reach)?;
    let findings = vec![neighbours, patients(&sides, options.patients_apart), encoder(&sides, options), slides(&sides)];
    let (train_bags, test_bags) = (split.train.len(), split.validation.len());
    Ok(LeakageReport { reach: options.reach, train_bags, test_bags, nearest_um, findings })
}

impl LeakageReport {
    /// How a check ended.
    pub fn verdict(&self, leak: Leak) -> Option<Verdict> {
        self.findings.iter().find(|finding| finding.leak == leak).map(|finding| finding.verdict)
    }

    /// Nothing, or an error with the evidence. What is not known passes; look for [`Verdict::Unknown`] to be strict.
    ///
    /// # Errors
    /// [`BagsError::Leakage`].
    pub fn require_clean(&self) -> Result<(), BagsError> {
        let found: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Leaks)
            .map(|finding| format!("{} ({} cases: {})", finding.leak, finding.cases, finding.evidence.join("; ")))
            .collect();
        if found.is_empty() { Ok(()) } else { Err(BagsError::Leakage(format!("not {}", found.join("; not ")))) }
    }
}

impl fmt::Display for LeakageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bags train, {} test", self.train_bags, self.test_bags)?;
        if let Some(nearest) = self.nearest_um {
            write!(f, ", the nearest {nearest:.0} um apart")?;
        }
        for finding in &self.findings {
            let verdict = match finding.verdict {
                Verdict::Clean => "yes",
                Verdict::Leaks => "NO",
                Verdict::Unknown => "unknown",
                Verdict::NotAsked => "not asked",
            };
            write!(f, "\n{}: {verdict}", finding.leak)?;
            for line in &finding.evidence {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

impl Finding {
    /// Cases make a leak; else what is not known makes it unknown.
    fn of(leak: Leak, cases: Vec<String>, unknown: Vec<String>) -> Self {
        let verdict = match (cases.is_empty(), unknown.is_empty()) {
            (false, _) => Verdict::Leaks,
            (true, false) => Verdict::Unknown,
            (true, true) => Verdict::Clean,
        };
        let count = cases.len();
        let evidence = cases.into_iter().take(MOST_EVIDENCE).chain(unknown.into_iter().take(MOST_EVIDENCE));
        Self { leak, verdict, cases: count, evidence: evidence.collect() }
    }
}

/// Which bags of a section are on which side, counted within the section.
struct Side<'a> {
    section: &'a SectionBags,
    train: Vec<usize>,
    test: Vec<usize>,
}

impl<'a> Side<'a> {
    fn all(sections: &'a [SectionBags], split: &Split) -> Vec<Self> {
        let mut first = 0;
        let mut side = |section: &'a SectionBags| {
            let range = first..first + section.len();
            first = range.end;
            let of =
                |bags: &[usize]| bags.iter().filter(|bag| range.contains(bag)).map(|bag| bag - range.start).collect();
            Self { section, train: of(&split.train), test: of(&split.validation) }
        };
        sections.iter().map(&mut side).collect()
    }

    fn name(&self) -> &SectionId {
        &self.section.id
    }

    fn has(&self, test: bool) -> bool {
        !(if test { &self.test } else { &self.train }).is_empty()
    }
}

fn neighbours(sides: &[Side<'_>], reach: Reach) -> Result<(Option<f64>, Finding), BagsError> {
    let (mut cases, mut evidence) = (0, Vec::new());
    let mut nearest: Option<f64> = None;
    for side in sides.iter().filter(|side| side.has(true) && side.has(false)) {
        let SectionBags { centres, spots, spot_radius_um, .. } = side.section;
        let limit = reach.um(*spot_radius_um);
        let places: Vec<_> = side.train.iter().map(|&bag| centres[bag]).collect();
        let grid = PointGrid::new(&places, limit)?;
        for &test in &side.test {
            let (distance, train) = nearest_of(&grid, centres[test], limit);
            nearest = Some(nearest.map_or(distance, |least| least.min(distance)));
            if distance > limit {
                continue;
            }
            cases += 1;
            if evidence.len() < MOST_EVIDENCE {
                evidence.push(format!(
                    "section {}: test spot {} lies {distance:.1} um from training spot {}, within the reach of {limit:.1} um",
                    side.name(),
                    spots[test],
                    spots[side.train[train as usize]]
                ));
            }
        }
    }
    let finding = Finding::of(Leak::Neighbour, evidence, Vec::new());
    Ok((nearest, Finding { cases, ..finding }))
}

/// The nearest point (the first of several) and its distance, searched in wider and wider circles.
fn nearest_of(grid: &PointGrid, place: scellst_types::Point<scellst_types::Micron>, radius: f64) -> (f64, u32) {
    let mut radius = radius;
    loop {
        let mut best = (f64::INFINITY, u32::MAX);
        grid.for_each_within(place, radius, |index, squared| {
            if (squared, index) < best {
                best = (squared, index);
            }
        });
        if best.1 != u32::MAX {
            return (best.0.sqrt(), best.1);
        }
        // Coordinates lie below 1e9 um.
        if radius > 1e10 {
            return best;
        }
        radius *= 2.0;
    }
}

fn patients(sides: &[Side<'_>], apart: bool) -> Finding {
    if !apart {
        return Finding { leak: Leak::Patient, verdict: Verdict::NotAsked, cases: 0, evidence: Vec::new() };
    }
    let mut cases = Vec::new();
    let mut of_patient = BTreeMap::<String, Vec<&Side<'_>>>::new();
    for side in sides.iter().filter(|side| side.has(true) || side.has(false)) {
        match &side.section.patient {
            Some(patient) => of_patient.entry(plain(patient)).or_default().push(side),
            // Whoever wants patients apart cannot leave them out.
            None => cases.push(format!("section {} names no patient", side.name())),
        }
    }
    for (patient, sides) in of_patient {
        if let (Some(train), Some(test)) = (sides.iter().find(|s| s.has(false)), sides.iter().find(|s| s.has(true))) {
            cases.push(format!("patient {patient}: section {} trains, section {} tests", train.name(), test.name()));
        }
    }
    Finding::of(Leak::Patient, cases, Vec::new())
}

fn encoder(sides: &[Side<'_>], options: &LeakageOptions) -> Finding {
    let Some(seen) = &options.encoder else {
        let unknown = "nobody says which sections the encoder was trained on".to_owned();
        return Finding::of(Leak::Encoder, Vec::new(), vec![unknown]);
    };
    let has = |list: &[String], name: &str| list.iter().any(|other| plain(other) == plain(name));
    let (mut cases, mut unknown) = (Vec::new(), Vec::new());
    for side in sides.iter().filter(|side| side.has(true)) {
        let SectionBags { id, patient, slide_sha256, .. } = side.section;
        if has(&seen.sections, &id.0) {
            cases.push(format!("the encoder was trained on test section {id}"));
        }
        match slide_sha256 {
            Some(hash) if has(&seen.slides_sha256, hash) => {
                cases.push(format!("the encoder was trained on the slide of test section {id} ({})", short(hash)));
            }
            None if !seen.slides_sha256.is_empty() => {
                unknown.push(format!("section {id}: the hash of its slide is not known"));
            }
            _ => {}
        }
        if options.patients_apart
            && let Some(patient) = patient.as_ref().filter(|patient| has(&seen.patients, patient))
        {
            cases.push(format!("the encoder was trained on patient {patient} of test section {id}"));
        }
    }
    Finding::of(Leak::Encoder, cases, unknown)
}

fn slides(sides: &[Side<'_>]) -> Finding {
    let (mut cases, mut unknown) = (Vec::new(), Vec::new());
    let mut of_hash = BTreeMap::<String, Vec<&Side<'_>>>::new();
    for side in sides.iter().filter(|side| side.has(true) || side.has(false)) {
        match &side.section.slide_sha256 {
            Some(hash) => of_hash.entry(plain(hash)).or_default().push(side),
            None => unknown.push(format!("section {}: the hash of its slide is not known", side.name())),
        }
    }
    for (hash, sides) in of_hash {
        for (i, one) in sides.iter().enumerate() {
            for two in &sides[i + 1..] {
                if (one.has(true) && two.has(false)) || (one.has(false) && two.has(true)) {
                    let (one, two, hash) = (one.name(), two.name(), short(&hash));
                    cases.push(format!("sections {one} and {two} are one slide ({hash}), on both sides"));
                }
            }
        }
    }
    // A single section cannot be there under another name.
    let alone = sides.iter().filter(|side| side.has(true) || side.has(false)).count() < 2;
    Finding::of(Leak::Slide, cases, if alone { Vec::new() } else { unknown })
}

/// The beginning of a hash.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// Names that differ by case or blanks at the ends are one.
pub(crate) fn plain(name: &str) -> String {
    name.trim().to_lowercase()
}
