//! Training of an encoder without labels on the cells of slides.

mod spool;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;
use scellst_bags::PointGrid;
use scellst_cells::{CropSpec, CropStream, DetectConfig};
use scellst_embed::{Encoder, Moco, MocoConfig, MocoSection, MocoStep, Neighbours, PixelNorm, PixelStats};
use scellst_types::{Level0, Micron, Point};

use crate::prepare::find_cells;
use crate::{Observer, PipelineError, SectionSource};
use spool::CropSpool;

/// The crop that is to be embedded: what an encoder of [`pretrain`] was trained on; the usual one for others.
pub fn crop_for(encoder: &dyn Encoder) -> CropSpec {
    let moco = encoder.spec().weights.as_ref().and_then(|w| w.moco.as_ref());
    let of = |config: &MocoConfig| {
        let (px, mpp) = (u32::try_from(config.views.side_px).ok()?, config.view_mpp()?);
        let crop = CropSpec { size_px: px, centre_px: px, mpp, ..CropSpec::default() };
        crop.validate().is_ok().then_some(crop)
    };
    moco.and_then(|origin| of(&origin.config)).unwrap_or_default()
}

/// How cells are found and cut for [`pretrain`].
#[derive(Debug, Clone)]
pub struct PretrainOptions {
    /// The crops: all of `size_px` is kept, so that views can be turned.
    pub crop: CropSpec,
    /// What finds cells where a section brings none.
    pub detect: DetectConfig,
    /// At most so many cells of a section, evenly over the slide's order.
    pub most_cells: Option<usize>,
    /// How far away a cell may be that gives another one's second view, um ([`MocoConfig::neighbours`]).
    pub reach_um: f64,
    /// What is done to pixels; `None`: by mean and deviation of the training crops themselves.
    pub pixels: Option<PixelNorm>,
    /// Sections that must not be seen.
    pub held_out: Vec<String>,
    /// A file that training goes on from when it was interrupted; the same bits come of it.
    pub checkpoint: Option<PathBuf>,
    /// Steps between two checkpoints.
    pub save_every: u64,
    /// Where crops are kept meanwhile: 16 kB a cell.
    pub scratch: PathBuf,
}

impl Default for PretrainOptions {
    fn default() -> Self {
        Self {
            crop: CropSpec::default(),
            detect: DetectConfig::default(),
            most_cells: None,
            reach_um: 40.0,
            pixels: None,
            held_out: Vec::new(),
            checkpoint: None,
            save_every: 100,
            scratch: std::env::temp_dir(),
        }
    }
}

/// Trains an encoder on the cells of these sections, without their counts, by MoCo v3: see [`Moco`].
///
/// No other section is opened, so that what is held out cannot be seen; which were is kept in the encoder's file, and
/// the crops' resolution, for [`crop_for`].
/// `after` hears of each step and may stop.
///
/// # Errors
/// [`PipelineError::Misuse`] if a section is to be held out, or given twice; what slides, cells and training give.
pub fn pretrain(
    sources: &[SectionSource],
    config: &MocoConfig,
    options: &PretrainOptions,
    device: &Device,
    observer: &dyn Observer,
    mut after: impl FnMut(&MocoStep) -> ControlFlow<()>,
) -> Result<Moco, PipelineError> {
    check(sources, &options.held_out)?;
    let crop = options.crop.full();
    crop.validate()?;
    let reach_um = (config.neighbours > 0.0).then_some(options.reach_um);
    let config = MocoConfig { crop_mpp: Some(crop.mpp), reach_um, ..config.clone() };
    let mut spool = CropSpool::new(&options.scratch, crop.size_px as usize)?;
    let (mut sections, mut neighbours) = (Vec::new(), Vec::new());
    let mut stats = PixelStats::default();
    for source in sources {
        let places = cut(source, &crop, options, &mut spool, &mut stats, observer);
        let places = places.map_err(|e| e.in_section(&source.id))?;
        sections.push(MocoSection { name: source.id.to_string(), crops: places.len() });
        if config.neighbours > 0.0 {
            neighbours.push(near(&places, options.reach_um).map_err(|e| e.in_section(&source.id))?);
        }
    }
    let pixels = match options.pixels.or_else(|| stats.norm()) {
        Some(pixels) => pixels,
        None => return Err(PipelineError::Misuse("all crops are of one colour: are these slides of tissue?".into())),
    };
    let mut moco = if config.neighbours > 0.0 {
        Moco::with_neighbours(config, pixels, sections, neighbours, device)?
    } else {
        Moco::new(config, pixels, sections, device)?
    };
    if let Some(path) = options.checkpoint.as_deref().filter(|p| p.exists()) {
        moco.restore(path)?;
        observer.note(&format!("going on from {} after {} steps", path.display(), moco.history().len()));
    }
    observer.stage("training the encoder");
    let total = (moco.config().epochs * moco.steps_per_epoch()) as u64;
    let save = |moco: &Moco| options.checkpoint.as_deref().map_or(Ok(()), |path: &Path| moco.save(path));
    while let Some(batch) = moco.next_batch() {
        let [one, other] = &batch.crops;
        let first = spool.get(batch.section, one)?;
        let second = if other == one { None } else { Some(spool.get(batch.section, other)?) };
        let step = moco.step([first.view(), second.as_ref().unwrap_or(&first).view()])?;
        if step.step % options.save_every.max(1) == 0 {
            save(&moco)?;
        }
        observer.progress(step.step, total);
        if after(&step).is_break() {
            break;
        }
    }
    save(&moco)?;
    Ok(moco)
}

fn check(sources: &[SectionSource], held_out: &[String]) -> Result<(), PipelineError> {
    if sources.is_empty() {
        return Err(PipelineError::Misuse("no section to train the encoder on".into()));
    }
    for (i, source) in sources.iter().enumerate() {
        let id = &source.id;
        if held_out.contains(&id.0) {
            return Err(PipelineError::Misuse(format!(
                "section {id} is to be held out and to train: it cannot do both"
            )));
        }
        if sources[..i].iter().any(|s| s.id == *id) {
            return Err(PipelineError::Misuse(format!("section {id} is given twice")));
        }
    }
    Ok(())
}

/// So many neighbours of a cell are remembered at most, whatever the reach: half a gigabyte for a million cells. Within
/// the usual 40 um there are about 25, and 60 in the densest places.
const MOST_NEIGHBOURS: usize = 128;

/// The cells within reach of each, itself left out; some of them, from all over, where there are too many.
fn near(places: &[Point<Micron>], reach_um: f64) -> Result<Neighbours, PipelineError> {
    let grid = PointGrid::new(places, reach_um)?;
    let of = |(cell, place): (u32, &Point<Micron>)| {
        let mut near = Vec::new();
        grid.for_each_within(*place, reach_um, |other, _| near.extend((other != cell).then_some(other)));
        let (all, kept) = (near.len(), near.len().min(MOST_NEIGHBOURS));
        (0..kept).map(|i| near[i * all / kept]).collect::<Vec<u32>>()
    };
    Ok(Neighbours::new((0..).zip(places).map(of)))
}

/// Cuts a section's cells into the spool: where they lie.
fn cut(
    source: &SectionSource,
    crop: &CropSpec,
    options: &PretrainOptions,
    spool: &mut CropSpool,
    stats: &mut PixelStats,
    observer: &dyn Observer,
) -> Result<Vec<Point<Micron>>, PipelineError> {
    let slide = source.open_slide()?;
    let mpp = slide.require_mpp()?;
    let cells = find_cells(&slide, source.cells.as_deref(), &options.detect, observer)?;
    let all = cells.centroids();
    let wanted = options.most_cells.unwrap_or(all.len()).min(all.len());
    let places: Vec<Point<Level0>> = (0..wanted).map(|i| all[i * all.len() / wanted]).collect();
    observer.stage("cutting cells");
    spool.begin(places.len());
    let mut done = 0;
    for block in CropStream::new(&slide, &places, crop)? {
        let block = block?;
        stats.add(block.crops.view());
        spool.put(&block.cells, block.crops.view())?;
        done += block.cells.len() as u64;
        observer.progress(done, places.len() as u64);
    }
    observer.note(&format!("{}: {} of {} cells", source.id, places.len(), all.len()));
    Ok(places.iter().map(|&place| mpp.to_micron(place)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_within_reach_and_not_too_many() {
        // A row of cells 1 um apart.
        let row: Vec<Point<Micron>> = (0..400).map(|i| Point::new(f64::from(i), 0.0)).collect();
        let few = near(&row, 2.0).unwrap();
        let sorted = |of: &[u32]| of.iter().copied().collect::<std::collections::BTreeSet<u32>>();
        assert_eq!(sorted(few.of(200)), [198, 199, 201, 202].into());
        assert_eq!(sorted(few.of(0)), [1, 2].into());
        let many = near(&row, 1e3).unwrap();
        for cell in [0, 200] {
            let found = sorted(many.of(cell));
            assert_eq!((found.len(), many.of(cell).len()), (MOST_NEIGHBOURS, MOST_NEIGHBOURS));
            assert!(!found.contains(&(cell as u32)));
            assert!(found.first() < Some(&10) && found.last() > Some(&390), "{found:?}");
        }
        assert!(near(&row, 0.0).is_err() && near(&row, f64::NAN).is_err());
    }
}
