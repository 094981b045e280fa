//! The network on one thread.

use ndarray::ArrayView4;

use super::attention::{self, Heads};
use super::position::{enlarge, resample};
use super::{VitOptions, VitPooling};
use crate::PixelNorm;
use crate::cpu::{After, Buffer, Conv, Half, Isa, Packed, Rows, Scratch, Shape, Window, elementwise, multiply, padded};

const EPSILON: f32 = 1e-6;
/// What a thread's tokens may take.
const CHUNK_BYTES: usize = 24 << 20;
/// With more crops than this nothing is gained.
const MOST_CROPS: usize = 64;

/// `x w + b`.
pub(super) struct Linear {
    weight: Packed,
    half: Option<Half>,
    pub bias: Vec<f32>,
}

/// Layer norm.
pub(super) struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

pub(super) struct Mlp {
    pub up: Linear,
    pub down: Linear,
    /// SwiGLU: the first half of `up` through a SiLU, times the second; otherwise GELU.
    pub gated: bool,
    pub hidden: usize,
}

pub(super) struct Block {
    pub norm1: Norm,
    /// Queries (scaled), keys and values.
    pub qkv: Linear,
    pub projection: Linear,
    pub norm2: Norm,
    pub mlp: Mlp,
}

pub(super) struct Net {
    pub isa: Isa,
    pub dim: usize,
    pub heads: usize,
    pub patch: usize,
    /// Of the training.
    pub grid: (usize, usize),
    pub patches: Conv,
    /// Class and register tokens with their positions, `(tokens, dim)`.
    pub tokens: Vec<f32>,
    /// `(grid.0 * grid.1, dim)`.
    pub positions: Vec<f32>,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    /// Class tokens: one, or none.
    pub classes: usize,
}

/// Kept from call to call.
#[derive(Default)]
pub(super) struct Workspace {
    pixels: Buffer,
    enlarged: Buffer,
    patches: Buffer,
    x: Buffer,
    normed: Buffer,
    qkv: Buffer,
    hidden: Buffer,
    /// What a product of bfloat16 takes.
    halves: Buffer,
    attention: attention::Workspace,
    scratch: Scratch,
}

impl Linear {
    /// From `at(input, output)`; of bfloat16 if that is wanted and there is an even number of inputs.
    pub(super) fn new(isa: Isa, inputs: usize, bias: Vec<f32>, bf16: bool, at: impl Fn(usize, usize) -> f32) -> Self {
        let half = (bf16 && inputs.is_multiple_of(2)).then(|| Half::on(isa));
        let weight = match half {
            Some(half) => half.pack(inputs, bias.len(), at),
            None => Packed::new(isa, inputs, bias.len(), at),
        };
        Self { weight, half, bias }
    }

    /// `(inputs, outputs)`, row by row.
    pub(super) fn values(&self) -> Vec<f32> {
        self.half.map_or_else(|| self.weight.unpacked(), |half| half.unpacked(&self.weight))
    }

    /// Rows of `x` and `y` are padded.
    fn run(&self, x: &[f32], rows: usize, inputs: usize, y: &mut [f32], add: bool, halves: &mut Buffer) {
        let ld = padded(inputs);
        let (x, unit) = match self.half {
            Some(half) => (half.convert(&x[..rows * ld], halves), half.unit()),
            None => (x, 1),
        };
        let every = Rows::Every { count: rows, a: ld / unit, c: padded(self.bias.len()) };
        let after = After { bias: Some(&self.bias), add, ..After::NOTHING };
        multiply(x, &self.weight, y, every, Window::whole(inputs / unit), after);
    }
}

impl Net {
    /// How many crops a thread takes at most.
    pub(super) fn crops_at_once(&self, size: (usize, usize)) -> usize {
        let tokens = size.0 / self.patch * (size.1 / self.patch) + self.tokens.len() / self.dim;
        let widest = self.blocks.iter().map(|b| b.mlp.up.bias.len()).max().unwrap_or(0);
        let bytes = (tokens * (6 * self.dim + widest) + size.0 * size.1 * 3) * size_of::<f32>();
        (CHUNK_BYTES / bytes.max(1)).clamp(1, MOST_CROPS)
    }

    /// Positions of a grid.
    pub(super) fn positions_for(&self, rows: usize, columns: usize) -> Vec<f32> {
        resample(&self.positions, self.grid, (rows, columns), self.dim)
    }

    /// Features of some crops: `(crops, dim)`, twice as wide for both pools.
    pub(super) fn forward(
        &self,
        crops: ArrayView4<'_, u8>,
        size: (usize, usize),
        positions: &[f32],
        (norm, options): (PixelNorm, VitOptions),
        out: &mut [f32],
        w: &mut Workspace,
    ) {
        let (images, height, width, channels) = crops.dim();
        norm.apply(crops, w.pixels.resize(images * height * width * channels));
        let pixels = if (height, width) == size {
            w.pixels.as_slice()
        } else {
            let enlarged = w.enlarged.resize(images * size.0 * size.1 * channels);
            enlarge(w.pixels.as_slice(), (height, width), size, enlarged);
            w.enlarged.as_slice()
        };
        let from = Shape::new(images, size.0, size.1, channels);
        let grid = self.patches.after(from);
        let patches = w.patches.resize(grid.span());
        self.patches.run((pixels, from), patches, false, After::NOTHING.clamp, &mut w.scratch);

        let (dim, ld) = (self.dim, padded(self.dim));
        let (special, cells) = (self.tokens.len() / dim, grid.height * grid.width);
        let tokens = special + cells;
        let rows = images * tokens;
        let x = w.x.resize(rows * ld);
        for (image, x) in x.chunks_exact_mut(tokens * ld).enumerate() {
            for (row, token) in x.chunks_exact_mut(ld).zip(self.tokens.chunks_exact(dim)) {
                row[..dim].copy_from_slice(token);
            }
            for (i, row) in x.chunks_exact_mut(ld).skip(special).enumerate() {
                let patch = &patches[(image * cells + i) * grid.ld..][..dim];
                let place = &positions[i * dim..][..dim];
                for ((r, p), q) in row[..dim].iter_mut().zip(patch).zip(place) {
                    *r = p + q;
                }
            }
        }
        let normed = w.normed.resize(rows * ld);
        for block in &self.blocks {
            let rest = (&mut w.qkv, &mut w.hidden, &mut w.halves, &mut w.attention);
            block.run(self, (x, normed), (images, tokens), rest);
        }
        elementwise::layer_norm(self.isa, (x, ld), (&self.norm.weight, &self.norm.bias), EPSILON, normed);
        for (image, out) in out.chunks_exact_mut(out.len() / images.max(1)).enumerate() {
            let rows = &normed[image * tokens * ld..][..tokens * ld];
            let (class, mean) = match options.pooling {
                VitPooling::Class if self.classes > 0 => (Some(out), None),
                VitPooling::Class | VitPooling::Mean => (None, Some(out)),
                VitPooling::ClassAndMean => {
                    let (class, mean) = out.split_at_mut(dim);
                    (Some(class), Some(mean))
                }
            };
            if let Some(class) = class {
                class.copy_from_slice(&rows[..dim]);
            }
            if let Some(mean) = mean {
                for row in rows.chunks_exact(ld).skip(special) {
                    mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
                }
                mean.iter_mut().for_each(|m| *m /= cells as f32);
            }
        }
    }
}

impl Block {
    fn run(
        &self,
        net: &Net,
        (x, normed): (&mut [f32], &mut [f32]),
        (images, tokens): (usize, usize),
        (qkv, hidden, halves, attention): (&mut Buffer, &mut Buffer, &mut Buffer, &mut attention::Workspace),
    ) {
        let (rows, dim, ld) = (images * tokens, net.dim, padded(net.dim));
        elementwise::layer_norm(net.isa, (x, ld), (&self.norm1.weight, &self.norm1.bias), EPSILON, normed);
        let qkv = qkv.resize(rows * padded(3 * dim));
        self.qkv.run(normed, rows, dim, qkv, false, halves);
        let heads =
            Heads { isa: net.isa, count: net.heads, width: dim / net.heads, tokens, ld: padded(3 * dim), ld_out: ld };
        for (qkv, out) in qkv.chunks_exact(tokens * heads.ld).zip(normed.chunks_exact_mut(tokens * ld)) {
            attention::run(heads, qkv, out, attention);
        }
        self.projection.run(normed, rows, dim, x, true, halves);

        elementwise::layer_norm(net.isa, (x, ld), (&self.norm2.weight, &self.norm2.bias), EPSILON, normed);
        let mlp = &self.mlp;
        let wide = padded(mlp.up.bias.len());
        let hidden = hidden.resize(rows * (wide + padded(mlp.hidden)));
        let (up, act) = hidden.split_at_mut(rows * wide);
        mlp.up.run(normed, rows, dim, up, false, halves);
        let to = padded(mlp.hidden);
        elementwise::activate(net.isa, (up, wide), (act, to), mlp.hidden, mlp.gated);
        mlp.down.run(act, rows, mlp.hidden, x, true, halves);
    }
}
