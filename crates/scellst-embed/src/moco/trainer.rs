use candle_core::{Device, Result as CandleResult, Tensor, Var};
use ndarray::ArrayView4;
use serde::{Deserialize, Serialize};

use super::layers::Pass;
use super::mlp::Mlp;
use super::net::{Gradients, Net, Seen};
use super::optimiser::{self, Pace, State};
use super::order::{self, MocoBatch, MocoSection, Pairing};
use super::parameters::{Named, Values};
use super::watch::spread_and_rank;
use super::{MocoConfig, Neighbours};
use crate::batch::device_error;
use crate::{EmbedError, PixelNorm};

/// Training of an encoder without labels, step by step (MoCo v3: Chen, Xie and He 2021, arXiv 2104.02057).
///
/// Two views of each crop go through the encoder, a projector and a predictor, and through a second encoder and
/// projector that follow the first slowly; each view is to be told from the other crops of its batch by what the
/// second makes of its pair (InfoNCE, both ways). The caller cuts the crops: [`Moco::next_batch`] says which,
/// [`Moco::step`] takes them.
///
/// On the CPU the same seed gives the same bits, whatever the number of threads and however often training was
/// interrupted ([`Moco::save`], [`Moco::restore`]).
///
/// ```no_run
/// use candle_core::Device;
/// use ndarray::Array4;
/// use scellst_embed::{Moco, MocoConfig, MocoSection, PixelNorm, ResNetDepth};
///
/// # fn cut(section: usize, crops: &[usize]) -> Array4<u8> { Array4::zeros((crops.len(), 72, 72, 3)) }
/// let sections = vec![MocoSection { name: "S1".into(), crops: 30_000 }];
/// let config = MocoConfig::published(ResNetDepth::R18);
/// let mut moco = Moco::new(config, PixelNorm::IMAGENET, sections, &Device::Cpu)?;
/// while let Some(batch) = moco.next_batch() {
///     let crops = cut(batch.section, &batch.crops[0]);
///     let done = moco.step([crops.view(), crops.view()])?;
///     println!("{} {}", done.step, done.loss);
/// }
/// moco.write_encoder("encoder.safetensors".as_ref(), &moco.origin(&[]))?;
/// # Ok::<(), scellst_embed::EmbedError>(())
/// ```
pub struct Moco {
    pub(super) config: MocoConfig,
    pub(super) pixels: PixelNorm,
    pub(super) sections: Vec<MocoSection>,
    neighbours: Vec<Neighbours>,
    pub(super) device: Device,
    base: Tower,
    predictor: Mlp,
    momentum: Tower,
    pub(super) optimiser: State,
    /// Of the epoch.
    pub(super) order: Vec<MocoBatch>,
    pub(super) position: Position,
}

/// How far training has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    pub epoch: usize,
    /// Batches of the epoch that are done.
    pub batch: usize,
    pub history: Vec<MocoStep>,
}

/// What a step has shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MocoStep {
    /// From 1.
    pub step: u64,
    /// From 0, with its fraction: at the step's beginning.
    pub epoch: f64,
    /// InfoNCE of both views, times twice the temperature: at chance `4 T ln(batch)`.
    pub loss: f64,
    /// Share of views whose pair is the most similar of the batch: at chance one over the batch.
    pub matched: f64,
    /// Mean deviation of the features' directions, times the root of their number: near 1 if they point everywhere,
    /// near 0 if all crops look alike to the encoder (Chen and He 2021, arXiv 2011.10566).
    pub spread: f64,
    /// How many directions the features take up: the participation ratio of their covariance's eigenvalues.
    pub rank: f64,
    /// Of the optimiser.
    pub learning_rate: f64,
}

impl MocoStep {
    /// Whether the encoder has come to see all crops alike: training is lost.
    pub fn collapsed(&self) -> bool {
        self.spread < 0.01
    }
}

/// What a pass over a batch gives.
pub(super) struct Compared {
    pub loss: Tensor,
    /// Share of rows whose own key is the most similar.
    pub matched: f64,
    /// Of the first view, `(n, dim)`.
    pub features: Tensor,
    seen: [Seen; 2],
}

/// An encoder and its projector.
struct Tower {
    net: Net,
    projector: Mlp,
}

impl Tower {
    fn new(config: &MocoConfig, device: &Device) -> CandleResult<Self> {
        let widths = [config.depth.dim_at(config.stage), config.hidden, config.dim];
        let net = Net::new(config.depth, config.stage, config.seed, device)?;
        Ok(Self { net, projector: Mlp::new("projector", &widths, false, config.seed, device)? })
    }

    /// Features, and what they are compared by.
    fn run(&mut self, x: &Tensor, pass: Pass) -> CandleResult<(Seen, Tensor)> {
        let seen = self.net.run(x, pass)?;
        let projected = self.projector.run(&seen.features, pass)?;
        Ok((seen, projected))
    }

    fn visit<'a>(&'a self, named: &mut Vec<Named<'a>>) {
        self.net.visit(named);
        self.projector.visit(named);
    }
}

impl Moco {
    /// From weights that nobody trained; `pixels` is done to all crops and remembered by the encoder.
    ///
    /// # Errors
    /// [`EmbedError::Config`] for settings out of range, if no section has a batch of crops, or if second views are to
    /// be of neighbours; [`EmbedError::Device`] if the device fails.
    pub fn new(
        config: MocoConfig,
        pixels: PixelNorm,
        sections: Vec<MocoSection>,
        device: &Device,
    ) -> Result<Self, EmbedError> {
        if config.neighbours > 0.0 {
            return Err(EmbedError::Config {
                setting: "the share of neighbours",
                expected: "0 where it is not said which crops are near each other",
                found: config.neighbours.to_string(),
            });
        }
        Self::make(config, pixels, sections, Vec::new(), device)
    }

    /// As [`Moco::new`], with the crops near each crop of each section, which give some of the second views
    /// ([`MocoConfig::neighbours`]).
    ///
    /// # Errors
    /// As [`Moco::new`], and [`EmbedError::Config`] unless there are neighbours for each section and each of its crops,
    /// and all of them crops of it.
    pub fn with_neighbours(
        config: MocoConfig,
        pixels: PixelNorm,
        sections: Vec<MocoSection>,
        neighbours: Vec<Neighbours>,
        device: &Device,
    ) -> Result<Self, EmbedError> {
        let wrong = |expected, found| Err(EmbedError::Config { setting: "the crops' neighbours", expected, found });
        if neighbours.len() != sections.len() {
            return wrong("those of each section", format!("{} of {} sections", neighbours.len(), sections.len()));
        }
        for (near, MocoSection { name, crops }) in neighbours.iter().zip(&sections) {
            if near.crops() != *crops {
                return wrong("those of each crop", format!("{} of section {name}'s {crops} crops", near.crops()));
            }
            if let Some(astray) = near.astray() {
                return wrong("crops of the section", format!("{astray} of section {name}'s {crops} crops"));
            }
        }
        Self::make(config, pixels, sections, neighbours, device)
    }

    fn make(
        config: MocoConfig,
        pixels: PixelNorm,
        sections: Vec<MocoSection>,
        neighbours: Vec<Neighbours>,
        device: &Device,
    ) -> Result<Self, EmbedError> {
        config.check()?;
        pixels.check(config.depth.name())?;
        if !sections.iter().any(|s| s.crops >= config.batch) {
            let most = sections.iter().map(|s| s.crops).max().unwrap_or(0);
            return Err(EmbedError::Config {
                setting: "the crops of a section",
                expected: "a batch at least in one of the sections",
                found: format!("{most} at most for batches of {}", config.batch),
            });
        }
        let fail = |e: candle_core::Error| device_error(config.depth.name(), device, &e);
        let make = || {
            let base = Tower::new(&config, device)?;
            let widths = [config.dim, config.hidden, config.dim];
            let predictor = Mlp::new("predictor", &widths, false, config.seed, device)?;
            let momentum = Tower::new(&config, device)?;
            let optimiser = State::new(config.optimiser, &trained(&named(&base, &predictor)))?;
            Ok((base, predictor, momentum, optimiser))
        };
        let (base, predictor, momentum, optimiser) = make().map_err(fail)?;
        let (device, position, order) = (device.clone(), Position::default(), Vec::new());
        let mut new = Self {
            config,
            pixels,
            sections,
            neighbours,
            device,
            base,
            predictor,
            momentum,
            optimiser,
            order,
            position,
        };
        new.order = new.order_of(0);
        Ok(new)
    }

    /// The batches of an epoch.
    pub(super) fn order_of(&self, epoch: usize) -> Vec<MocoBatch> {
        let pairing = Pairing { neighbours: &self.neighbours, share: self.config.neighbours };
        order::batches(&self.sections, pairing, self.config.batch, self.config.seed, epoch)
    }

    /// The settings.
    pub fn config(&self) -> &MocoConfig {
        &self.config
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.order.len()
    }

    /// All steps so far.
    pub fn history(&self) -> &[MocoStep] {
        &self.position.history
    }

    /// The crops that the next step wants; `None` after the last epoch.
    pub fn next_batch(&self) -> Option<&MocoBatch> {
        (self.position.epoch < self.config.epochs).then(|| self.order.get(self.position.batch)).flatten()
    }

    /// One step with the crops of [`Moco::next_batch`] for the first and for the second views, each
    /// `(batch, height, width, 3)`, RGB 0..255, of at least 32 pixels a side.
    ///
    /// # Errors
    /// [`EmbedError::Crops`] for others, [`EmbedError::Training`] after the last epoch or if the loss is no number (the
    /// weights are then still those before), [`EmbedError::Device`].
    pub fn step(&mut self, crops: [ArrayView4<'_, u8>; 2]) -> Result<MocoStep, EmbedError> {
        let step = self.position.history.len() as u64 + 1;
        let Some(batch) = self.next_batch() else {
            return Err(EmbedError::Training { step, problem: "all epochs are done".into() });
        };
        for (crops, wanted) in crops.iter().zip(&batch.crops) {
            let (n, height, width, channels) = crops.dim();
            if n != wanted.len() || channels != 3 || height < 32 || width < 32 {
                let expected = format!("{} crops of three channels and at least 32 x 32 pixels", wanted.len());
                let found = [n, height, width, channels];
                return Err(EmbedError::Crops { encoder: self.config.depth.name(), found, expected });
            }
        }
        let device = self.device.clone();
        let done = self.advance(crops, step);
        let done = done.map_err(|e| device_error(self.config.depth.name(), &device, &e))?;
        if !done.loss.is_finite() {
            let problem = format!("the loss is {} at a learning rate of {}", done.loss, done.learning_rate);
            return Err(EmbedError::Training { step, problem });
        }
        self.position.history.push(done);
        self.position.batch += 1;
        if self.position.batch == self.order.len() {
            self.position.epoch += 1;
            self.position.batch = 0;
            self.order = self.order_of(self.position.epoch);
        }
        Ok(done)
    }

    fn advance(&mut self, crops: [ArrayView4<'_, u8>; 2], step: u64) -> CandleResult<MocoStep> {
        let config = &self.config;
        let epoch = self.position.epoch as f64 + self.position.batch as f64 / self.order.len() as f64;
        let side = config.views.side_px;
        let view = |which: usize| {
            // Views read rows of pixels.
            let crops = crops[which].as_standard_layout();
            let values = config.views.views(crops.view(), self.pixels, [config.seed, step, which as u64]);
            Tensor::from_vec(values, (crops.dim().0, side, side, 3), &self.device)
        };
        let (views, keep) = ([view(0)?, view(1)?], config.momentum_at(epoch));
        let (rate, decay) = (config.learning_rate_at(epoch), config.weight_decay);
        let compared = self.compare(&views, keep)?;
        let value = f64::from(compared.loss.to_scalar::<f32>()?);
        let (spread, rank) = spread_and_rank(&compared.features)?;
        let matched = compared.matched;
        let done = MocoStep { step, epoch, loss: value, matched, spread, rank, learning_rate: rate };
        if !value.is_finite() {
            return Ok(done);
        }
        let gradients = self.gradients(compared)?;
        let all = named(&self.base, &self.predictor);
        let pace = Pace { rate, decay, step };
        self.optimiser.step(&trained(&all), &gradients, pace)?;
        self.base.net.changed();
        Ok(done)
    }

    /// Two views `(n, side, side, 3)` of each crop, normalised, against each other; the momentum encoder keeps so much of
    /// itself first.
    pub(super) fn compare(&mut self, views: &[Tensor; 2], keep: f64) -> CandleResult<Compared> {
        let mut query = |view: &Tensor| {
            let (seen, projected) = self.base.run(view, Pass::Gradient)?;
            Ok::<_, candle_core::Error>((seen, unit(&self.predictor.run(&projected, Pass::Gradient)?)?))
        };
        let [(one_seen, first), (other_seen, second)] = [query(&views[0])?, query(&views[1])?];
        self.follow(keep)?;
        let mut key = |view: &Tensor| unit(&self.momentum.run(view, Pass::Forward)?.1);
        let keys = [key(&views[0])?, key(&views[1])?];
        let (one, hits) = info_nce(&first, &keys[1], self.config.temperature)?;
        let (other, more) = info_nce(&second, &keys[0], self.config.temperature)?;
        let features = one_seen.features.detach();
        Ok(Compared { loss: (one + other)?, matched: (hits + more) / 2.0, features, seen: [one_seen, other_seen] })
    }

    /// Of all parameters that are trained.
    pub(super) fn gradients(&mut self, compared: Compared) -> CandleResult<Gradients> {
        let graph = compared.loss.backward()?;
        self.base.net.back(compared.seen, graph)
    }

    /// Brings the momentum encoder nearer to the other.
    fn follow(&mut self, keep: f64) -> CandleResult<()> {
        let of = |tower: &Tower| -> Vec<Tensor> {
            let mut named = Vec::new();
            tower.visit(&mut named);
            trained(&named).iter().map(|v| v.as_detached_tensor()).collect()
        };
        let mut slow = Vec::new();
        self.momentum.visit(&mut slow);
        for (slow, fast) in trained(&slow).iter().zip(of(&self.base)) {
            optimiser::follow(slow, &fast, keep)?;
        }
        self.momentum.net.changed();
        Ok(())
    }

    /// Everything that a step changes but the optimiser's.
    pub(super) fn named(&self) -> Vec<Named<'_>> {
        let mut all = named(&self.base, &self.predictor);
        let mut slow = Vec::new();
        self.momentum.visit(&mut slow);
        all.extend(slow.into_iter().map(|(name, values)| (format!("momentum.{name}"), values)));
        all
    }

    /// The encoder alone.
    pub(super) fn encoder(&self) -> Vec<Named<'_>> {
        let mut named = Vec::new();
        self.base.net.visit(&mut named);
        named
    }

    /// What the optimiser keeps something of, in its order.
    pub(super) fn optimised(&self) -> Vec<Named<'_>> {
        named(&self.base, &self.predictor).into_iter().filter(|(_, v)| matches!(v, Values::Trained(_))).collect()
    }

    /// To be called after values were set from outside.
    pub(super) fn changed(&mut self) {
        self.base.net.changed();
        self.momentum.net.changed();
    }
}

fn named<'a>(base: &'a Tower, predictor: &'a Mlp) -> Vec<Named<'a>> {
    let mut all = Vec::new();
    base.visit(&mut all);
    predictor.visit(&mut all);
    all
}

fn trained<'a>(named: &[Named<'a>]) -> Vec<&'a Var> {
    let var = |(_, values): &Named<'a>| match values {
        Values::Trained(var) => Some(*var),
        Values::Running(..) => None,
    };
    named.iter().filter_map(var).collect()
}

/// Rows of length 1.
fn unit(x: &Tensor) -> CandleResult<Tensor> {
    x.broadcast_div(&(x.sqr()?.sum_keepdim(1)?.sqrt()? + 1e-12)?)
}

/// How hard it is to tell each query's key, of its own row, from the others (van den Oord, Li and Vinyals 2018, arXiv
/// 1807.03748): twice the temperature times the mean cross entropy; and the share of rows where it is the most similar.
fn info_nce(queries: &Tensor, keys: &Tensor, temperature: f64) -> CandleResult<(Tensor, f64)> {
    let n = queries.dim(0)?;
    let logits = (queries.matmul(&keys.t()?)? / temperature)?;
    let own = ((queries * keys)?.sum(1)? / temperature)?;
    let loss = ((logits.log_sum_exp(1)? - own)?.mean(0)? * (2.0 * temperature))?;
    let best: Vec<u32> = logits.argmax(1)?.to_vec1()?;
    let hits = best.iter().enumerate().filter(|(i, b)| *i == **b as usize).count();
    Ok((loss, hits as f64 / n as f64))
}
