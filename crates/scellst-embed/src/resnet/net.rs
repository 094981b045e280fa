//! The network on one thread.

use ndarray::ArrayView4;

use crate::PixelNorm;
use crate::cpu::{Buffer, Conv, Isa, Scratch, Shape, global_mean, max_pool};

const RELU: (f32, f32) = (0.0, f32::INFINITY);
const LINEAR: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// About what a stage's images may take of the second cache: so many are taken through it at a time.
const STAGE_BYTES: usize = 896 << 10;
/// What a thread may keep between two stages.
const CHUNK_BYTES: usize = 24 << 20;
/// With more crops than this the deepest stages gain no more.
const MOST_CROPS: usize = 64;

/// Two or three convolutions beside a shortcut.
pub(super) struct Block {
    pub convs: Vec<Conv>,
    pub shortcut: Option<Conv>,
}

pub(super) struct Net {
    pub isa: Isa,
    pub stem: Conv,
    pub stages: Vec<Vec<Block>>,
}

/// Kept from call to call.
#[derive(Default)]
pub(super) struct Workspace {
    pixels: Buffer,
    stem: Buffer,
    pooled: Buffer,
    within: [Buffer; 2],
    /// Between stages, of all crops of a call.
    between: [Buffer; 2],
    scratch: Scratch,
}

impl Block {
    /// What comes out, and the images between.
    fn shapes(&self, from: Shape) -> (Shape, usize) {
        let (mut shape, mut within) = (from, 0);
        for conv in &self.convs {
            shape = conv.after(shape);
            within += shape.span();
        }
        (shape, within - shape.span())
    }

    /// Into `y`, or in place where there is none: then the shortcut is `x` itself.
    fn run(
        &self,
        x: &mut [f32],
        from: Shape,
        y: Option<&mut [f32]>,
        within: &mut [Buffer; 2],
        scratch: &mut Scratch,
    ) -> Shape {
        let Some((last, rest)) = self.convs.split_last() else { return from };
        let (mut shape, mut filled) = (from, false);
        for conv in rest {
            let [one, other] = &mut *within;
            let to = other.resize(conv.after(shape).span());
            let input = if filled { one.as_slice() } else { &*x };
            shape = conv.run((input, shape), to, false, RELU, scratch);
            within.swap(0, 1);
            filled = true;
        }
        match (&self.shortcut, y) {
            (Some(shortcut), Some(y)) => {
                shortcut.run((x, from), y, false, LINEAR, scratch);
                last.run((within[0].as_slice(), shape), y, true, RELU, scratch)
            }
            _ => last.run((within[0].as_slice(), shape), x, true, RELU, scratch),
        }
    }
}

impl Net {
    /// Takes products of bfloat16 from now on.
    pub(super) fn halve(&mut self) {
        for block in self.stages.iter_mut().flatten() {
            block.convs.iter_mut().chain(&mut block.shortcut).for_each(Conv::halve);
        }
    }

    /// How many crops a thread takes at most.
    pub(super) fn crops_at_once(&self, height: usize, width: usize) -> usize {
        let stem = self.stem.after(Shape::new(1, height, width, 3));
        // The first stage gives a quarter of the stem's pixels, each with up to four times its channels.
        (CHUNK_BYTES / (stem.span() * size_of::<f32>()).max(1)).clamp(1, MOST_CROPS)
    }

    /// Features of some crops, `(crops, dim)`.
    pub(super) fn forward(&self, crops: ArrayView4<'_, u8>, norm: PixelNorm, out: &mut [f32], w: &mut Workspace) {
        let (images, height, width, channels) = crops.dim();
        let mut from = Shape::new(images, height, width, channels);
        for (s, stage) in self.stages.iter().enumerate() {
            // Only shapes of one image are the same whatever the batch.
            let one = Shape { images: 1, ..from };
            let entry = if s == 0 { self.entry(one) } else { one };
            let Some(first) = stage.first() else { continue };
            let (to, within) = first.shapes(entry);
            let bytes = (to.span() + within) * size_of::<f32>();
            let group = (STAGE_BYTES / bytes.max(1)).clamp(1, images);
            let [before, after] = &mut w.between;
            let results = after.resize(images * to.span());
            for begin in (0..images).step_by(group) {
                let count = group.min(images - begin);
                let y = &mut results[begin * to.span()..][..count * to.span()];
                let start = Shape { images: count, ..entry };
                let crops = crops.slice(ndarray::s![begin..begin + count, .., .., ..]);
                let alone = first.shortcut.is_none();
                if s == 0 {
                    let shape = Shape { images: count, ..one };
                    norm.apply(crops, w.pixels.resize(shape.span()));
                    let stem = w.stem.resize(self.stem.after(shape).span());
                    let shape = self.stem.run((w.pixels.as_slice(), shape), stem, false, RELU, &mut w.scratch);
                    let pooled = if alone { &mut *y } else { w.pooled.resize(start.span()) };
                    max_pool(self.isa, stem, shape, pooled);
                }
                let mut shape = start;
                if !alone {
                    let earlier = begin * one.span()..(begin + count) * one.span();
                    let x = if s == 0 { w.pooled.as_mut() } else { &mut before.as_mut()[earlier] };
                    shape = first.run(x, start, Some(&mut *y), &mut w.within, &mut w.scratch);
                }
                for block in &stage[usize::from(!alone)..] {
                    shape = block.run(y, shape, None, &mut w.within, &mut w.scratch);
                }
            }
            from = Shape { images, ..to };
            w.between.swap(0, 1);
        }
        global_mean(self.isa, w.between[0].as_slice(), from, out);
    }

    /// What the first stage gets.
    fn entry(&self, crop: Shape) -> Shape {
        let stem = self.stem.after(crop);
        Shape::new(stem.images, (stem.height - 1) / 2 + 1, (stem.width - 1) / 2 + 1, stem.channels)
    }
}
