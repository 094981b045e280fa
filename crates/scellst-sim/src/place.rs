//! Finds room for the nuclei.

use std::collections::HashMap;

use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;
use scellst_types::Point;

use crate::ground::Ground;
use crate::nucleus::Nucleus;
use crate::random::{Stage, generator, normal};
use crate::{SimConfig, SimError};

/// Places that are tried for a nucleus before it is given up.
const TRIES: usize = 30;
/// Room between two nuclei, um.
const GAP_UM: f64 = 0.5;
/// Share of nuclei that may lie upon others a little, and by how much, um: sections are a few um thick.
const CROWDED: (f64, f64) = (0.2, 1.5);
/// Distance of the nuclei from the tissue's edge, um.
const INSET_UM: f32 = 6.0;
/// Longer nuclei than this follow the fibres.
const SPINDLE: f64 = 1.6;

/// All nuclei of a section, ordered in bands from top to bottom and within a band from left to right.
pub(crate) fn place(config: &SimConfig, ground: &Ground) -> Result<Vec<Nucleus>, SimError> {
    let mut placed = Placed::default();
    let (node_area, half) = ground.node_area_and_half();
    for (r, region) in config.regions.iter().enumerate() {
        let mut rng = generator(config.seed, Stage::Cells, r as u64);
        let nodes = ground.nodes_of(r as u8, INSET_UM);
        if nodes.is_empty() {
            continue;
        }
        let types = WeightedIndex::new(&region.mixture)
            .map_err(|e| SimError::config(format!("regions[{r}].mixture"), "weights", e))?;
        let target = (nodes.len() as f64 * node_area * region.cells_per_mm2 / 1e6).round() as usize;
        for _ in 0..target {
            let cell_type = types.sample(&mut rng);
            let mut nucleus = Nucleus::draw(&mut rng, cell_type, &config.types[cell_type]);
            nucleus.region = r;
            let gap = if rng.random::<f64>() < CROWDED.0 { -CROWDED.1 } else { GAP_UM };
            for _ in 0..TRIES {
                settle(&mut nucleus, &nodes, half, region.fibres, ground, &mut rng);
                let (w, h) = config.size_um;
                let on_slide = (0.0..w).contains(&nucleus.centre.x) && (0.0..h).contains(&nucleus.centre.y);
                if on_slide && placed.has_room(&nucleus, gap) {
                    placed.add(nucleus);
                    break;
                }
            }
        }
    }
    let mut nuclei = placed.nuclei;
    let key = |n: &Nucleus| ((n.centre.y / 50.0) as u64, n.centre.x);
    nuclei.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    Ok(nuclei)
}

/// Takes a nucleus to a random place of its region and turns it as the fibres run there.
fn settle(nucleus: &mut Nucleus, nodes: &[usize], half: f64, fibres: f64, ground: &Ground, rng: &mut ChaCha8Rng) {
    let (x, y) = ground.position(nodes[rng.random_range(0..nodes.len())]);
    let x = x + rng.random_range(-half..half);
    let y = y + rng.random_range(-half..half);
    nucleus.centre = Point::new(x, y);
    if nucleus.elongation > SPINDLE {
        let loose = 0.15 + 0.8 * (1.0 - fibres);
        nucleus.angle = f64::from(ground.course(x as f32, y as f32)) + normal(rng, 0.0, loose);
    }
}

/// Side of a bucket, um.
const BUCKET_UM: f64 = 20.0;

#[derive(Default)]
struct Placed {
    nuclei: Vec<Nucleus>,
    buckets: HashMap<(i64, i64), Vec<u32>>,
    longest: f64,
}

impl Placed {
    fn bucket(x: f64, y: f64) -> (i64, i64) {
        ((x / BUCKET_UM).floor() as i64, (y / BUCKET_UM).floor() as i64)
    }

    fn has_room(&self, new: &Nucleus, gap: f64) -> bool {
        let (mine, my_radius) = new.circles();
        let far = new.half_axes().0 + self.longest + gap;
        let low = Self::bucket(new.centre.x - far, new.centre.y - far);
        let high = Self::bucket(new.centre.x + far, new.centre.y + far);
        let clear = |other: &Nucleus| {
            let (theirs, their_radius) = other.circles();
            let least = my_radius + their_radius + gap;
            mine.iter().all(|p| theirs.iter().all(|q| (p.0 - q.0).hypot(p.1 - q.1) >= least))
        };
        (low.1..=high.1).all(|j| {
            (low.0..=high.0).all(|i| {
                let there = self.buckets.get(&(i, j)).map_or(&[][..], Vec::as_slice);
                there.iter().all(|&n| clear(&self.nuclei[n as usize]))
            })
        })
    }

    fn add(&mut self, nucleus: Nucleus) {
        let bucket = Self::bucket(nucleus.centre.x, nucleus.centre.y);
        self.longest = self.longest.max(nucleus.half_axes().0);
        self.buckets.entry(bucket).or_default().push(self.nuclei.len() as u32);
        self.nuclei.push(nucleus);
    }
}
