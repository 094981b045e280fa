use super::field::{Field, gaussian_radius};
use super::flood::{Flood, RELIEF_CAP_UM, Regions};
use super::grid::{Grid, Picture, Window};
use super::mask::{HOLE_EXTENT, Mask};
use super::outline::outline;
use super::stain::density;
use crate::{CellsError, DetectConfig};

/// A nucleus, in pixels of the working grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) area_um2: f32,
    pub(crate) score: f32,
    /// Blue light taken away over red light taken away.
    pub(crate) brownness: f32,
    /// Red light taken away over green light taken away.
    pub(crate) inkiness: f32,
    pub(crate) outline: Vec<[f64; 2]>,
}

/// How far around a nucleus its surroundings are looked at for the score, px.
const RING: usize = 4;

/// The configuration in pixels of the working grid.
pub(crate) struct Recipe<'a> {
    config: &'a DetectConfig,
    threshold: f32,
    smooth: f64,
    local: (usize, usize),
    distance_smooth: f64,
    stain_smooth: f64,
    distance_cap: usize,
    flood: Flood,
    max_radius: usize,
}

impl<'a> Recipe<'a> {
    pub(crate) fn new(config: &'a DetectConfig, threshold: f32) -> Self {
        let px = |um: f64| um / config.working_mpp;
        let whole = |um: f64| px(um).round() as usize;
        let max_radius = whole(config.max_radius_um);
        Self {
            config,
            threshold,
            smooth: px(config.smooth_um),
            local: (whole(config.local_radius_um), whole(config.local_radius_um / 2.0)),
            distance_smooth: px(config.distance_smooth_um),
            stain_smooth: px(config.stain_smooth_um),
            distance_cap: whole(f64::from(RELIEF_CAP_UM).min(config.max_radius_um)).max(1),
            flood: Flood::new(max_radius, px(config.seed_distance_um)),
            max_radius,
        }
    }

    /// Beyond this many pixels from a tile nothing bears on the nuclei whose centroid lies in it: the pixels of such a
    /// nucleus, what they fall to, and all that the relief and the mask there are made of.
    fn halo(&self) -> usize {
        let opening = 2 * (self.config.opening_um / self.config.working_mpp).floor() as usize;
        let relief = self.distance_cap + gaussian_radius(self.distance_smooth).max(gaussian_radius(self.stain_smooth));
        let mask = opening + HOLE_EXTENT + 1 + self.local.0 + self.local.1 + gaussian_radius(self.smooth);
        2 * self.max_radius + RING + self.flood.support() + relief + mask + 2
    }

    /// The nuclei whose centroid lies in a tile.
    pub(crate) fn run(&self, grid: &Grid<'_>, core: &Window) -> Result<Vec<Found>, CellsError> {
        let config = self.config;
        let window = grid.clipped(core, self.halo());
        let (raw, picture) = grid.haematoxylin(&window)?;
        let stain = raw.gaussian(self.smooth);
        let mask = self.mask(&stain);
        let relief = self.relief(&raw, &mask);
        drop(raw);
        let regions = self.flood.run(&relief, &mask);
        drop((relief, mask));

        let objects = Objects::gather(&regions, &stain);
        let (x0, y0) = (window.x.start as f64, window.y.start as f64);
        let pixel = (config.working_mpp * config.working_mpp) as f32;
        let mut found = Vec::new();
        for (i, object) in objects.iter().enumerate() {
            let area_um2 = object.count as f32 * pixel;
            if object.count == 0 || !(config.min_area_um2..=config.max_area_um2).contains(&f64::from(area_um2)) {
                continue;
            }
            // Sums of whole numbers, so the same on every tile.
            let n = object.count as f64;
            let x = (object.sum_x as f64 + n * x0) / n + 0.5;
            let y = (object.sum_y as f64 + n * y0) / n + 0.5;
            let within = |v: f64, r: &std::ops::Range<usize>| v >= r.start as f64 && v < r.end as f64;
            if !within(x, &core.x) || !within(y, &core.y) {
                continue;
            }
            let label = i as u32 + 1;
            let score = object.contrast(label, &regions, &stain, self.threshold);
            if score < config.min_score {
                continue;
            }
            let (w, h) = (window.width() as i64, window.y.len() as i64);
            let inside = |x: i64, y: i64| {
                (0..w).contains(&x) && (0..h).contains(&y) && regions.labels[(y * w + x) as usize] == label
            };
            let start = (object.first as i64 % w, object.first as i64 / w);
            let ring = outline(start, inside).into_iter().map(|[x, y]| [x + x0, y + y0]).collect();
            let [red, green, blue] = object.densities(label, &regions, &picture);
            found.push(Found {
                x,
                y,
                area_um2,
                score,
                brownness: ratio(blue, red),
                inkiness: ratio(red, green),
                outline: ring,
            });
        }
        Ok(found)
    }

    /// Where the stain is above the threshold between slide and neighbourhood, cleaned.
    fn mask(&self, stain: &Field) -> Mask {
        let c = self.config;
        let local = stain.box_mean(self.local.0).box_mean(self.local.1);
        let (global, weight) = (self.threshold * (1.0 - c.local_weight), c.local_weight);
        let offset = c.local_offset * self.threshold;
        let least = c.least_share * self.threshold;
        let above = |(&v, &mean): (&f32, &f32)| v > (global + weight * (mean + offset)).max(least);
        let data = stain.data.iter().zip(&local.data).map(above).collect();
        let mut mask = Mask::new(stain.width, stain.height, data).opened(c.opening_um / c.working_mpp);
        mask.fill_holes((c.max_hole_um2 / (c.working_mpp * c.working_mpp)) as usize);
        mask
    }

    /// Distance to the mask's edge, um, weighed by how strongly the place is stained.
    fn relief(&self, raw: &Field, mask: &Mask) -> Field {
        let mut relief = mask.distance(self.distance_cap).gaussian(self.distance_smooth);
        let strength = raw.gaussian(self.stain_smooth);
        let (um, weight) = (self.config.working_mpp as f32, self.config.stain_weight);
        for (value, s) in relief.data.iter_mut().zip(&strength.data) {
            *value *= um * (1.0 + weight * (s / self.threshold - 1.0)).max(0.1);
        }
        relief
    }
}

/// One light taken away over another.
fn ratio(of: f64, to: f64) -> f32 {
    (of / to.max(1e-3)) as f32
}

/// What is summed over a region.
#[derive(Clone)]
struct Object {
    count: u32,
    sum_x: u64,
    sum_y: u64,
    first: usize,
    x: (usize, usize),
    y: (usize, usize),
}

struct Objects;

impl Objects {
    fn gather(regions: &Regions, stain: &Field) -> Vec<Object> {
        let none = Object { count: 0, sum_x: 0, sum_y: 0, first: 0, x: (usize::MAX, 0), y: (usize::MAX, 0) };
        let mut objects = vec![none; regions.seeds.len()];
        for (y, row) in regions.labels.chunks_exact(stain.width).enumerate() {
            for (x, &label) in row.iter().enumerate().filter(|(_, l)| **l > 0) {
                let o = &mut objects[label as usize - 1];
                if o.count == 0 {
                    o.first = y * stain.width + x;
                }
                o.count += 1;
                o.sum_x += x as u64;
                o.sum_y += y as u64;
                o.x = (o.x.0.min(x), o.x.1.max(x));
                o.y = (o.y.0.min(y), o.y.1.max(y));
            }
        }
        objects
    }
}

impl Object {
    /// Red, green and blue light taken away: optical densities summed over the nucleus. Haematoxylin lets blue pass;
    /// brown pigment, red cells and anything grey or black do not, and ink lets green pass.
    fn densities(&self, label: u32, regions: &Regions, picture: &Picture) -> [f64; 3] {
        let mut sums = [0.0f64; 3];
        for y in self.y.0..=self.y.1 {
            for x in self.x.0..=self.x.1 {
                if regions.labels[y * regions.width + x] == label {
                    let pixel = picture.pixel(x, y);
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f64::from(density(value)));
                }
            }
        }
        sums
    }

    /// How far the stain inside stands out: (inside - around) / inside, 0 to 1. "Around" is what belongs to no nucleus
    /// within [`RING`] pixels of the bounding box, or the threshold where there is hardly any such place.
    fn contrast(&self, label: u32, regions: &Regions, stain: &Field, threshold: f32) -> f32 {
        let (mut inside, mut around, mut places) = (0.0f64, 0.0f64, 0u32);
        for y in self.y.0.saturating_sub(RING)..(self.y.1 + RING + 1).min(stain.height) {
            for x in self.x.0.saturating_sub(RING)..(self.x.1 + RING + 1).min(stain.width) {
                let at = y * stain.width + x;
                if regions.labels[at] == label {
                    inside += f64::from(stain.data[at]);
                } else if regions.labels[at] == 0 {
                    around += f64::from(stain.data[at]);
                    places += 1;
                }
            }
        }
        let inside = inside / f64::from(self.count.max(1));
        let around = if places >= self.count / 4 { around / f64::from(places.max(1)) } else { f64::from(threshold) };
        if inside > 0.0 { ((inside - around) / inside).clamp(0.0, 1.0) as f32 } else { 0.0 }
    }
}
