//! Baseline JPEG of RGB tiles (ITU-T T.81), all with the same tables, which are stored apart.
//!
//! Colours as in JFIF: YCbCr of full range (ITU-R BT.601). Quantisation and Huffman tables are the
//! typical ones of T.81, annex K, the former scaled by the quality as the Independent JPEG Group's
//! software does. The transform is that of Arai, Agui and Nakajima (1988) in `f32`, its factors taken into
//! the quantisation. Several blocks are worked on at once, one in each lane, so that the compiler makes
//! vectors of it all.

use std::array::from_fn;
use std::ops::{Add, Mul, Sub};

use super::Chroma;

/// Marker bytes.
const START: [u8; 2] = [0xff, 0xd8];
const END: [u8; 2] = [0xff, 0xd9];

/// T.81, tables K.1 (luminance) and K.2 (chrominance), in rows.
const QUANTISATION: [[u8; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// A Huffman table as it is stored: how many codes there are of 1 to 16 bits, and their symbols in order.
struct Codes {
    counts: [u8; 16],
    symbols: &'static [u8],
}

/// T.81, tables K.3 and K.4: differences of the mean.
const DC: [Codes; 2] = [
    Codes {
        counts: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        symbols: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    },
    Codes {
        counts: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        symbols: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    },
];

/// T.81, tables K.5 and K.6: zeros before a coefficient, and its bits.
const AC: [Codes; 2] = [
    Codes {
        counts: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        symbols: &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
            0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72,
            0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
            0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59,
            0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
            0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3,
            0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
            0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
            0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    },
    Codes {
        counts: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        symbols: &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
            0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1,
            0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36,
            0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58,
            0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a,
            0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
            0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
            0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
            0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    },
];

/// Where in a block, in rows, the coefficients lie in the order in which they are stored (T.81, figure A.6).
const ZIGZAG: [u8; 64] = zigzag();

const fn zigzag() -> [u8; 64] {
    let mut order = [0; 64];
    let (mut x, mut y) = (0_usize, 0_usize);
    let mut i = 0;
    while i < 64 {
        order[i] = (y * 8 + x) as u8;
        let up = (x + y).is_multiple_of(2);
        if up && x == 7 {
            y += 1;
        } else if up && y == 0 {
            x += 1;
        } else if up {
            x += 1;
            y -= 1;
        } else if y == 7 {
            x += 1;
        } else if x == 0 {
            y += 1;
        } else {
            x -= 1;
            y += 1;
        }
        i += 1;
    }
    order
}

/// The place in that order of every coefficient of a block in rows.
const ORDER: [u8; 64] = order();

const fn order() -> [u8; 64] {
    let mut order = [0; 64];
    let mut i = 0;
    while i < 64 {
        order[ZIGZAG[i] as usize] = i as u8;
        i += 1;
    }
    order
}

/// Added to this, 1.5 x 2^23, a number that is not large loses its fraction, rounded to nearest.
const ROUND: f32 = 12_582_912.0;

/// Code and its length in bits, by symbol.
type Lookup = [(u16, u8); 256];

/// Encodes tiles of one quality.
pub(crate) struct JpegEncoder {
    chroma: Chroma,
    tables: Vec<u8>,
    /// For brightness and colour: what a coefficient of the transform is multiplied by.
    factors: [[f32; 64]; 2],
    dc: [Lookup; 2],
    ac: [Lookup; 2],
}

impl std::fmt::Debug for JpegEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JpegEncoder({:?})", self.chroma)
    }
}

impl JpegEncoder {
    /// `quality` from 1 to 100.
    pub(crate) fn new(quality: u8, chroma: Chroma) -> Self {
        let quantisation = QUANTISATION.map(|table| table.map(|step| scaled(step, quality)));
        Self {
            chroma,
            tables: tables(&quantisation),
            factors: quantisation.map(|table| factors(&table)),
            dc: DC.each_ref().map(lookup),
            ac: AC.each_ref().map(lookup),
        }
    }

    /// The tables that all streams need, as the TIFF tag JPEGTables has them.
    pub(crate) fn tables(&self) -> &[u8] {
        &self.tables
    }

    /// Encodes a square tile. `side` is a multiple of 16 up to 65,520; `pixels` are those of the tile,
    /// and a byte more, which is not looked at. The stream is without its tables.
    pub(crate) fn encode(&self, pixels: &[u8], side: usize) -> Vec<u8> {
        let mut out = Scan { encoder: self, bits: Bits::default(), means: [0; 3] };
        out.bits.bytes.reserve(side * side / 4);
        out.bits.bytes.extend(START);
        let (high, low) = ((side >> 8) as u8, side as u8);
        let sampling = if self.chroma == Chroma::Full { 0x11 } else { 0x22 };
        // Start of frame and of scan: three components with their sampling and tables.
        out.bits.bytes.extend([0xff, 0xc0, 0, 17, 8, high, low, high, low, 3, 1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1]);
        out.bits.bytes.extend([0xff, 0xda, 0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
        match self.chroma {
            Chroma::Full => {
                for y in (0..side).step_by(8) {
                    for x in (0..side).step_by(8 * LANES) {
                        self.full(&mut out, &Group::new(pixels, side, 8, x, y));
                    }
                }
            }
            Chroma::Halved => {
                for y in (0..side).step_by(16) {
                    for x in (0..side).step_by(16 * LANES) {
                        self.halved(&mut out, &Group::new(pixels, side, 16, x, y));
                    }
                }
            }
        }
        out.bits.finish();
        out.bits.bytes.extend(END);
        out.bits.bytes
    }

    /// Blocks of 8 x 8 px in a row.
    fn full(&self, out: &mut Scan<'_>, group: &Group<'_>) {
        let [mut y, mut cb, mut cr] = [[[Lane::ZERO; 8]; 8]; 3];
        for i in 0..8 {
            for j in 0..8 {
                let rgb = group.rgb(i, j);
                y[i][j] = weighed(rgb, Y, -128.0);
                cb[i][j] = weighed(rgb, CB, 0.0);
                cr[i][j] = weighed(rgb, CR, 0.0);
            }
        }
        let y = Blocks::new(&mut y, &self.factors[0]);
        let (cb, cr) = (Blocks::new(&mut cb, &self.factors[1]), Blocks::new(&mut cr, &self.factors[1]));
        for lane in 0..group.count {
            out.block(0, &y, lane);
            out.block(1, &cb, lane);
            out.block(2, &cr, lane);
        }
    }

    /// Squares of 16 x 16 px in a row, each of four blocks of brightness and one of each colour.
    fn halved(&self, out: &mut Scan<'_>, group: &Group<'_>) {
        let brightness = [(0, 0), (8, 0), (0, 8), (8, 8)].map(|(left, top)| {
            let mut y = [[Lane::ZERO; 8]; 8];
            for (i, column) in y.iter_mut().enumerate() {
                for (j, value) in column.iter_mut().enumerate() {
                    *value = weighed(group.rgb(left + i, top + j), Y, -128.0);
                }
            }
            Blocks::new(&mut y, &self.factors[0])
        });
        let [mut cb, mut cr] = [[[Lane::ZERO; 8]; 8]; 2];
        for i in 0..8 {
            for j in 0..8 {
                let mut sum = group.rgb(2 * i, 2 * j);
                for (x, y) in [(1, 0), (0, 1), (1, 1)] {
                    for (sum, more) in sum.iter_mut().zip(group.rgb(2 * i + x, 2 * j + y)) {
                        *sum = *sum + more;
                    }
                }
                cb[i][j] = weighed(sum, CB.map(|w| w / 4.0), 0.0);
                cr[i][j] = weighed(sum, CR.map(|w| w / 4.0), 0.0);
            }
        }
        let (cb, cr) = (Blocks::new(&mut cb, &self.factors[1]), Blocks::new(&mut cr, &self.factors[1]));
        for lane in 0..group.count {
            brightness.iter().for_each(|blocks| out.block(0, blocks, lane));
            out.block(1, &cb, lane);
            out.block(2, &cr, lane);
        }
    }
}

/// Blocks that are worked on at once, one in each lane of a vector.
const LANES: usize = 4;

/// A value of each of several blocks.
#[derive(Debug, Clone, Copy)]
struct Lane([f32; LANES]);

impl Lane {
    const ZERO: Self = Self([0.0; LANES]);
}

impl Add for Lane {
    type Output = Self;

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a += b;
        }
        self
    }
}

impl Sub for Lane {
    type Output = Self;

    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a -= b;
        }
        self
    }
}

impl Mul<f32> for Lane {
    type Output = Self;

    #[inline(always)]
    fn mul(mut self, by: f32) -> Self {
        for a in &mut self.0 {
            *a *= by;
        }
        self
    }
}

/// Weights of red, green and blue (ITU-R BT.601).
const Y: [f32; 3] = [0.299, 0.587, 0.114];
const CB: [f32; 3] = [-0.168_736, -0.331_264, 0.5];
const CR: [f32; 3] = [0.5, -0.418_688, -0.081_312];

/// A component, rounded: pixels from a JPEG so become what they were.
#[inline(always)]
fn weighed([r, g, b]: [Lane; 3], weights: [f32; 3], more: f32) -> Lane {
    // With a number that large the sum has no room for a fraction.
    let (more, round) = (Lane([more + ROUND; LANES]), Lane([ROUND; LANES]));
    r * weights[0] + g * weights[1] + b * weights[2] + more - round
}

/// Squares of pixels in a row, of which the last may be missing.
struct Group<'a> {
    pixels: &'a [u8],
    side: usize,
    /// Byte of each square's corner; of those that are missing, that of the last.
    corners: [usize; LANES],
    count: usize,
}

impl<'a> Group<'a> {
    fn new(pixels: &'a [u8], side: usize, square: usize, x: usize, y: usize) -> Self {
        let count = LANES.min((side - x) / square);
        Self { pixels, side, corners: from_fn(|i| (y * side + x + i.min(count - 1) * square) * 3), count }
    }

    /// The same pixel of every square.
    #[inline(always)]
    fn rgb(&self, x: usize, y: usize) -> [Lane; 3] {
        let from = (y * self.side + x) * 3;
        let mut rgb = [Lane::ZERO; 3];
        let mut words = [0; LANES];
        for (word, corner) in words.iter_mut().zip(self.corners) {
            // Four bytes, of which the last is not looked at, are one load.
            if let Some(four) = self.pixels[corner + from..].first_chunk() {
                *word = u32::from_le_bytes(*four);
            }
        }
        for (value, shift) in rgb.iter_mut().zip([0, 8, 16]) {
            for (v, word) in value.0.iter_mut().zip(words) {
                *v = (word >> shift & 0xff) as i32 as f32;
            }
        }
        rgb
    }
}

/// Quantised coefficients of several blocks, in rows.
struct Blocks {
    values: [[i16; LANES]; 64],
    /// Of each block: which are not zero, in the order in which they are stored.
    wanted: [u64; LANES],
}

impl Blocks {
    /// From the blocks' columns of samples.
    fn new(columns: &mut [[Lane; 8]; 8], factors: &[f32; 64]) -> Self {
        columns.iter_mut().for_each(transform);
        let mut values = [[0; LANES]; 64];
        let mut wanted = [0; LANES];
        for i in 0..8 {
            let mut line = [Lane::ZERO; 8];
            for (value, column) in line.iter_mut().zip(&*columns) {
                *value = column[i];
            }
            transform(&mut line);
            let mut any = [0; LANES];
            for (x, value) in line.iter().enumerate() {
                let rounded = (*value * factors[8 * i + x]) + Lane([ROUND; LANES]);
                for lane in 0..LANES {
                    // The whole number is in the lowest bits.
                    let whole = rounded.0[lane].to_bits() as i16;
                    values[8 * i + x][lane] = whole;
                    any[lane] |= whole;
                }
            }
            for lane in 0..LANES {
                if any[lane] != 0 {
                    for (values, order) in values[8 * i..8 * i + 8].iter().zip(&ORDER[8 * i..]) {
                        wanted[lane] |= u64::from(values[lane] != 0) << order;
                    }
                }
            }
        }
        Self { values, wanted }
    }
}

/// What is written of a tile.
struct Scan<'a> {
    encoder: &'a JpegEncoder,
    bits: Bits,
    /// Of the last block of each component.
    means: [i32; 3],
}

impl Scan<'_> {
    /// Writes a block of a component.
    fn block(&mut self, component: usize, blocks: &Blocks, lane: usize) {
        let table = component.min(1);
        let (dc, ac) = (&self.encoder.dc[table], &self.encoder.ac[table]);
        let size_of = |value: i32| 32 - value.unsigned_abs().leading_zeros();
        let mean = i32::from(blocks.values[0][lane]);
        let difference = mean - self.means[component];
        self.means[component] = mean;
        let size = size_of(difference);
        self.bits.put(dc[size as usize], difference, size);
        let mut wanted = blocks.wanted[lane] & !1;
        let mut last = 0;
        while wanted != 0 {
            let at = wanted.trailing_zeros();
            wanted &= wanted - 1;
            let mut zeros = at - last - 1;
            while zeros > 15 {
                self.bits.put(ac[0xf0], 0, 0);
                zeros -= 16;
            }
            let value = i32::from(blocks.values[usize::from(ZIGZAG[at as usize])][lane]);
            let size = size_of(value);
            self.bits.put(ac[(zeros << 4 | size) as usize], value, size);
            last = at;
        }
        if last != 63 {
            self.bits.put(ac[0], 0, 0);
        }
    }
}

/// A step of quantisation at a quality.
fn scaled(step: u8, quality: u8) -> u8 {
    let quality = u32::from(quality);
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as u8
}

fn tables(quantisation: &[[u8; 64]; 2]) -> Vec<u8> {
    let mut bytes = START.to_vec();
    for (number, table) in (0..).zip(quantisation) {
        bytes.extend([0xff, 0xdb, 0, 67, number]);
        bytes.extend(ZIGZAG.map(|i| table[usize::from(i)]));
    }
    for (class, tables) in [(0x00, &DC), (0x10, &AC)] {
        for (number, codes) in (0..).zip(tables) {
            bytes.extend([0xff, 0xc4, 0, (19 + codes.symbols.len()) as u8, class | number]);
            bytes.extend(codes.counts);
            bytes.extend(codes.symbols);
        }
    }
    bytes.extend(END);
    bytes
}

/// What turns the transform's output into steps of quantisation.
fn factors(table: &[u8; 64]) -> [f32; 64] {
    // The transform leaves out cos(k pi / 16) sqrt(2) for each axis, and eight for both.
    let scale = |k: usize| {
        if k == 0 { 1.0 } else { (k as f64 * std::f64::consts::PI / 16.0).cos() * std::f64::consts::SQRT_2 }
    };
    from_fn(|i| {
        let (v, u) = (i / 8, i % 8);
        (1.0 / (f64::from(table[i]) * scale(u) * scale(v) * 8.0)) as f32
    })
}

/// The code of every symbol: those of a length are numbers in a row (T.81, annex C).
fn lookup(codes: &Codes) -> Lookup {
    let mut table = [(0, 0); 256];
    let (mut code, mut next) = (0_u16, 0);
    for (length, &count) in (1..).zip(&codes.counts) {
        for &symbol in &codes.symbols[next..next + usize::from(count)] {
            table[usize::from(symbol)] = (code, length);
            code += 1;
        }
        next += usize::from(count);
        code <<= 1;
    }
    table
}

/// The cosine transform along a row or column, scaled.
#[inline(always)]
fn transform(x: &mut [Lane; 8]) {
    const C4: f32 = std::f32::consts::FRAC_1_SQRT_2; // cos(4 pi / 16)
    const C6: f32 = 0.382_683_43; // cos(6 pi / 16)
    const C2_LESS_C6: f32 = 0.541_196_1;
    const C2_PLUS_C6: f32 = 1.306_563;
    let (s0, s1, s2, s3) = (x[0] + x[7], x[1] + x[6], x[2] + x[5], x[3] + x[4]);
    let (d0, d1, d2, d3) = (x[0] - x[7], x[1] - x[6], x[2] - x[5], x[3] - x[4]);

    let (outer, inner) = (s0 + s3, s1 + s2);
    let (far, near) = (s0 - s3, s1 - s2);
    let turned = (near + far) * C4;
    x[0] = outer + inner;
    x[4] = outer - inner;
    x[2] = far + turned;
    x[6] = far - turned;

    let (a, b, c) = (d3 + d2, d2 + d1, d1 + d0);
    let common = (a - c) * C6;
    let (low, high) = (a * C2_LESS_C6 + common, c * C2_PLUS_C6 + common);
    let middle = b * C4;
    let (plus, minus) = (d0 + middle, d0 - middle);
    x[1] = plus + high;
    x[7] = plus - high;
    x[5] = minus + low;
    x[3] = minus - low;
}

/// Bits, the highest first, with a zero byte after every byte of ones.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    waiting: u64,
    /// Bits that wait: below 32 between calls.
    count: u32,
}

impl Bits {
    /// A code, and then the lowest `size` bits of a value (less one, where it is negative).
    fn put(&mut self, (code, length): (u16, u8), value: i32, size: u32) {
        let low = (value + (value >> 31)) as u32 & ((1 << size) - 1);
        self.waiting = (self.waiting << (u32::from(length) + size)) | u64::from((u32::from(code) << size) | low);
        self.count += u32::from(length) + size;
        if self.count >= 32 {
            self.count -= 32;
            let word = (self.waiting >> self.count) as u32;
            let bytes = word.to_be_bytes();
            // Whether a byte is 255: then its complement is zero, from which one is borrowed.
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.bytes.extend_from_slice(&bytes);
            } else {
                bytes.into_iter().for_each(|byte| self.byte(byte));
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
        if byte == 0xff {
            self.bytes.push(0);
        }
    }

    /// Fills the last byte with ones.
    fn finish(&mut self) {
        let fill = (8 - self.count % 8) % 8;
        self.waiting = (self.waiting << fill) | ((1 << fill) - 1);
        self.count += fill;
        while self.count > 0 {
            self.count -= 8;
            self.byte((self.waiting >> self.count) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, RgbImage};
    use scellst_types::Size;

    use super::*;
    use crate::codec::jpeg;

    /// The pixels of a tile, the stream whole, and what is decoded from it.
    fn through(tile: &RgbImage, quality: u8, chroma: Chroma) -> (Vec<u8>, RgbImage) {
        let encoder = JpegEncoder::new(quality, chroma);
        let pixels = [tile.as_raw(), &[99][..]].concat();
        let stream = encoder.encode(&pixels, tile.width() as usize);
        let tables = encoder.tables();
        let whole = [&tables[..tables.len() - 2], &stream[2..]].concat();
        let decoded = jpeg::decode(&whole, Size::new(tile.width(), tile.height())).unwrap();
        (whole, decoded)
    }

    fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
        assert_eq!(a.dimensions(), b.dimensions());
        let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.as_raw().len() as f64
    }

    fn noise(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            let hash = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
            image::Rgb([(hash >> 24) as u8, (hash >> 16) as u8, (hash >> 8) as u8])
        })
    }

    fn slopes(side: u32) -> RgbImage {
        RgbImage::from_fn(side, side, |x, y| {
            let stain = if (x / 11 + y / 7) % 3 == 0 { 90 } else { 0 };
            image::Rgb([(200 - stain + x / 8) as u8, (150 + y / 6 - stain) as u8, (210 - x / 9) as u8])
        })
    }

    /// As near and as small as the encoder of the crate `image`, whatever the number of lanes left over.
    #[test]
    fn beside_another_encoder() {
        for side in [16, 48, 64, 208] {
            for tile in [noise(side), slopes(side), RgbImage::from_pixel(side, side, image::Rgb([255, 0, 7]))] {
                for quality in [1, 30, 50, 85, 100] {
                    let mut peer = Vec::new();
                    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut peer, quality)
                        .encode(tile.as_raw(), side, side, ExtendedColorType::Rgb8)
                        .unwrap();
                    let expected = difference(&jpeg::decode(&peer, Size::new(side, side)).unwrap(), &tile);
                    let (stream, decoded) = through(&tile, quality, Chroma::Full);
                    let found = difference(&decoded, &tile);
                    assert!(found <= expected * 1.01 + 0.05, "{side} px, quality {quality}: {found} for {expected}");
                    // At 100 it rounds where the other truncates: a fifth nearer.
                    let most = peer.len() * if quality == 100 { 107 } else { 101 } / 100;
                    assert!(stream.len() <= most, "quality {quality}: {} for {} bytes", stream.len(), peer.len());
                }
            }
        }
    }

    /// Extremes take the longest codes there are.
    #[test]
    fn extremes_come_back() {
        for (i, pattern) in [1_u32, 2, 4, 8].into_iter().enumerate() {
            let tile = RgbImage::from_fn(64, 64, |x, y| {
                let on = (x / pattern + y / if i % 2 == 0 { 64 } else { pattern }) % 2 == 0;
                image::Rgb(if on { [255; 3] } else { [0; 3] })
            });
            let (_, decoded) = through(&tile, 100, Chroma::Full);
            assert!(difference(&decoded, &tile) < 0.6, "{pattern}: {}", difference(&decoded, &tile));
        }
        for colour in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [255; 3]] {
            for chroma in [Chroma::Full, Chroma::Halved] {
                let tile = RgbImage::from_pixel(32, 32, image::Rgb(colour));
                assert!(difference(&through(&tile, 100, chroma).1, &tile) < 1.01, "{colour:?}");
            }
        }
    }

    #[test]
    fn halved_chroma_is_right_where_colour_is_smooth() {
        for side in [16, 32, 112] {
            let tile = RgbImage::from_fn(side, side, |x, y| {
                let light = (x * 37 % 90 + y * 53 % 90) as u8;
                image::Rgb([light + 60, light + 20, light + 40])
            });
            let (whole, halved) = (through(&tile, 95, Chroma::Full), through(&tile, 95, Chroma::Halved));
            let (full, half) = (difference(&whole.1, &tile), difference(&halved.1, &tile));
            assert!(half < full + 0.5, "{side}: {half}, {full}");
            assert!(halved.0.len() < whole.0.len());
        }
    }

    #[test]
    fn streams_have_no_tables() {
        let stream = JpegEncoder::new(80, Chroma::Full).encode(&[vec![5; 16 * 16 * 3], vec![0]].concat(), 16);
        assert!(!stream.windows(2).any(|pair| pair == [0xff, 0xdb] || pair == [0xff, 0xc4]));
        assert!(stream.ends_with(&END));
    }

    #[test]
    fn order_of_coefficients() {
        assert_eq!(ZIGZAG[..8], [0, 1, 8, 16, 9, 2, 3, 10]);
        assert_eq!(ZIGZAG[60..], [47, 55, 62, 63][..]);
        assert!((0..64).all(|i| usize::from(ORDER[usize::from(ZIGZAG[i])]) == i));
    }

    #[test]
    fn a_byte_of_ones_is_followed_by_zero() {
        let mut bits = Bits::default();
        for _ in 0..5 {
            bits.put((0x7fff, 15), -1, 4); // 15 ones, then 1110
        }
        bits.finish();
        let stuffed = bits.bytes.windows(2).filter(|pair| pair[0] == 0xff).all(|pair| pair[1] == 0);
        assert!(stuffed && bits.bytes.contains(&0xff), "{:02x?}", bits.bytes);
    }
}
