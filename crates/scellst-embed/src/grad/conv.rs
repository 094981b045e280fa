use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::{images_at_once, with_values};
use crate::batch::Pool;
use crate::cpu::{After, Border, Conv, Isa, Packed, Rows, Scratch, Shape, Window, multiply};

const LINEAR: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
/// Channels whose weights' gradient a thread computes at a time.
const CHANNELS: usize = 16;
/// Pixels of the result that are summed over before the next are looked at: their panel stays in the second cache.
const PIXELS: usize = 1536;

/// The weights of a convolution as the CPU's kernels want them, made once for all passes of a step. The border is half
/// the side.
///
/// Images are channels last and dense: `from` and `to` are the shapes before and behind the convolution.
pub(crate) struct Filters {
    isa: Isa,
    forward: Conv,
    side: usize,
    stride: usize,
    inputs: usize,
    outputs: usize,
    back: OnceLock<Back>,
    scratch: Pool<Scratch>,
}

/// What brings the gradient of the result back to the input.
enum Back {
    /// Of stride 1: the convolution with the filters turned about.
    Conv(Box<Conv>),
    /// Of other strides: a product for each tap, `(tap, out)` by `in`.
    Taps(Packed),
}

/// Space for gradients of weights; kept from step to step.
#[derive(Default)]
pub(crate) struct WeightScratch {
    gradients: Vec<Packed>,
    parts: Vec<Vec<f32>>,
    planes: Pool<Vec<f32>>,
}

impl Filters {
    /// From a weight `(out, in, side, side)` on the CPU.
    pub(crate) fn new(weight: &Tensor, stride: usize) -> Result<Self> {
        let (outputs, inputs, side, across) = weight.dims4()?;
        if side != across || side % 2 == 0 {
            bail!("a filter of {side} x {across}: squares of an odd side are wanted");
        }
        let isa = Isa::detect();
        let values = with_values(weight, <[f32]>::to_vec)?;
        let forward = Conv::new(isa, values, vec![0.0; outputs], side, stride, Border::even(side / 2));
        let (back, scratch) = (OnceLock::new(), Pool::default());
        Ok(Self { isa, forward, side, stride, inputs, outputs, back, scratch })
    }

    /// Other values, packed as those before were.
    pub(crate) fn refill(&mut self, weight: &Tensor) -> Result<()> {
        with_values(weight, |values| self.forward.refill(values))?;
        let (side, inputs, outputs) = (self.side, self.inputs, self.outputs);
        let (weight, _) = self.forward.weight();
        match self.back.get_mut() {
            Some(Back::Conv(conv)) => conv.refill(&turned(weight, outputs, inputs, side * side)),
            Some(Back::Taps(taps)) => {
                taps.fill(side * side * outputs, inputs, tap_by_tap(weight, outputs, inputs, side * side));
            }
            None => {}
        }
        Ok(())
    }

    /// How many weights there are.
    #[cfg(test)]
    pub(crate) fn weights(&self) -> usize {
        self.outputs * self.inputs * self.side * self.side
    }

    /// What comes of images of that shape.
    pub(crate) fn after(&self, from: Shape) -> Shape {
        let to = self.forward.after(from);
        Shape::dense(to.images, to.height, to.width, to.channels)
    }

    /// The convolution of `x` to `y`; `each` looks at every group of images while it is in the cache.
    pub(crate) fn forward<R: Send>(
        &self,
        (x, from): (&[f32], Shape),
        (y, to): (&mut [f32], Shape),
        each: impl Fn(&[f32]) -> R + Sync,
    ) -> Vec<R> {
        self.run(&self.forward, (x, from), (y, to), false, each)
    }

    /// A convolution of all images, some at a time on each thread, whatever the threads.
    fn run<R: Send>(
        &self,
        conv: &Conv,
        (x, from): (&[f32], Shape),
        (y, to): (&mut [f32], Shape),
        add: bool,
        each: impl Fn(&[f32]) -> R + Sync,
    ) -> Vec<R> {
        let (one_in, one_out) = (from.span() / from.images.max(1), to.span() / to.images.max(1));
        let images = images_at_once(one_in + one_out);
        let group = |(y, x): (&mut [f32], &[f32])| {
            let images = x.len() / one_in;
            let (from, to) = (Shape { images, ..from }, Shape { images, ..to });
            self.scratch.with(|scratch| conv.run_to((x, from), (y, to), add, LINEAR, scratch));
            each(y)
        };
        y.par_chunks_mut(images * one_out).zip(x.par_chunks(images * one_in)).map(group).collect()
    }

    /// Gradient of the input, added to what is there if `add`.
    pub(crate) fn to_input(&self, (dy, to): (&[f32], Shape), (dx, from): (&mut [f32], Shape), add: bool) {
        match self.back.get_or_init(|| self.back()) {
            Back::Conv(conv) => {
                self.run(conv, (dy, to), (dx, from), add, |_| ());
            }
            Back::Taps(taps) => {
                let (one_in, one_out) = (from.span() / from.images.max(1), to.span() / to.images.max(1));
                let images = images_at_once(one_in + one_out);
                dx.par_chunks_mut(images * one_in).zip(dy.par_chunks(images * one_out)).for_each(|(dx, dy)| {
                    let images = dy.len() / one_out;
                    if !add {
                        dx.fill(0.0);
                    }
                    self.scatter(taps, (dy, Shape { images, ..to }), (dx, Shape { images, ..from }));
                });
            }
        }
    }

    fn back(&self) -> Back {
        let (side, inputs, outputs) = (self.side, self.inputs, self.outputs);
        let (weight, _) = self.forward.weight();
        let taps = side * side;
        if self.stride > 1 {
            let at = tap_by_tap(weight, outputs, inputs, taps);
            return Back::Taps(Packed::new(self.isa, taps * outputs, inputs, at));
        }
        let turned = turned(weight, outputs, inputs, taps);
        // Borders of half an odd side: the same both ways.
        let conv = Conv::new(self.isa, turned, vec![0.0; inputs], side, 1, Border::even(side / 2));
        Back::Conv(Box::new(conv))
    }

    /// Adds what each tap brings to the pixels that it was at.
    fn scatter(&self, taps: &Packed, (dy, to): (&[f32], Shape), (dx, from): (&mut [f32], Shape)) {
        let (side, stride, before) = (self.side, self.stride, self.side / 2);
        let mut places = Vec::new();
        for (ky, kx) in (0..side).flat_map(|ky| (0..side).map(move |kx| (ky, kx))) {
            places.clear();
            let inside = |o: usize, k: usize, n: usize| (o * stride + k).checked_sub(before).filter(|&i| i < n);
            for image in 0..to.images {
                for (oy, iy) in (0..to.height).filter_map(|oy| Some((oy, inside(oy, ky, from.height)?))) {
                    for (ox, ix) in (0..to.width).filter_map(|ox| Some((ox, inside(ox, kx, from.width)?))) {
                        places.push([to.at(image, oy, ox), from.at(image, iy, ix)]);
                    }
                }
            }
            let window = Window { b: (ky * side + kx) * self.outputs, ..Window::whole(self.outputs) };
            let after = After { add: true, ..After::NOTHING };
            multiply(dy, taps, dx, Rows::At(&places), window, after);
        }
    }

    /// Gradient of the weights, `(out, in, side, side)`, added to what is in `dw`.
    ///
    /// A product of the images' columns with the result's gradient, the first never written out: of each channel all
    /// pixels lie one after another with their border, so that what a tap meets is a row of them from some place on.
    pub(crate) fn to_weight(
        &self,
        (x, from): (&[f32], Shape),
        (dy, to): (&[f32], Shape),
        dw: &mut [f32],
        scratch: &mut WeightScratch,
    ) {
        let (side, inputs, outputs) = (self.side, self.inputs, self.outputs);
        let area = to.height * to.width;
        let images = (PIXELS / area.max(1)).max(1);
        let pieces = dy.chunks(images * area * outputs);
        let WeightScratch { gradients, parts, planes } = scratch;
        if gradients.len() < pieces.len() {
            gradients.resize_with(pieces.len(), || Packed::empty(self.isa));
        }
        let count = pieces.len();
        gradients[..count].par_iter_mut().zip(dy.par_chunks(images * area * outputs)).for_each(|(packed, dy)| {
            packed.fill_rows(dy, outputs);
        });
        let gradients = &gradients[..count];
        // Few channels: the taps are shared out too.
        let taps = if inputs < 4 * CHANNELS { 1 } else { side };
        let tasks: Vec<Task> = (0..inputs)
            .step_by(CHANNELS)
            .flat_map(|c| (0..side).step_by(taps).map(move |k| (c, k)))
            .map(|(c, k)| Task { channels: c..(c + CHANNELS).min(inputs), rows: k..k + taps })
            .collect();
        let one = from.span() / from.images.max(1);
        if parts.len() < tasks.len() {
            parts.resize_with(tasks.len(), Vec::new);
        }
        let parts = &mut parts[..tasks.len()];
        parts.par_iter_mut().zip(&tasks).for_each(|(sum, task)| {
            sum.resize(task.channels.len() * task.rows.len() * side * outputs, 0.0);
            planes.with(|planes| {
                for (g, (x, gradient)) in x.chunks(images * one).zip(gradients).enumerate() {
                    let from = Shape { images: x.len() / one, ..from };
                    self.part(task, (x, from), (gradient, to), planes, sum, g > 0);
                }
            });
        });
        dw.par_chunks_mut(inputs * side * side).enumerate().for_each(|(o, of_output)| {
            for (task, part) in tasks.iter().zip(&*parts) {
                let mut values = part[o..].iter().step_by(outputs);
                for c in task.channels.clone() {
                    for k in task.rows.clone() {
                        let row = &mut of_output[(c * side + k) * side..][..side];
                        row.iter_mut().zip(&mut values).for_each(|(w, v)| *w += *v);
                    }
                }
            }
        });
    }

    /// Rows `(channel, row of taps, tap)` by outputs, of some images.
    fn part(
        &self,
        task: &Task,
        (x, from): (&[f32], Shape),
        (gradient, to): (&Packed, Shape),
        planes: &mut Vec<f32>,
        sum: &mut [f32],
        add: bool,
    ) {
        let (side, stride) = (self.side, self.stride);
        // Every `stride`th pixel is a plane of its own, in which taps are shifts.
        let (high, wide) = (to.height + (side - 1) / stride, to.width + (side - 1) / stride);
        let (downs, acrosses) = (task.rows.len().min(stride), side.min(stride));
        let plane = from.images * high * wide;
        planes.resize(task.channels.len() * downs * acrosses * plane, 0.0);
        for (d, first) in task.rows.clone().take(downs).enumerate() {
            let last = task.rows.clone().skip(d).step_by(stride).next_back().unwrap_or(first);
            let rows = first / stride..to.height + last / stride;
            for across in 0..acrosses {
                let place = (d * acrosses + across) * plane;
                let phase = Phase { down: first % stride, across, rows: rows.clone(), high, wide };
                self.fill(task, &phase, (x, from), &mut planes[place..], downs * acrosses * plane);
            }
        }
        let mut places = Vec::with_capacity(task.channels.len() * task.rows.len() * side);
        for c in 0..task.channels.len() {
            for ky in task.rows.clone() {
                let down = (ky - task.rows.start) % stride;
                for kx in 0..side {
                    let of_channel = (c * downs + down) * acrosses + kx % stride;
                    let at = of_channel * plane + (ky / stride) * wide + kx / stride;
                    places.push([at, places.len() * self.outputs]);
                }
            }
        }
        let window = Window {
            ny: from.images,
            nx: to.height,
            k: to.width,
            a_y: high * wide,
            a_x: wide,
            b_y: to.height * to.width,
            b: 0,
        };
        multiply(planes, gradient, sum, Rows::At(&places), window, After { add, ..After::NOTHING });
    }

    /// Some channels' pixels of one phase, a channel every `step` values.
    fn fill(&self, task: &Task, phase: &Phase, (x, from): (&[f32], Shape), out: &mut [f32], step: usize) {
        let (stride, before) = (self.stride, self.side / 2);
        for image in 0..from.images {
            for qy in phase.rows.clone() {
                let iy = (qy * stride + phase.down).checked_sub(before).filter(|&i| i < from.height);
                for qx in 0..phase.wide {
                    let ix = (qx * stride + phase.across).checked_sub(before).filter(|&i| i < from.width);
                    let at = (image * phase.high + qy) * phase.wide + qx;
                    let column = out[at..].iter_mut().step_by(step).take(task.channels.len());
                    match (iy, ix) {
                        (Some(iy), Some(ix)) => {
                            let pixel = &x[from.at(image, iy, ix)..][task.channels.clone()];
                            column.zip(pixel).for_each(|(to, v)| *to = *v);
                        }
                        _ => column.for_each(|to| *to = 0.0),
                    }
                }
            }
        }
    }
}

/// A part of the weights' gradient.
struct Task {
    channels: Range<usize>,
    /// Of taps.
    rows: Range<usize>,
}

/// Pixels that a stride apart, and where they lie.
struct Phase {
    down: usize,
    across: usize,
    /// Those that a tap meets.
    rows: Range<usize>,
    high: usize,
    wide: usize,
}

/// Filters turned about, and in for out.
fn turned(weight: &[f32], outputs: usize, inputs: usize, taps: usize) -> Vec<f32> {
    let mut turned = vec![0.0; weight.len()];
    for (o, of_output) in weight.chunks_exact(inputs * taps).enumerate() {
        for (i, filter) in of_output.chunks_exact(taps).enumerate() {
            let to = &mut turned[(i * outputs + o) * taps..][..taps];
            to.iter_mut().zip(filter.iter().rev()).for_each(|(t, v)| *t = *v);
        }
    }
    turned
}

/// Rows `(tap, out)` by `in`.
fn tap_by_tap(weight: &[f32], outputs: usize, inputs: usize, taps: usize) -> impl Fn(usize, usize) -> f32 {
    move |row, i| weight[((row % outputs) * inputs + i) * taps + row / outputs]
}

/// Images `(n, height, width, in)` by a weight `(out, in, side, side)`, with a border of half the side, to
/// `(n, height / stride, width / stride, out)`, rounded up: by candle's operations, on any device.
pub(crate) fn composed_convolve(x: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    x.conv2d(weight, weight.dim(2)? / 2, stride, 1, 1)?.permute((0, 2, 3, 1))?.contiguous()
}
