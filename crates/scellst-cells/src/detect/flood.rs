use super::field::Field;
use super::mask::{Mask, disc};

/// Costs of the flood are whole numbers: this many to a um of relief.
const PER_UM: f32 = 10.0;
/// Relief above this counts as this, um: no nucleus is thicker.
pub(crate) const RELIEF_CAP_UM: f32 = 8.0;
/// A step to a neighbour sharing an edge, and one to a diagonal neighbour.
const STEP: u32 = 5;
const DIAGONAL: u32 = 7;

/// Parts a mask into one region for each seed.
///
/// The relief is high in the middle of a nucleus. Seeds are its peaks. From every seed the flood goes down for what it
/// loses in height, up for twice what it gains, and pays for length besides; each pixel falls to the cheapest seed
/// (an image foresting transform: Falcao et al. 2004, doi 10.1109/TPAMI.2004.1261076), so that nuclei that touch part
/// at their neck. Costs are bounded and each step has its price: what a pixel falls to depends on nothing further away
/// than [`Flood::support`].
pub(crate) struct Flood {
    max_radius: usize,
    seed_distance: f64,
}

/// Regions of a rectangle: 0 for none, else 1 + the number of the seed.
pub(crate) struct Regions {
    pub(crate) labels: Vec<u32>,
    pub(crate) width: usize,
    /// Position of each seed in row order.
    pub(crate) seeds: Vec<usize>,
}

impl Flood {
    /// Both in pixels.
    pub(crate) fn new(max_radius: usize, seed_distance: f64) -> Self {
        Self { max_radius, seed_distance }
    }

    fn cap(&self) -> u32 {
        (RELIEF_CAP_UM * PER_UM) as u32 + STEP * self.max_radius as u32
    }

    /// How far the region of a pixel depends on relief and mask, px.
    pub(crate) fn support(&self) -> usize {
        (self.cap() / STEP) as usize + 1 + self.seed_distance.ceil() as usize
    }

    /// `relief` in um, at least 0; only pixels of `mask` are given to a region.
    pub(crate) fn run(&self, relief: &Field, mask: &Mask) -> Regions {
        let seeds = self.seeds(relief, mask);
        let (w, h) = (mask.width, mask.height);
        let depth: Vec<u16> = relief
            .data
            .iter()
            .map(|&r| ((RELIEF_CAP_UM - r.clamp(0.0, RELIEF_CAP_UM)) * PER_UM).round() as u16)
            .collect();
        let cap = self.cap();
        let reach = (self.max_radius * self.max_radius) as i64;
        let mut cost = vec![u16::MAX; w * h];
        let mut labels = vec![0u32; w * h];
        // Costs are small whole numbers: a bucket for each is the priority queue.
        let mut buckets: Vec<Vec<u32>> = vec![Vec::new(); cap as usize + 1];
        for (label, &at) in (1..).zip(&seeds) {
            cost[at] = depth[at];
            labels[at] = label;
            buckets[usize::from(depth[at])].push(at as u32);
        }
        for level in 0..buckets.len() {
            let bucket = std::mem::take(&mut buckets[level]);
            for at in bucket {
                let at = at as usize;
                if usize::from(cost[at]) != level {
                    continue;
                }
                let label = labels[at];
                let seed = seeds[label as usize - 1];
                let (sx, sy) = ((seed % w) as i64, (seed / w) as i64);
                let (x, y) = (at % w, at / w);
                for ny in y.saturating_sub(1)..(y + 2).min(h) {
                    for nx in x.saturating_sub(1)..(x + 2).min(w) {
                        let next = ny * w + nx;
                        if !mask.data[next] || next == at {
                            continue;
                        }
                        let (dx, dy) = (nx as i64 - sx, ny as i64 - sy);
                        if dx * dx + dy * dy > reach {
                            continue;
                        }
                        let step = if nx != x && ny != y { DIAGONAL } else { STEP };
                        let (here, there) = (u32::from(depth[at]), u32::from(depth[next]));
                        let slope = if there >= here { there - here } else { 2 * (here - there) };
                        let total = level as u32 + step + slope;
                        let known = u32::from(cost[next]);
                        if total > cap || total > known {
                            continue;
                        }
                        if total < known {
                            cost[next] = total as u16;
                            labels[next] = label;
                            buckets[total as usize].push(next as u32);
                        } else if label < labels[next] {
                            // Ties go to the seed that comes first in row order, on every tile the same.
                            labels[next] = label;
                        }
                    }
                }
            }
        }
        Regions { labels, width: w, seeds }
    }

    /// Peaks of the relief with no higher one within the seed distance; of equals the first in row order.
    fn seeds(&self, relief: &Field, mask: &Mask) -> Vec<usize> {
        let (w, h) = (mask.width as isize, mask.height as isize);
        let mut disc = disc(self.seed_distance.max(1.5));
        disc.retain(|&o| o != (0, 0));
        // Near neighbours first: most pixels are no peak even among those.
        disc.sort_by_key(|&(dx, dy)| dx * dx + dy * dy);
        let peak = |at: usize| {
            let (x, y, value) = (at as isize % w, at as isize / w, relief.data[at]);
            disc.iter().all(|&(dx, dy)| {
                let (nx, ny) = (x + dx, y + dy);
                if !(0..w).contains(&nx) || !(0..h).contains(&ny) {
                    return true;
                }
                let other = relief.data[(ny * w + nx) as usize];
                let before = dy < 0 || (dy == 0 && dx < 0);
                if before { other < value } else { other <= value }
            })
        };
        (0..mask.data.len()).filter(|&at| mask.data[at] && relief.data[at] > 0.0 && peak(at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two discs that overlap, of different size.
    fn dumbbell() -> Mask {
        let (w, h) = (60, 40);
        let inside = |x: f64, y: f64, cx: f64, r: f64| (x - cx).powi(2) + (y - 20.0).powi(2) <= r * r;
        let data = (0..w * h).map(|i| {
            let (x, y) = ((i % w) as f64, (i / w) as f64);
            inside(x, y, 18.0, 12.0) || inside(x, y, 36.0, 8.0)
        });
        Mask::new(w, h, data.collect())
    }

    #[test]
    fn touching_discs_part_at_their_neck() {
        let mask = dumbbell();
        let mut relief = mask.distance(16).gaussian(1.5);
        relief.data.iter_mut().for_each(|v| *v *= 0.5);
        let regions = Flood::new(24, 5.0).run(&relief, &mask);
        assert_eq!(regions.seeds.len(), 2);
        let label = |x: usize, y: usize| regions.labels[y * 60 + x];
        let (big, small) = (label(18, 20), label(37, 20));
        assert!(big != small && big > 0 && small > 0);
        // The discs' outlines cross at x = 28.2.
        let change = (18..37).find(|&x| label(x, 20) == small).unwrap();
        assert!((27..=31).contains(&change), "parted at {change}");
        let reached = regions.labels.iter().zip(&mask.data).filter(|(l, m)| **m && **l == 0).count();
        assert_eq!(reached, 0);
    }

    #[test]
    fn a_region_ends_at_its_greatest_radius() {
        let mask = Mask::new(101, 3, vec![true; 303]);
        let mut relief = Field::new(101, 3);
        relief.data[101 + 50] = 4.0;
        let regions = Flood::new(20, 5.0).run(&relief, &mask);
        let on: Vec<usize> = (0..101).filter(|x| regions.labels[101 + x] > 0).collect();
        assert!(on.first().unwrap() >= &30 && on.last().unwrap() <= &70 && on.len() > 20);
    }

    #[test]
    fn equal_peaks_give_one_seed() {
        let mask = Mask::new(9, 9, vec![true; 81]);
        let flat = Field { width: 9, height: 9, data: vec![1.0; 81] };
        assert_eq!(Flood::new(10, 20.0).seeds(&flat, &mask), vec![0]);
    }
}
