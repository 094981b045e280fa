use std::ops::Range;
use std::sync::OnceLock;

use super::buffer::{Buffer, padded};
use super::gemm::{After, Packed, Rows, Window, multiply};
use super::half::Half;
use super::lanes::Isa;
use super::winograd::Winograd;

/// A batch of images, channels last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// From one pixel to the next, values: at least `channels`.
    pub ld: usize,
}

impl Shape {
    /// With pixels [`padded`].
    pub(crate) fn new(images: usize, height: usize, width: usize, channels: usize) -> Self {
        Self { images, height, width, channels, ld: padded(channels) }
    }

    /// With pixels one after another, as tensors have them.
    pub(crate) fn dense(images: usize, height: usize, width: usize, channels: usize) -> Self {
        Self { images, height, width, channels, ld: channels }
    }

    pub(crate) fn pixels(self) -> usize {
        self.images * self.height * self.width
    }

    /// Values from the first to behind the last, and the padding of the last.
    pub(crate) fn span(self) -> usize {
        self.pixels() * self.ld
    }

    pub(crate) fn at(self, image: usize, y: usize, x: usize) -> usize {
        ((image * self.height + y) * self.width + x) * self.ld
    }
}

/// Space that convolutions work in; kept from call to call.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) places: Vec<[usize; 2]>,
    pub(super) inputs: Buffer,
    pub(super) products: Buffer,
    halves: Buffer,
    pub(super) zeros: Buffer,
    pub(super) bias: Buffer,
}

/// Zeros around an image: as many rows above as columns left, and below as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Border {
    pub before: usize,
    pub after: usize,
}

impl Border {
    pub(crate) fn even(n: usize) -> Self {
        Self { before: n, after: n }
    }
}

/// A convolution with its bias. How it is computed is chosen for each size of image: by the number of products
/// that its border leaves, or by Winograd's filtering. The weights are packed at the first use of a way.
pub(crate) struct Conv {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    border: Border,
    /// `(out, in, side, side)`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Whether products are of bfloat16.
    half: Option<Half>,
    direct: OnceLock<Packed>,
    /// For tiles of 2, 3 and 4.
    winograd: [OnceLock<Winograd>; 3],
}

impl Conv {
    /// `weight` is `(out, in, side, side)`, `bias` `(out)`.
    pub(crate) fn new(isa: Isa, weight: Vec<f32>, bias: Vec<f32>, side: usize, stride: usize, border: Border) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / (outputs * side * side).max(1);
        let (direct, winograd) = (OnceLock::new(), [const { OnceLock::new() }; 3]);
        Self { isa, inputs, outputs, side, stride, border, weight, bias, half: None, direct, winograd }
    }

    /// From now on products of bfloat16 wherever they are not Winograd's, whose sums they would spoil.
    pub(crate) fn halve(&mut self) {
        self.half = self.inputs.is_multiple_of(2).then(|| Half::on(self.isa));
        self.direct = OnceLock::new();
    }

    /// Other weights of the same shape, packed for the ways that were used.
    ///
    /// # Panics
    /// If there are more or fewer of them.
    pub(crate) fn refill(&mut self, weight: &[f32]) {
        self.weight.copy_from_slice(weight);
        let (inputs, outputs, side) = (self.inputs, self.outputs, self.side);
        match (self.direct.get_mut(), self.half) {
            (Some(direct), None) => {
                direct.fill(side * side * inputs, outputs, row_by_row(&self.weight, inputs, side));
            }
            (_, Some(_)) => self.direct = OnceLock::new(),
            (None, None) => {}
        }
        for winograd in self.winograd.iter_mut().filter_map(OnceLock::get_mut) {
            winograd.fill(inputs, outputs, &self.weight);
        }
    }

    pub(crate) fn weight(&self) -> (&[f32], [usize; 4]) {
        (&self.weight, [self.outputs, self.inputs, self.side, self.side])
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }

    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    pub(crate) fn border(&self) -> Border {
        self.border
    }

    /// What comes out of images of that shape.
    pub(crate) fn after(&self, from: Shape) -> Shape {
        let side = |n: usize| {
            (n + self.border.before + self.border.after).checked_sub(self.side).map_or(0, |rest| rest / self.stride + 1)
        };
        Shape::new(from.images, side(from.height), side(from.width), self.outputs)
    }

    /// `y = clamp(conv(x) + bias (+ y))`. `y` holds [`Conv::after`] already if `add`.
    ///
    /// # Panics
    /// If a slice is too short for its shape.
    pub(crate) fn run(
        &self,
        (x, from): (&[f32], Shape),
        y: &mut [f32],
        add: bool,
        clamp: (f32, f32),
        scratch: &mut Scratch,
    ) -> Shape {
        let to = self.after(from);
        self.run_to((x, from), (y, to), add, clamp, scratch);
        to
    }

    /// The same into pixels of another distance: `to` is [`Conv::after`] but for its `ld`.
    pub(crate) fn run_to(
        &self,
        (x, from): (&[f32], Shape),
        (y, to): (&mut [f32], Shape),
        add: bool,
        clamp: (f32, f32),
        scratch: &mut Scratch,
    ) {
        let after = After { bias: Some(&self.bias), add, clamp };
        match self.tile(from) {
            Some(m) => self.winograd[m - 2]
                .get_or_init(|| Winograd::new(self.isa, m, self.inputs, self.outputs, &self.weight))
                .run(x, from, y, to, after, scratch),
            None => self.direct((x, from), (y, to), after, scratch),
        }
    }

    /// The tile of the cheapest way by Winograd, if that is cheaper than without.
    fn tile(&self, from: Shape) -> Option<usize> {
        let fits = self.side == 3 && self.stride == 1 && self.border == Border::even(1);
        if !fits || !Winograd::takes(self.inputs, self.outputs) {
            return None;
        }
        let taps = |n: usize| self.runs(n).iter().map(|r| r.outputs.len() * r.taps.len()).sum::<usize>();
        // As if two products took the time of one even where they do not: which numbers are rounded must not depend on
        // the machine.
        let speed = if self.half.is_some() { 2.0 } else { 1.0 };
        let direct = (taps(from.height) * taps(from.width) * self.inputs * self.outputs) as f64 / speed;
        let (cost, m) = [2, 3, 4]
            .map(|m| (Winograd::cost(m, from, self.outputs), m))
            .into_iter()
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        (cost < direct).then_some(m)
    }

    /// Outputs along a side of `n` pixels, by which taps lie inside.
    fn runs(&self, n: usize) -> Vec<Run> {
        let count =
            (n + self.border.before + self.border.after).checked_sub(self.side).map_or(0, |r| r / self.stride + 1);
        let mut runs: Vec<Run> = Vec::new();
        for o in 0..count {
            let first = self.border.before.saturating_sub(o * self.stride);
            let last = (n + self.border.before - o * self.stride).min(self.side);
            match runs.last_mut() {
                Some(run) if run.taps == (first..last) => run.outputs.end += 1,
                _ => runs.push(Run { outputs: o..o + 1, taps: first..last }),
            }
        }
        runs
    }

    fn direct(
        &self,
        (x, from): (&[f32], Shape),
        (y, to): (&mut [f32], Shape),
        after: After<'_>,
        scratch: &mut Scratch,
    ) {
        let (side, inputs) = (self.side, self.inputs);
        let weights = self.direct.get_or_init(|| {
            let (at, k) = (row_by_row(&self.weight, inputs, side), side * side * inputs);
            match self.half {
                Some(half) => half.pack(k, self.outputs, at),
                None => Packed::new(self.isa, k, self.outputs, at),
            }
        });
        // Everything on the left side and in the rows of weights is counted in units of f32.
        let unit = self.half.map_or(1, Half::unit);
        let x = match self.half {
            Some(half) => half.convert(&x[..from.span()], &mut scratch.halves),
            None => x,
        };
        let inputs = inputs / unit;
        let from = Shape { ld: from.ld / unit, ..from };
        if side == 1 && self.stride == 1 {
            let rows = Rows::Every { count: from.pixels(), a: from.ld, c: to.ld };
            return multiply(x, weights, y, rows, Window::whole(inputs), after);
        }
        let columns = self.runs(from.width);
        for down in self.runs(from.height) {
            for across in &columns {
                let places = &mut scratch.places;
                places.clear();
                for image in 0..from.images {
                    for oy in down.outputs.clone() {
                        let iy = oy * self.stride + down.taps.start - self.border.before;
                        for ox in across.outputs.clone() {
                            let ix = ox * self.stride + across.taps.start - self.border.before;
                            places.push([from.at(image, iy, ix), to.at(image, oy, ox)]);
                        }
                    }
                }
                // Neighbouring pixels are one piece where nothing lies between them.
                let joined = from.ld == inputs;
                let window = Window {
                    ny: down.taps.len(),
                    nx: if joined { 1 } else { across.taps.len() },
                    k: if joined { across.taps.len() * inputs } else { inputs },
                    a_y: from.width * from.ld,
                    a_x: from.ld,
                    b_y: side * inputs,
                    b: (down.taps.start * side + across.taps.start) * inputs,
                };
                multiply(x, weights, y, Rows::At(places), window, after);
            }
        }
    }
}

/// Rows `(tap, in)` by `out`.
fn row_by_row(weight: &[f32], inputs: usize, side: usize) -> impl Fn(usize, usize) -> f32 {
    move |row, o| weight[(o * inputs + row % inputs) * side * side + row / inputs]
}

struct Run {
    outputs: Range<usize>,
    taps: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, of: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + 13) % of) as f32 / of as f32 - 0.5).collect()
    }

    /// By the definition, in f64.
    fn expected(conv: &Conv, x: &[f32], from: Shape, to: Shape) -> Vec<f64> {
        let (side, stride) = (conv.side as isize, conv.stride as isize);
        let mut out = Vec::new();
        for (image, oy, ox) in
            (0..to.images).flat_map(|n| (0..to.height).flat_map(move |y| (0..to.width).map(move |x| (n, y, x))))
        {
            for o in 0..conv.outputs {
                let mut sum = f64::from(conv.bias[o]);
                for (ky, kx) in (0..side).flat_map(|ky| (0..side).map(move |kx| (ky, kx))) {
                    let iy = oy as isize * stride + ky - conv.border.before as isize;
                    let ix = ox as isize * stride + kx - conv.border.before as isize;
                    if iy < 0 || ix < 0 || iy >= from.height as isize || ix >= from.width as isize {
                        continue;
                    }
                    for i in 0..conv.inputs {
                        let w = conv.weight[(o * conv.inputs + i) * (side * side) as usize + (ky * side + kx) as usize];
                        sum += f64::from(w) * f64::from(x[from.at(image, iy as usize, ix as usize) + i]);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    fn check(
        isa: Isa,
        (side, stride, border): (usize, usize, Border),
        (inputs, outputs): (usize, usize),
        size: [usize; 3],
    ) {
        let [images, height, width] = size;
        let from = Shape::new(images, height, width, inputs);
        let conv =
            Conv::new(isa, values(outputs * inputs * side * side, 1009), values(outputs, 31), side, stride, border);
        let to = conv.after(from);
        let x = values(from.span(), 2003);
        let expected = expected(&conv, &x, from, to);
        let largest = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
        let ways: [Option<usize>; 4] = [None, Some(2), Some(3), Some(4)];
        let fits = side == 3 && stride == 1 && border == Border::even(1) && Winograd::takes(inputs, outputs);
        for way in ways.into_iter().filter(|w| fits || w.is_none()) {
            let before = values(to.span(), 97);
            let mut y = before.clone();
            let after = After { bias: Some(&conv.bias), add: true, clamp: (-1.0, 1.5) };
            let mut scratch = Scratch::default();
            match way {
                None => conv.direct((&x, from), (&mut y, to), after, &mut scratch),
                Some(m) => {
                    Winograd::new(isa, m, inputs, outputs, &conv.weight).run(&x, from, &mut y, to, after, &mut scratch)
                }
            }
            for (i, sum) in expected.iter().enumerate() {
                let at = i / outputs * to.ld + i % outputs;
                let wanted = (sum + f64::from(before[at])).clamp(-1.0, 1.5);
                let error = (f64::from(y[at]) - wanted).abs() / largest;
                assert!(error < 1e-5, "{isa:?} {way:?} {side} {stride} {size:?} at {i}: {} for {wanted}", y[at]);
            }
        }
    }

    #[test]
    fn is_the_definition_in_every_way_on_every_isa() {
        for isa in Isa::available() {
            for size in [[1, 1, 1], [2, 2, 2], [1, 3, 5], [3, 6, 6], [1, 12, 7]] {
                for (side, stride, border) in [
                    (1, 1, Border::even(0)),
                    (1, 2, Border::even(0)),
                    (3, 1, Border::even(1)),
                    (3, 2, Border::even(1)),
                    (7, 2, Border::even(3)),
                ] {
                    check(isa, (side, stride, border), (16, 32), size);
                    check(isa, (side, stride, border), (3, 9), size);
                }
            }
            check(isa, (3, 2, Border { before: 0, after: 1 }), (5, 7), [2, 6, 9]);
            check(isa, (3, 1, Border::even(1)), (256, 48), [2, 4, 3]);
        }
    }

    /// Weights and pixels that are bfloat16 already: only sums are rounded, on every machine.
    #[test]
    fn halved_products_are_those_of_rounded_numbers() {
        let rounded = |n: usize, of: usize| -> Vec<f32> {
            values(n, of).iter().map(|v| f32::from_bits(v.to_bits() & 0xffff_0000)).collect()
        };
        for isa in Isa::available() {
            for (side, stride, border) in [(1, 1, 0), (1, 2, 0), (3, 2, 1), (3, 1, 1), (7, 2, 3)] {
                for (inputs, outputs, size) in [(6, 33, [2, 5, 7]), (256, 8, [1, 3, 2]), (2, 1, [1, 1, 1])] {
                    let [images, height, width] = size;
                    let from = Shape::new(images, height, width, inputs);
                    let weight = rounded(outputs * inputs * side * side, 1009);
                    let bias = values(outputs, 31);
                    let make = || Conv::new(isa, weight.clone(), bias.clone(), side, stride, Border::even(border));
                    let (plain, mut halved) = (make(), make());
                    halved.halve();
                    let x = rounded(from.span(), 2003);
                    let to = plain.after(from);
                    let expected = expected(&plain, &x, from, to);
                    let largest = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
                    let mut y = vec![0.0; to.span()];
                    let after = After { bias: Some(&halved.bias), ..After::NOTHING };
                    halved.direct((&x, from), (&mut y, to), after, &mut Scratch::default());
                    for (i, sum) in expected.iter().enumerate() {
                        let found = f64::from(y[i / outputs * to.ld + i % outputs]);
                        assert!((found - sum).abs() < 1e-5 * largest, "{isa:?} {side} {stride}: {found} for {sum}");
                    }
                }
            }
        }
    }

    #[test]
    fn halved_convolutions_go_the_same_way_on_every_machine() {
        for (channels, side) in [(64, 12), (128, 6), (256, 3), (512, 2), (512, 1)] {
            let ways: Vec<Option<usize>> = Isa::available()
                .into_iter()
                .map(|isa| {
                    let (weight, bias) = (vec![0.0; channels * channels * 9], vec![0.0; channels]);
                    let mut conv = Conv::new(isa, weight, bias, 3, 1, Border::even(1));
                    conv.halve();
                    conv.tile(Shape::new(4, side, side, channels))
                })
                .collect();
            assert!(ways.iter().all(|way| *way == ways[0]), "{channels} channels, {side} px: {ways:?}");
        }
    }
}
