use super::bits::{Bits, disc};
use super::field::Field;
use super::parts::Parts;
use super::window::Window;

/// Costs of the flood are whole numbers: this many to a um of relief.
const PER_UM: f32 = 10.0;
/// Relief above this counts as this, um: no nucleus is thicker.
pub(crate) const RELIEF_CAP_UM: f32 = 8.0;
/// A step to a neighbour sharing an edge, and one to a diagonal neighbour.
const STEP: u32 = 5;
const DIAGONAL: u32 = 7;
/// Neighbours: where, and what a step there costs.
const NEIGHBOURS: [(i32, i32, u32); 8] = [
    (-1, -1, DIAGONAL),
    (0, -1, STEP),
    (1, -1, DIAGONAL),
    (-1, 0, STEP),
    (1, 0, STEP),
    (-1, 1, DIAGONAL),
    (0, 1, STEP),
    (1, 1, DIAGONAL),
];

/// Parts a mask into one region for each seed.
///
/// The relief is high in the middle of a nucleus. Seeds are its peaks. From every seed the flood goes down for what it
/// loses in height, up for twice what it gains, and pays for length besides; each pixel falls to the cheapest seed
/// (an image foresting transform: Falcao et al. 2004, doi 10.1109/TPAMI.2004.1261076), so that nuclei that touch part
/// at their neck. Costs are bounded and each step has its price: what a pixel falls to depends on nothing further away
/// than [`Flood::support`].
pub(crate) struct Flood {
    max_radius: usize,
    /// Offsets that a seed is compared with, near ones first: most pixels are no peak even among those.
    disc: Vec<(isize, isize)>,
    seed_reach: usize,
}

/// Regions of a window of the grid.
#[derive(Default)]
pub(crate) struct Regions {
    pub(crate) window: Window,
    /// Pixels of a row: those of the window and one around it.
    pub(crate) stride: usize,
    /// 0 for none, else 1 + the number of the seed; bordered by a pixel of 0.
    pub(crate) labels: Vec<u32>,
    /// Column and row of each seed in `labels`, in row order.
    pub(crate) seeds: Vec<(i32, i32)>,
    /// The mask's runs.
    pub(crate) mask: Parts,
    room: Room,
}

/// Room to work in; pixels as in `labels`.
#[derive(Default)]
struct Room {
    depth: Vec<u8>,
    /// 0 outside of the mask: no way there is cheaper.
    cost: Vec<u16>,
    /// The part of the mask that a seed lies in, and its number.
    order: Vec<(u32, u32)>,
    /// Costs are small whole numbers: a bucket for each is the priority queue. Row << 16 | column.
    buckets: Vec<Vec<u32>>,
}

impl Regions {
    /// Where a pixel of the grid lies in `labels`.
    pub(crate) fn place(&self, x: usize, y: usize) -> usize {
        (y - self.window.y.start + 1) * self.stride + x - self.window.x.start + 1
    }
}

impl Flood {
    /// Both in pixels.
    pub(crate) fn new(max_radius: usize, seed_distance: f64) -> Self {
        let mut disc = disc(seed_distance.max(1.5));
        disc.retain(|&o| o != (0, 0));
        disc.sort_by_key(|&(dx, dy)| dx * dx + dy * dy);
        let seed_reach = disc.iter().map(|o| o.0.unsigned_abs()).max().unwrap_or(1);
        Self { max_radius, disc, seed_reach }
    }

    fn cap(&self) -> u32 {
        (RELIEF_CAP_UM * PER_UM) as u32 + STEP * self.max_radius as u32
    }

    /// How far the region of a pixel depends on relief and mask, px.
    pub(crate) fn support(&self) -> usize {
        (self.cap() / STEP) as usize + 1 + self.seed_reach
    }

    /// `relief` in um, at least 0; only pixels of `mask`, which holds the relief's window, are given to a region.
    pub(crate) fn run(&self, relief: &Field, mask: &Bits, regions: &mut Regions) {
        let window = &relief.window;
        regions.window = window.clone();
        regions.stride = window.width() + 2;
        regions.mask.find(mask, window, true, true);
        let area = regions.stride * (window.height() + 2);
        regions.labels.clear();
        regions.labels.resize(area, 0);
        let room = &mut regions.room;
        room.cost.clear();
        room.cost.resize(area, 0);
        // Only pixels of the mask are looked at.
        room.depth.resize(area, 0);
        room.order.clear();
        room.buckets.resize(self.cap() as usize + 1, Vec::new());
        regions.seeds.clear();
        let Regions { seeds, mask, labels, stride, .. } = regions;
        for (i, run) in mask.runs.iter().enumerate() {
            let (y, start, end) = (run.y as usize, run.start as usize, run.end as usize);
            let heights = &relief.row(y)[start - window.x.start..end - window.x.start];
            let (column, row) = (start - window.x.start + 1, y - window.y.start + 1);
            let at = row * *stride + column;
            room.cost[at..at + heights.len()].fill(u16::MAX);
            for (depth, r) in room.depth[at..at + heights.len()].iter_mut().zip(heights) {
                *depth = ((RELIEF_CAP_UM - r.clamp(0.0, RELIEF_CAP_UM)) * PER_UM + 0.5) as u8;
            }
            for (x, &value) in heights.iter().enumerate() {
                if value > 0.0 && self.peak(relief, start + x, y, value) {
                    room.order.push((mask.part(i) as u32, seeds.len() as u32));
                    seeds.push(((column + x) as i32, row as i32));
                }
            }
        }
        // One part of the mask after the other: what is worked on stays in the cache.
        room.order.sort_unstable();
        let mut rest = &room.order[..];
        while let Some(&(part, _)) = rest.first() {
            let (these, others) = rest.split_at(rest.partition_point(|o| o.0 == part));
            rest = others;
            let spread = Spread {
                stride: *stride,
                cap: self.cap(),
                reach: (self.max_radius * self.max_radius) as i32,
                depth: &room.depth,
                seeds,
            };
            spread.run(these, &mut room.cost, labels, &mut room.buckets);
        }
    }

    /// Whether no higher value lies within the seed distance; of equals the first in row order counts.
    #[inline]
    fn peak(&self, relief: &Field, x: usize, y: usize, value: f32) -> bool {
        let window = &relief.window;
        let (w, h) = (window.width() as isize, window.height() as isize);
        let (x, y) = ((x - window.x.start) as isize, (y - window.y.start) as isize);
        let reach = self.seed_reach as isize;
        let inner = x >= reach && y >= reach && x + reach < w && y + reach < h;
        self.disc.iter().all(|&(dx, dy)| {
            let (nx, ny) = (x + dx, y + dy);
            if !inner && (!(0..w).contains(&nx) || !(0..h).contains(&ny)) {
                return true;
            }
            let other = relief.data[(ny * w + nx) as usize];
            let before = dy < 0 || (dy == 0 && dx < 0);
            if before { other < value } else { other <= value }
        })
    }
}

/// The flood over one part of the mask.
struct Spread<'a> {
    stride: usize,
    cap: u32,
    /// Square of the greatest distance from a seed.
    reach: i32,
    depth: &'a [u8],
    seeds: &'a [(i32, i32)],
}

impl Spread<'_> {
    fn run(&self, seeds: &[(u32, u32)], cost: &mut [u16], labels: &mut [u32], buckets: &mut [Vec<u32>]) {
        let mut left = 0usize;
        for &(_, seed) in seeds {
            let (x, y) = self.seeds[seed as usize];
            let at = y as usize * self.stride + x as usize;
            cost[at] = u16::from(self.depth[at]);
            labels[at] = seed + 1;
            buckets[usize::from(self.depth[at])].push((y as u32) << 16 | x as u32);
            left += 1;
        }
        let mut level = 0;
        while left > 0 {
            let mut bucket = std::mem::take(&mut buckets[level]);
            left -= bucket.len();
            for &packed in &bucket {
                left += self.visit(packed, level as u32, cost, labels, buckets);
            }
            bucket.clear();
            buckets[level] = bucket;
            level += 1;
        }
    }

    /// Goes from a pixel to its neighbours; how many of them are to be visited.
    #[inline(always)]
    fn visit(&self, packed: u32, level: u32, cost: &mut [u16], labels: &mut [u32], buckets: &mut [Vec<u32>]) -> usize {
        let (x, y) = ((packed & 0xffff) as i32, (packed >> 16) as i32);
        let at = y as usize * self.stride + x as usize;
        if u32::from(cost[at]) != level {
            return 0;
        }
        let label = labels[at];
        let seed = self.seeds[label as usize - 1];
        let (dx, dy) = (x - seed.0, y - seed.1);
        let far = (dx.abs() + 1).pow(2) + (dy.abs() + 1).pow(2) > self.reach;
        let here = u32::from(self.depth[at]);
        let mut found = 0;
        for (ox, oy, step) in NEIGHBOURS {
            let next = (at as isize + oy as isize * self.stride as isize + ox as isize) as usize;
            let known = u32::from(cost[next]);
            if known < level + step || (far && (dx + ox).pow(2) + (dy + oy).pow(2) > self.reach) {
                continue;
            }
            let there = u32::from(self.depth[next]);
            let slope = if there >= here { there - here } else { 2 * (here - there) };
            let total = level + step + slope;
            if total > self.cap || total > known {
                continue;
            }
            if total < known {
                cost[next] = total as u16;
                labels[next] = label;
                buckets[total as usize].push(((y + oy) as u32) << 16 | (x + ox) as u32);
                found += 1;
            } else if label < labels[next] {
                // Ties go to the seed that comes first in row order, on every tile the same.
                labels[next] = label;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::bits;
    use super::super::distance::Distance;
    use super::super::field::Gaussian;
    use super::*;

    fn window(w: usize, h: usize) -> Window {
        Window { x: 0..w, y: 0..h }
    }

    /// Two discs that overlap, of different size.
    fn dumbbell() -> Bits {
        let (w, h) = (60, 40);
        let inside = |x: f64, y: f64, cx: f64, r: f64| (x - cx).powi(2) + (y - 20.0).powi(2) <= r * r;
        let data = (0..w * h).map(|i| {
            let (x, y) = ((i % w) as f64, (i / w) as f64);
            inside(x, y, 18.0, 12.0) || inside(x, y, 36.0, 8.0)
        });
        bits(0, 0, w, &data.collect::<Vec<_>>())
    }

    #[test]
    fn touching_discs_part_at_their_neck() {
        let mask = dumbbell();
        let (mut distance, mut relief) = (Field::default(), Field::default());
        Distance::default().run(&mask, &mask.window, 16, &mut distance);
        Gaussian::new(1.5).apply(&distance, &mask.window, &mut relief);
        relief.data.iter_mut().for_each(|v| *v *= 0.5);
        let mut regions = Regions::default();
        Flood::new(24, 5.0).run(&relief, &mask, &mut regions);
        assert_eq!(regions.seeds.len(), 2);
        let label = |x: usize, y: usize| regions.labels[regions.place(x, y)];
        let (big, small) = (label(18, 20), label(37, 20));
        assert!(big != small && big > 0 && small > 0);
        // The discs' outlines cross at x = 28.2.
        let change = (18..37).find(|&x| label(x, 20) == small).unwrap();
        assert!((27..=31).contains(&change), "parted at {change}");
        let reached =
            (0..40).flat_map(|y| (0..60).map(move |x| (x, y))).all(|(x, y)| mask.get(x, y) == (label(x, y) > 0));
        assert!(reached);
    }

    #[test]
    fn a_region_ends_at_its_greatest_radius() {
        let mask = bits(0, 0, 101, &[true; 303]);
        let mut relief = Field { window: window(101, 3), data: vec![0.0; 303] };
        relief.data[101 + 50] = 4.0;
        let mut regions = Regions::default();
        Flood::new(20, 5.0).run(&relief, &mask, &mut regions);
        let on: Vec<usize> = (0..101).filter(|&x| regions.labels[regions.place(x, 1)] > 0).collect();
        assert!(on.first().unwrap() >= &30 && on.last().unwrap() <= &70 && on.len() > 20);
    }

    #[test]
    fn equal_peaks_give_one_seed() {
        let mask = bits(0, 0, 9, &[true; 81]);
        let flat = Field { window: window(9, 9), data: vec![1.0; 81] };
        let mut regions = Regions::default();
        Flood::new(10, 20.0).run(&flat, &mask, &mut regions);
        assert_eq!(regions.seeds, [(1, 1)]);
    }
}
