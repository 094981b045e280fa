//! Where there is tissue and of which kind.

use rand::Rng;

use crate::SimConfig;
use crate::noise::{Noise, lerp};
use crate::random::{Stage, generator, seed_of};

/// Distance between the nodes, um: the kinds of tissue change slowly.
const STEP_UM: f64 = 4.0;
/// How far the fibres' course wanders, um.
const WANDER_UM: f32 = 70.0;
/// Distance between neighbouring fibres, um.
const FIBRE_UM: f32 = 7.5;

/// What is known of a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Roughly the distance to the tissue's edge, um; below 0 outside.
    pub(crate) inside_um: f32,
    pub(crate) eosin: f32,
    pub(crate) haze: f32,
    pub(crate) fibres: f32,
    /// Counts the fibres across their course.
    pub(crate) phase: f32,
}

/// A slow map of the slide on a square lattice of nodes.
#[derive(Debug)]
pub(crate) struct Ground {
    columns: usize,
    /// Inside (um), eosin, haze, fibres, wander (um).
    nodes: Vec<[f32; 5]>,
    /// Kind of tissue at every node; [`Ground::GLASS`] outside.
    kinds: Vec<u8>,
    /// Unit vector across the fibres before they wander.
    across: (f32, f32),
}

impl Ground {
    pub(crate) const GLASS: u8 = u8::MAX;

    pub(crate) fn new(config: &SimConfig) -> Self {
        let seed = seed_of(config.seed, Stage::Tissue);
        let (w, h) = config.size_um;
        // One node beyond the far edge, so that every place lies between four.
        let columns = (w / STEP_UM).ceil() as usize + 2;
        let rows = (h / STEP_UM).ceil() as usize + 2;
        let place = |i: usize| ((i % columns) as f64 * STEP_UM, (i / columns) as f64 * STEP_UM);

        let short = w.min(h);
        let outline = Noise::new(seed, 0, (short / 4.0) as f32);
        let inside = |i: usize| {
            let (x, y) = place(i);
            let side = |v: f64, n: f64| (2.0 * v / n - 1.0).powi(4);
            let r = (side(x, w) + side(y, h)).powf(0.25);
            let wave = f64::from(outline.rough(x as f32, y as f32)) - 0.5;
            ((0.90 - r - 0.22 * wave) * short / 2.0) as f32
        };
        let inside: Vec<f32> = (0..columns * rows).map(inside).collect();
        let kinds = kinds(config, seed, &inside, place);

        let bundles = Noise::new(seed, 1, config.regions.first().map_or(100.0, |r| r.island_um) as f32);
        let node = |i: usize| {
            let (x, y) = place(i);
            let kind = if kinds[i] == Self::GLASS { 0 } else { usize::from(kinds[i]) };
            let look = config.regions.get(kind).map_or([0.0; 3], |r| [r.eosin, r.haze, r.fibres].map(|v| v as f32));
            let wander = (bundles.rough(x as f32, y as f32) - 0.5) * 2.0 * WANDER_UM;
            [inside[i], look[0], look[1], look[2], wander]
        };
        let mut nodes: Vec<[f32; 5]> = (0..columns * rows).map(node).collect();
        for _ in 0..2 {
            nodes = soften(&nodes, columns);
        }
        let angle = generator(config.seed, Stage::Tissue, 0).random_range(0.0..std::f32::consts::TAU);
        Self { columns, nodes, kinds, across: (angle.cos(), angle.sin()) }
    }

    /// A place by its position, um; beyond the map its edge.
    pub(crate) fn at(&self, x: f32, y: f32) -> Place {
        let rows = self.nodes.len() / self.columns;
        let step = STEP_UM as f32;
        let fx = (x / step).clamp(0.0, (self.columns - 2) as f32 + 0.999);
        let fy = (y / step).clamp(0.0, (rows - 2) as f32 + 0.999);
        let (i, j) = (fx as usize, fy as usize);
        let (u, v) = (fx - i as f32, fy - j as f32);
        let first = j * self.columns + i;
        let [a, b, c, d] = [0, 1, self.columns, self.columns + 1].map(|n| &self.nodes[first + n]);
        let value = |k: usize| lerp(lerp(a[k], b[k], u), lerp(c[k], d[k], u), v);
        Place {
            inside_um: value(0),
            eosin: value(1),
            haze: value(2),
            fibres: value(3),
            phase: (x * self.across.0 + y * self.across.1 + value(4)) / FIBRE_UM,
        }
    }

    /// The course of the fibres, radians.
    pub(crate) fn course(&self, x: f32, y: f32) -> f32 {
        let d = 2.0 * STEP_UM as f32;
        let gx = self.at(x + d, y).phase - self.at(x - d, y).phase;
        let gy = self.at(x, y + d).phase - self.at(x, y - d).phase;
        gx.atan2(-gy)
    }

    /// The nodes of a kind of tissue that are at least `inset` um from the edge.
    pub(crate) fn nodes_of(&self, kind: u8, inset: f32) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&i| self.kinds[i] == kind && self.nodes[i][0] >= inset).collect()
    }

    /// Where a node is, um.
    pub(crate) fn position(&self, node: usize) -> (f64, f64) {
        ((node % self.columns) as f64 * STEP_UM, (node / self.columns) as f64 * STEP_UM)
    }

    /// Area that a node stands for, um2, and half the side of its square, um.
    pub(crate) fn node_area_and_half(&self) -> (f64, f64) {
        (STEP_UM * STEP_UM, STEP_UM / 2.0)
    }
}

/// The kind of every node: islands lie where their noise is highest, as much of it as their share says.
fn kinds(config: &SimConfig, seed: u64, inside: &[f32], place: impl Fn(usize) -> (f64, f64)) -> Vec<u8> {
    let mut kinds: Vec<u8> = inside.iter().map(|&d| if d > 0.0 { 0 } else { Ground::GLASS }).collect();
    let tissue = kinds.iter().filter(|&&k| k == 0).count();
    for (r, region) in config.regions.iter().enumerate().skip(1) {
        let noise = Noise::new(seed, 100 + r as u64, region.island_um as f32);
        let mut free: Vec<(f32, usize)> = (0..kinds.len())
            .filter(|&i| kinds[i] == 0)
            .map(|i| {
                let (x, y) = place(i);
                (noise.rough(x as f32, y as f32), i)
            })
            .collect();
        let wanted = ((tissue as f64 * region.share).round() as usize).min(free.len());
        free.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for &(_, i) in free.iter().take(wanted) {
            kinds[i] = r as u8;
        }
    }
    kinds
}

/// The mean of each node and its neighbours, for soft borders between the kinds.
fn soften(nodes: &[[f32; 5]], columns: usize) -> Vec<[f32; 5]> {
    let rows = nodes.len() / columns;
    (0..nodes.len())
        .map(|i| {
            let (x, y) = (i % columns, i / columns);
            let (mut sum, mut n) = ([0.0; 5], 0.0);
            for j in y.saturating_sub(1)..(y + 2).min(rows) {
                for i in x.saturating_sub(1)..(x + 2).min(columns) {
                    for (s, v) in sum.iter_mut().zip(nodes[j * columns + i]) {
                        *s += v;
                    }
                    n += 1.0;
                }
            }
            sum.map(|s| s / n)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn islands_cover_their_share_and_the_rim_is_glass() {
        let config = SimConfig { size_um: (800.0, 600.0), ..SimConfig::default() };
        let ground = Ground::new(&config);
        let count = |k: u8| ground.kinds.iter().filter(|&&kind| kind == k).count() as f64;
        let tissue: f64 = (0..4).map(count).sum();
        assert!(tissue / ground.kinds.len() as f64 > 0.5);
        for (k, region) in config.regions.iter().enumerate().skip(1) {
            assert!((count(k as u8) / tissue - region.share).abs() < 0.001, "{}", region.name);
        }
        for x in 0..800 {
            assert!(ground.at(x as f32, 0.0).inside_um < 0.0 && ground.at(x as f32, 600.0).inside_um < 0.0);
        }
        // Beyond the map is no panic.
        assert!(ground.at(-50.0, 1e9).inside_um < 0.0);
    }

    #[test]
    fn the_phase_hardly_changes_along_the_course() {
        let ground = Ground::new(&SimConfig { size_um: (400.0, 400.0), ..SimConfig::default() });
        let (mut along, mut across) = (0.0, 0.0);
        for i in 0..100 {
            let (x, y) = (100.0 + 2.0 * i as f32, 300.0 - 2.0 * i as f32);
            let angle = ground.course(x, y);
            let change = |a: f32| (ground.at(x + a.cos(), y + a.sin()).phase - ground.at(x, y).phase).abs();
            along += change(angle);
            across += change(angle + std::f32::consts::FRAC_PI_2);
        }
        assert!(along < 0.3 * across, "{along} {across}");
    }
}
