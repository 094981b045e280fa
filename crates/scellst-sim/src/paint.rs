//! Draws the section: densities of two stains in every pixel, then their colour.

use image::RgbImage;
use rayon::prelude::*;
use scellst_types::StainMatrix;

use crate::check::stain_matrix;
use crate::ground::Ground;
use crate::noise::{Noise, grain, mix, step};
use crate::nucleus::Nucleus;
use crate::random::{Stage, generator, normal, seed_of};
use crate::{SimConfig, SimError};

/// Side of a bucket of nuclei, um.
const BUCKET_UM: f64 = 64.0;
/// How far a cell's body reaches beyond its nucleus, in radii of the nucleus.
const BODY: f32 = 0.9;

/// Everything that is needed to draw any part of a section; every pixel depends on its place alone.
#[derive(Debug)]
pub(crate) struct Painter<'a> {
    config: &'a SimConfig,
    ground: &'a Ground,
    nuclei: &'a [Nucleus],
    stains: StainMatrix,
    /// How strongly this section took each stain.
    strength: [f32; 2],
    fine: Noise,
    middle: Noise,
    broad: Noise,
    clefts: Noise,
    camera: u64,
    buckets: Vec<Vec<u32>>,
    columns: usize,
    /// How far the largest nucleus's body reaches, um.
    reach: f64,
}

/// What nuclei add to a pixel.
#[derive(Clone, Copy, Default)]
struct Deposit {
    covered: f32,
    haematoxylin: f32,
    body: f32,
}

impl<'a> Painter<'a> {
    pub(crate) fn new(config: &'a SimConfig, ground: &'a Ground, nuclei: &'a [Nucleus]) -> Result<Self, SimError> {
        let seed = seed_of(config.seed, Stage::Texture);
        let mut rng = generator(config.seed, Stage::Stain, 0);
        let strength = [(); 2].map(|()| normal(&mut rng, 0.0, config.picture.stain_jitter).exp() as f32);
        let columns = (config.size_um.0 / BUCKET_UM).ceil() as usize + 1;
        let rows = (config.size_um.1 / BUCKET_UM).ceil() as usize + 1;
        let mut buckets = vec![Vec::new(); columns * rows];
        let mut reach = 0.0f64;
        for (i, nucleus) in (0u32..).zip(nuclei) {
            let at = (nucleus.centre.y / BUCKET_UM) as usize * columns + (nucleus.centre.x / BUCKET_UM) as usize;
            if let Some(bucket) = buckets.get_mut(at) {
                bucket.push(i);
            }
            reach = reach.max(body_reach(nucleus));
        }
        Ok(Self {
            config,
            ground,
            nuclei,
            stains: stain_matrix(&config.picture)?,
            strength,
            fine: Noise::new(seed, 1, 1.1),
            middle: Noise::new(seed, 2, 5.0),
            broad: Noise::new(seed, 3, 45.0),
            clefts: Noise::new(seed, 4, 22.0),
            camera: mix(seed ^ 5),
            buckets,
            columns,
            reach: reach + 2.0 * config.picture.blur_um + 2.0 * config.mpp,
        })
    }

    /// Pixels `[x, x + width) x [y, y + height)` of level 0, strips of it in parallel.
    pub(crate) fn draw(&self, x: u32, y: u32, width: u32, height: u32) -> RgbImage {
        let mut image = RgbImage::new(width, height);
        let stride = width as usize * 3;
        const STRIP: usize = 32;
        image.par_chunks_mut((stride * STRIP).max(1)).enumerate().for_each(|(i, rows)| {
            self.strip(x, y + (i * STRIP) as u32, width, rows);
        });
        image
    }

    fn strip(&self, x0: u32, y0: u32, width: u32, out: &mut [u8]) {
        let mpp = self.config.mpp as f32;
        let height = out.len() / 3 / width as usize;
        let deposits = self.deposits(x0, y0, width as usize, height);
        let (noise, glass) = (self.config.picture.noise as f32, self.config.picture.glass.map(f32::from));
        for (i, (pixel, deposit)) in out.chunks_exact_mut(3).zip(&deposits).enumerate() {
            let (px, py) = (x0 + i as u32 % width, y0 + i as u32 / width);
            let (x, y) = ((px as f32 + 0.5) * mpp, (py as f32 + 0.5) * mpp);
            let [h, e] = self.densities(x, y, deposit);
            let colour = self.stains.compose([h * self.strength[0], e * self.strength[1], 0.0]);
            let grains = grain(self.camera, px as i32, py as i32);
            for c in 0..3 {
                let value = f32::from(colour[c]) * glass[c] / 255.0 + noise * grains[c];
                pixel[c] = value.round().clamp(0.0, 255.0) as u8;
            }
        }
    }

    /// Haematoxylin and eosin at a place, um.
    fn densities(&self, x: f32, y: f32, deposit: &Deposit) -> [f32; 2] {
        let place = self.ground.at(x, y);
        let edge = 3.0 + self.config.picture.blur_um as f32;
        let middle = self.middle.at(x, y);
        let tissue = step(-edge, edge, place.inside_um + 8.0 * (middle - 0.5));
        if tissue <= 0.0 {
            return [0.0; 2];
        }
        let (fine, broad) = (self.fine.at(x, y), self.broad.at(x, y));
        let wave = 0.5 + 0.5 * (std::f32::consts::TAU * place.phase + 4.0 * (middle - 0.5)).sin();
        let cleft = step(0.78, 0.98, 1.0 - wave) * step(0.45, 0.70, self.clefts.at(x, y)) * place.fibres;
        let mut eosin = place.eosin * (0.65 + 0.55 * broad + 0.35 * (fine - 0.5));
        eosin *= 1.0 + 0.9 * place.fibres * (wave - 0.5);
        eosin += 0.10 * place.eosin * (middle - 0.5);
        eosin = eosin * (1.0 - 0.85 * cleft) + deposit.body * (0.75 + 0.5 * fine);
        let haze = place.haze * (0.5 + middle) * (1.0 - 0.85 * cleft);
        let open = 1.0 - deposit.covered;
        // Nuclei lie in the cell's body: some eosin stays.
        [(haze * open + deposit.haematoxylin) * tissue, eosin * (1.0 - 0.55 * deposit.covered) * tissue]
    }

    /// What all nuclei around leave in the pixels of a strip. The largest counts, so their order does not matter.
    fn deposits(&self, x0: u32, y0: u32, width: usize, height: usize) -> Vec<Deposit> {
        let mut deposits = vec![Deposit::default(); width * height];
        let mpp = self.config.mpp;
        let um = |px: u32| f64::from(px) * mpp;
        let (left, right) = (um(x0) - self.reach, um(x0 + width as u32) + self.reach);
        let (top, bottom) = (um(y0) - self.reach, um(y0 + height as u32) + self.reach);
        let rows = self.buckets.len() / self.columns;
        let span = |low: f64, high: f64, n: usize| {
            let at = |v: f64| ((v / BUCKET_UM).max(0.0) as usize).min(n - 1);
            at(low)..at(high) + 1
        };
        for j in span(top, bottom, rows) {
            for i in span(left, right, self.columns) {
                for &n in &self.buckets[j * self.columns + i] {
                    self.deposit(&self.nuclei[n as usize], x0, y0, width, height, &mut deposits);
                }
            }
        }
        deposits
    }

    fn deposit(&self, nucleus: &Nucleus, x0: u32, y0: u32, width: usize, height: usize, out: &mut [Deposit]) {
        let mpp = self.config.mpp as f32;
        let looks = &self.config.types[nucleus.cell_type];
        let blur = (self.config.picture.blur_um as f32).max(mpp);
        let reach = body_reach(nucleus) as f32 + blur;
        let (cx, cy) = (nucleus.centre.x as f32, nucleus.centre.y as f32);
        let range = |centre: f32, first: u32, n: usize| {
            let low = ((centre - reach) / mpp - first as f32).floor().clamp(0.0, n as f32) as usize;
            let high = ((centre + reach) / mpp - first as f32).ceil().clamp(0.0, n as f32) as usize;
            low..high
        };
        let (a, b) = nucleus.half_axes();
        let (a, b) = (a as f32, b as f32);
        let (sin, cos) = (nucleus.angle as f32).sin_cos();
        let clumps = Noise::new(nucleus.seed, 1, looks.texture_um as f32);
        let finer = Noise::new(nucleus.seed, 2, 0.6 * looks.texture_um as f32);
        let (texture, density) = (looks.texture as f32, nucleus.haematoxylin as f32);
        for row in range(cy, y0, height) {
            let dy = (y0 as f32 + row as f32 + 0.5) * mpp - cy;
            for column in range(cx, x0, width) {
                let dx = (x0 as f32 + column as f32 + 0.5) * mpp - cx;
                // Across the ellipse, in its half axes.
                let (u, v) = ((dx * cos + dy * sin) / a, (dy * cos - dx * sin) / b);
                let rho = u.hypot(v).max(1e-4);
                let radius = nucleus.radius(u / rho, v / rho);
                // Distance to the outline, um: what is left in radii over how fast they grow there.
                let slope = (u / a).hypot(v / b) / rho;
                let depth = (radius - rho) / slope.max(1e-4);
                let to = &mut out[row * width + column];
                let body = looks.cytoplasm as f32 * (1.0 - step(radius, radius + BODY, rho));
                to.body = to.body.max(body);
                let covered = step(-0.5 * blur, 0.5 * blur, depth);
                if covered <= 0.0 {
                    continue;
                }
                let speckle = 0.65 * clumps.at(dx, dy) + 0.35 * finer.at(dx, dy) - 0.5;
                // The rim is denser than the middle, the more so the coarser the chromatin.
                let rim = step(0.45, 0.95, rho / radius) - 0.45;
                let mut shade = 1.0 + texture * (1.6 * speckle + 0.45 * rim);
                if let Some((nu, nv)) = nucleus.nucleolus {
                    let d = ((u - nu) * a).hypot((v - nv) * b);
                    shade += 0.5 * (-(d / 0.9).powi(2)).exp();
                }
                to.covered = to.covered.max(covered);
                to.haematoxylin = to.haematoxylin.max(covered * density * shade.max(0.2));
            }
        }
    }
}

/// How far a cell's body reaches from its centre, um.
fn body_reach(nucleus: &Nucleus) -> f64 {
    nucleus.reach() + f64::from(BODY) * nucleus.half_axes().0
}
