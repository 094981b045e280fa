use std::sync::{Mutex, PoisonError};

use super::bits::{Bits, disc};
use super::distance::{Distance, MOST};
use super::field::{Field, Gaussian};
use super::flood::{Flood, RELIEF_CAP_UM, Regions};
use super::grid::Grid;
use super::local::{LocalThreshold, Sums};
use super::object::{Found, Objects, RING};
use super::parts::{HOLE_EXTENT, Parts, fill_holes};
use super::wide::wide;
use super::window::Window;
use crate::{CellsError, DetectConfig};

/// The configuration in pixels of the working grid.
pub(crate) struct Recipe<'a> {
    config: &'a DetectConfig,
    threshold: f32,
    smooth: Gaussian,
    local: LocalThreshold,
    disc: Vec<(isize, isize)>,
    distance_smooth: Gaussian,
    stain_smooth: Gaussian,
    distance_cap: usize,
    flood: Flood,
    margins: Margins,
    rooms: Mutex<Vec<Room>>,
}

/// How far around a tile each step's outcome bears on the nuclei whose centroid lies in the tile, px: all the pixels of
/// such a nucleus, what they fall to, and what the relief and the mask there are made of.
struct Margins {
    relief: usize,
    distance: usize,
    mask: usize,
    stain: usize,
    raw: usize,
}

/// What is kept from tile to tile, so that memory is asked for once: about 20 bytes a pixel.
#[derive(Default)]
struct Room {
    raw: Field,
    stain: Field,
    sums: Sums,
    mask: Bits,
    other: Bits,
    parts: Parts,
    distance: Distance,
    far: Field,
    relief: Field,
    regions: Regions,
}

impl<'a> Recipe<'a> {
    pub(crate) fn new(config: &'a DetectConfig, threshold: f32) -> Self {
        let px = |um: f64| um / config.working_mpp;
        let whole = |um: f64| px(um).round() as usize;
        let max_radius = whole(config.max_radius_um);
        let weight = config.local_weight;
        let local = LocalThreshold {
            radii: (whole(config.local_radius_um), whole(config.local_radius_um / 2.0)),
            fixed: threshold * (1.0 - weight) + weight * (config.local_offset * threshold),
            weight,
            least: config.least_share * threshold,
        };
        let (smooth, distance_smooth) =
            (Gaussian::new(px(config.smooth_um)), Gaussian::new(px(config.distance_smooth_um)));
        let stain_smooth = Gaussian::new(px(config.stain_smooth_um));
        let distance_cap = whole(RELIEF_CAP_UM_F64.min(config.max_radius_um)).clamp(1, MOST);
        let flood = Flood::new(max_radius, px(config.seed_distance_um));
        let relief = 2 * max_radius + RING + flood.support() + 2;
        let distance = relief + distance_smooth.radius();
        let opening = 2 * px(config.opening_um).floor() as usize;
        let mask = distance + distance_cap + HOLE_EXTENT + 1 + opening;
        let stain = mask + local.reach();
        let raw = (stain + smooth.radius()).max(relief + stain_smooth.radius());
        Self {
            config,
            threshold,
            smooth,
            local,
            disc: disc(px(config.opening_um)),
            distance_smooth,
            stain_smooth,
            distance_cap,
            flood,
            margins: Margins { relief, distance, mask, stain, raw },
            rooms: Mutex::default(),
        }
    }

    /// The nuclei whose centroid lies in a tile.
    pub(crate) fn run(&self, grid: &Grid<'_>, core: &Window) -> Result<Vec<Found>, CellsError> {
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        let found = self.run_in(&mut room, grid, core);
        rooms().push(room);
        found
    }

    fn run_in(&self, room: &mut Room, grid: &Grid<'_>, core: &Window) -> Result<Vec<Found>, CellsError> {
        let around = |margin: usize| core.grown(margin, grid.size());
        let picture = grid.haematoxylin(&around(self.margins.raw), &mut room.raw)?;
        self.smooth.apply(&room.raw, &around(self.margins.stain), &mut room.stain);
        self.local.run(&room.stain, &around(self.margins.mask), &mut room.sums, &mut room.mask);
        room.mask.open(&self.disc, &mut room.other);
        let most = self.config.max_hole_um2 / self.config.working_mpp.powi(2);
        fill_holes(&mut room.mask, most as usize, &mut room.parts);
        self.distance_of(room, &around(self.margins.distance));
        self.relief(room, &around(self.margins.relief));
        self.flood.run(&room.relief, &room.mask, &mut room.regions);
        let objects = Objects { regions: &room.regions, stain: &room.stain, picture: &picture };
        Ok(objects.nuclei(core, self.config, self.threshold))
    }

    fn distance_of(&self, room: &mut Room, window: &Window) {
        room.distance.run(&room.mask, window, self.distance_cap, &mut room.far);
    }

    /// Distance to the mask's edge, um, weighed by how strongly the place is stained.
    fn relief(&self, room: &mut Room, window: &Window) {
        let Room { raw, far, relief, .. } = room;
        let (um, weight) = (self.config.working_mpp as f32, self.config.stain_weight);
        let share = weight / self.threshold;
        relief.reset(window);
        let (mut line, mut strength) = (Vec::new(), vec![0.0f32; window.width()]);
        for (y, row) in window.y.clone().zip(relief.data.chunks_exact_mut(window.width().max(1))) {
            self.distance_smooth.row(far, window, y, &mut line, row);
            self.stain_smooth.row(raw, window, y, &mut line, &mut strength);
            let strength = &strength;
            wide(|| {
                for (value, s) in row.iter_mut().zip(strength) {
                    *value *= um * ((1.0 - weight) + share * s).max(0.1);
                }
            });
        }
    }
}

const RELIEF_CAP_UM_F64: f64 = RELIEF_CAP_UM as f64;
