use super::field::Field;
use super::flood::Regions;
use super::grid::Picture;
use super::outline::outline;
use super::stain::density;
use super::window::Window;
use crate::DetectConfig;

/// A nucleus, in pixels of the working grid.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) area_um2: f32,
    pub(crate) score: f32,
    /// Mean haematoxylin inside.
    pub(crate) stain: f32,
    /// Blue light taken away over red light taken away.
    pub(crate) brownness: f32,
    /// Red light taken away over green light taken away.
    pub(crate) inkiness: f32,
    pub(crate) outline: Vec<[f64; 2]>,
}

/// How far around a nucleus its surroundings are looked at for the score, px.
pub(crate) const RING: usize = 4;

/// Regions, and what they are measured on.
pub(crate) struct Objects<'a> {
    pub(crate) regions: &'a Regions,
    pub(crate) stain: &'a Field,
    pub(crate) picture: &'a Picture,
}

/// What is summed over a region, in pixels of the grid.
#[derive(Clone)]
struct Object {
    count: u32,
    sum_x: u64,
    sum_y: u64,
    /// In row order.
    first: (usize, usize),
    window: Window,
}

impl Objects<'_> {
    /// The regions whose centroid lies in a tile and that pass for nuclei.
    pub(crate) fn nuclei(&self, core: &Window, config: &DetectConfig, threshold: f32) -> Vec<Found> {
        let pixel = (config.working_mpp * config.working_mpp) as f32;
        let mut found = Vec::new();
        for (label, object) in (1..).zip(self.gather()) {
            let area_um2 = object.count as f32 * pixel;
            if object.count == 0 || !(config.min_area_um2..=config.max_area_um2).contains(&f64::from(area_um2)) {
                continue;
            }
            // Sums of whole numbers, so the same on every tile.
            let n = f64::from(object.count);
            let (x, y) = (object.sum_x as f64 / n + 0.5, object.sum_y as f64 / n + 0.5);
            let within = |v: f64, r: &std::ops::Range<usize>| v >= r.start as f64 && v < r.end as f64;
            if !within(x, &core.x) || !within(y, &core.y) {
                continue;
            }
            let (score, stain) = self.contrast(&object, label, threshold);
            if score < config.min_score {
                continue;
            }
            let [red, green, blue] = self.densities(&object, label);
            found.push(Found {
                x,
                y,
                area_um2,
                score,
                stain,
                brownness: ratio(blue, red),
                inkiness: ratio(red, green),
                outline: self.outline(&object, label),
            });
        }
        found
    }

    fn gather(&self) -> Vec<Object> {
        let nowhere = Window { x: usize::MAX..0, y: usize::MAX..0 };
        let none = Object { count: 0, sum_x: 0, sum_y: 0, first: (0, 0), window: nowhere };
        let mut objects = vec![none; self.regions.seeds.len()];
        for run in &self.regions.mask.runs {
            let (y, start, end) = (run.y as usize, run.start as usize, run.end as usize);
            let at = self.regions.place(start, y);
            let labels = &self.regions.labels[at..at + end - start];
            let mut from = 0;
            for stretch in labels.chunk_by(|a, b| a == b) {
                let (label, n) = (stretch[0], stretch.len());
                let x = start + from..start + from + n;
                from += n;
                if label == 0 {
                    continue;
                }
                let o = &mut objects[label as usize - 1];
                if o.count == 0 {
                    o.first = (x.start, y);
                }
                o.count += n as u32;
                o.sum_x += ((x.start + x.end - 1) * n / 2) as u64;
                o.sum_y += (y * n) as u64;
                o.window.x = o.window.x.start.min(x.start)..o.window.x.end.max(x.end);
                o.window.y = o.window.y.start.min(y)..y + 1;
            }
        }
        objects
    }

    /// Labels of a row.
    fn row(&self, y: usize, x: &std::ops::Range<usize>) -> &[u32] {
        let at = self.regions.place(x.start, y);
        &self.regions.labels[at..at + x.len()]
    }

    /// Red, green and blue light taken away: optical densities summed over the nucleus. Haematoxylin lets blue pass;
    /// brown pigment, red cells and anything grey or black do not, and ink lets green pass.
    fn densities(&self, object: &Object, label: u32) -> [f64; 3] {
        let mut sums = [0.0f64; 3];
        let Window { x, y } = &object.window;
        for y in y.clone() {
            for (x, _) in x.clone().zip(self.row(y, x)).filter(|(_, l)| **l == label) {
                let pixel = self.picture.pixel(x, y);
                sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += f64::from(density(value)));
            }
        }
        sums
    }

    /// How far the stain inside stands out: (inside - around) / inside, 0 to 1. "Around" is what belongs to no nucleus
    /// within [`RING`] pixels of the bounding box, or the threshold where there is hardly any such place. And the mean
    /// inside.
    fn contrast(&self, object: &Object, label: u32, threshold: f32) -> (f32, f32) {
        let (mut inside, mut around, mut places) = (0.0f64, 0.0f64, 0u32);
        let whole = &self.regions.window;
        let grow = |r: &std::ops::Range<usize>, all: &std::ops::Range<usize>| {
            r.start.saturating_sub(RING).max(all.start)..(r.end + RING).min(all.end)
        };
        let (columns, rows) = (grow(&object.window.x, &whole.x), grow(&object.window.y, &whole.y));
        let skip = columns.start - self.stain.window.x.start;
        for y in rows {
            for (&l, &v) in self.row(y, &columns).iter().zip(&self.stain.row(y)[skip..]) {
                if l == label {
                    inside += f64::from(v);
                } else if l == 0 {
                    around += f64::from(v);
                    places += 1;
                }
            }
        }
        let inside = inside / f64::from(object.count.max(1));
        let around = if places >= object.count / 4 { around / f64::from(places.max(1)) } else { f64::from(threshold) };
        let score = if inside > 0.0 { ((inside - around) / inside).clamp(0.0, 1.0) as f32 } else { 0.0 };
        (score, inside as f32)
    }

    fn outline(&self, object: &Object, label: u32) -> Vec<[f64; 2]> {
        let window = &object.window;
        let inside = |x: i64, y: i64| {
            let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return false };
            window.x.contains(&x) && window.y.contains(&y) && self.regions.labels[self.regions.place(x, y)] == label
        };
        outline((object.first.0 as i64, object.first.1 as i64), inside)
    }
}

/// One light taken away over another.
fn ratio(of: f64, to: f64) -> f32 {
    (of / to.max(1e-3)) as f32
}
