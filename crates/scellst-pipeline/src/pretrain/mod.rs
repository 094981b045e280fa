//! Training of an encoder without labels on the cells of slides.

mod spool;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;
use scellst_cells::{CropSpec, CropStream, DetectConfig};
use scellst_embed::{Moco, MocoConfig, MocoSection, MocoStep, PixelNorm, PixelStats};
use scellst_types::{Level0, Point};

use crate::prepare::find_cells;
use crate::{Observer, PipelineError, SectionSource};
use spool::CropSpool;

/// How cells are found and cut for [`pretrain`].
#[derive(Debug, Clone)]
pub struct PretrainOptions {
    /// The crops: all of `size_px` is kept, so that views can be turned.
    pub crop: CropSpec,
    /// What finds cells where a section brings none.
    pub detect: DetectConfig,
    /// At most so many cells of a section, evenly over the slide's order.
    pub most_cells: Option<usize>,
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
/// No other section is opened, so that what is held out cannot be seen; which were is kept in the encoder's file.
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
    let mut spool = CropSpool::new(&options.scratch, crop.size_px as usize)?;
    let mut sections = Vec::new();
    let mut stats = PixelStats::default();
    for source in sources {
        let crops = cut(source, &crop, options, &mut spool, &mut stats, observer);
        let crops = crops.map_err(|e| e.in_section(&source.id))?;
        sections.push(MocoSection { name: source.id.to_string(), crops });
    }
    let pixels = match options.pixels.or_else(|| stats.norm()) {
        Some(pixels) => pixels,
        None => return Err(PipelineError::Misuse("all crops are of one colour: are these slides of tissue?".into())),
    };
    let mut moco = Moco::new(config.clone(), pixels, sections, device)?;
    if let Some(path) = options.checkpoint.as_deref().filter(|p| p.exists()) {
        moco.restore(path)?;
        observer.note(&format!("going on from {} after {} steps", path.display(), moco.history().len()));
    }
    observer.stage("training the encoder");
    let total = (config.epochs * moco.steps_per_epoch()) as u64;
    let save = |moco: &Moco| options.checkpoint.as_deref().map_or(Ok(()), |path: &Path| moco.save(path));
    while let Some(batch) = moco.next_batch() {
        let step = moco.step(spool.get(batch.section, &batch.crops)?.view())?;
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

/// Cuts a section's cells into the spool.
fn cut(
    source: &SectionSource,
    crop: &CropSpec,
    options: &PretrainOptions,
    spool: &mut CropSpool,
    stats: &mut PixelStats,
    observer: &dyn Observer,
) -> Result<usize, PipelineError> {
    let slide = source.open_slide()?;
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
    Ok(places.len())
}
