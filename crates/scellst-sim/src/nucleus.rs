use rand::Rng;
use rand_chacha::ChaCha8Rng;
use scellst_types::{Micron, MicronsPerPixel, Point};

use crate::config::CellType;
use crate::random::normal;

/// What a nucleus is and looks like.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Nucleus {
    /// Its middle, um.
    pub centre: Point<Micron>,
    /// Which of [`SimConfig::types`](crate::SimConfig::types).
    pub cell_type: usize,
    /// Which of [`SimConfig::regions`](crate::SimConfig::regions) it lies in.
    pub region: usize,
    /// Area, um2.
    pub area_um2: f64,
    /// Ratio of long to short axis.
    pub elongation: f64,
    /// Direction of the long axis, radians from x to y.
    pub angle: f64,
    /// Mean density of haematoxylin.
    pub haematoxylin: f64,
    /// The outline's departure from the ellipse: cosine and sine of two, three and four waves, shares of the radius.
    pub(crate) waves: [(f32, f32); 3],
    /// The nucleolus, if one shows, in shares of the half axes.
    pub(crate) nucleolus: Option<(f32, f32)>,
    /// Decides its texture.
    pub(crate) seed: u64,
}

impl Nucleus {
    /// Draws one of a type, at no place yet.
    pub(crate) fn draw(rng: &mut ChaCha8Rng, cell_type: usize, looks: &CellType) -> Self {
        let (mean, sd) = log_area(looks);
        let area_um2 = normal(rng, mean, sd).exp();
        let elongation = (1.0 + (looks.elongation - 1.0) * normal(rng, 0.0, 0.3).exp()).min(10.0);
        let haematoxylin = normal(rng, looks.haematoxylin, looks.haematoxylin_sd).max(0.3 * looks.haematoxylin);
        let waves = [0.7, 0.5, 0.35].map(|share| {
            let mut part = || (normal(rng, 0.0, looks.irregularity * share) as f32).clamp(-0.2, 0.2);
            (part(), part())
        });
        let nucleolus =
            (rng.random::<f64>() < looks.nucleoli).then(|| (rng.random_range(-0.4..0.4), rng.random_range(-0.4..0.4)));
        Self {
            centre: Point::new(0.0, 0.0),
            cell_type,
            region: 0,
            area_um2,
            elongation,
            angle: rng.random_range(0.0..std::f64::consts::TAU),
            haematoxylin,
            waves,
            nucleolus,
            seed: rng.random(),
        }
    }

    /// Long and short half axis, um, of the ellipse that the outline waves around.
    pub(crate) fn half_axes(&self) -> (f64, f64) {
        // The area within r(t) = 1 + sum of waves is pi (1 + half the sum of their squares).
        let squares: f32 = self.waves.iter().map(|(c, s)| c * c + s * s).sum();
        let product = self.area_um2 / std::f64::consts::PI / (1.0 + 0.5 * f64::from(squares));
        ((product * self.elongation).sqrt(), (product / self.elongation).sqrt())
    }

    /// How far the outline can lie from the centre, um.
    pub(crate) fn reach(&self) -> f64 {
        let most: f32 = self.waves.iter().map(|(c, s)| c.hypot(*s)).sum();
        self.half_axes().0 * (1.0 + f64::from(most))
    }

    /// The outline's radius in units of the ellipse, in the direction of a unit vector there.
    pub(crate) fn radius(&self, cos: f32, sin: f32) -> f32 {
        let (c2, s2) = (cos * cos - sin * sin, 2.0 * cos * sin);
        let (c3, s3) = (c2 * cos - s2 * sin, s2 * cos + c2 * sin);
        let (c4, s4) = (c2 * c2 - s2 * s2, 2.0 * c2 * s2);
        let w = &self.waves;
        1.0 + w[0].0 * c2 + w[0].1 * s2 + w[1].0 * c3 + w[1].1 * s3 + w[2].0 * c4 + w[2].1 * s4
    }

    /// Corners of the outline, level-0 px, an open ring.
    pub(crate) fn outline(&self, mpp: MicronsPerPixel) -> Vec<[f32; 2]> {
        const CORNERS: usize = 24;
        let (a, b) = self.half_axes();
        let (sin, cos) = self.angle.sin_cos();
        (0..CORNERS)
            .map(|i| {
                let t = i as f64 * std::f64::consts::TAU / CORNERS as f64;
                let r = f64::from(self.radius(t.cos() as f32, t.sin() as f32));
                let (u, v) = (a * r * t.cos(), b * r * t.sin());
                let at = Point::new(self.centre.x + u * cos - v * sin, self.centre.y + u * sin + v * cos);
                let at = mpp.to_level0(at);
                [at.x as f32, at.y as f32]
            })
            .collect()
    }

    /// Three circles in a row that stand for the nucleus when room is looked for: centres and their radius, um.
    pub(crate) fn circles(&self) -> ([(f64, f64); 3], f64) {
        let (a, b) = self.half_axes();
        let (sin, cos) = self.angle.sin_cos();
        let at = |d: f64| (self.centre.x + d * cos, self.centre.y + d * sin);
        ([at(b - a), at(0.0), at(a - b)], b)
    }
}

/// Mean and standard deviation of the logarithm of a type's area.
pub(crate) fn log_area(looks: &CellType) -> (f64, f64) {
    // The mean of a log-normal variable is exp(mean + variance / 2).
    (looks.area_um2.ln() - looks.area_sd * looks.area_sd / 2.0, looks.area_sd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimConfig;
    use crate::random::{Stage, generator};

    #[test]
    fn types_have_the_looks_that_were_asked_for() {
        let config = SimConfig::default();
        for (i, looks) in config.types.iter().enumerate() {
            let mut rng = generator(3, Stage::Cells, i as u64);
            let all: Vec<Nucleus> = (0..4000).map(|_| Nucleus::draw(&mut rng, i, looks)).collect();
            let mean = |f: fn(&Nucleus) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
            assert!((mean(|n| n.area_um2) / looks.area_um2 - 1.0).abs() < 0.02, "{}", looks.name);
            assert!((mean(|n| n.haematoxylin) / looks.haematoxylin - 1.0).abs() < 0.02, "{}", looks.name);
            assert!((mean(|n| n.elongation) / looks.elongation - 1.0).abs() < 0.06, "{}", looks.name);
        }
    }

    #[test]
    fn the_outline_encloses_the_area() {
        let looks = &SimConfig::default().types[0];
        let mut rng = generator(5, Stage::Cells, 0);
        let mpp = MicronsPerPixel::square(0.5).unwrap();
        for _ in 0..50 {
            let nucleus = Nucleus::draw(&mut rng, 0, looks);
            let ring = nucleus.outline(mpp);
            let twice: f32 = (0..ring.len())
                .map(|i| (ring[i], ring[(i + 1) % ring.len()]))
                .map(|(p, q)| p[0] * q[1] - q[0] * p[1])
                .sum();
            let area = f64::from(twice) / 2.0 * 0.25;
            // 24 corners lose about one percent.
            assert!((area / nucleus.area_um2 - 1.0).abs() < 0.03, "{area} {}", nucleus.area_um2);
            let far = ring.iter().map(|p| p[0].hypot(p[1]) * 0.5).fold(0.0, f32::max);
            assert!(f64::from(far) <= nucleus.reach() + 1e-4);
        }
    }
}
