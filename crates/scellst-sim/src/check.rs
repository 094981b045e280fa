//! What settings are allowed.

use std::collections::HashSet;

use scellst_types::StainMatrix;

use crate::config::{CellType, Picture, Region};
use crate::{SimConfig, SimError};

/// Pixels of the largest slide: beyond any use of a simulation.
const MAX_PIXELS: f64 = 8e9;
/// Entries of the dense table of expected expression (2 GB).
const MAX_ENTRIES: u64 = 500_000_000;

pub(crate) fn check(config: &SimConfig) -> Result<(), SimError> {
    let (w, h) = config.size_um;
    within("mpp", config.mpp, 0.1, 2.0)?;
    within("size_um.0", w, 50.0, 30_000.0)?;
    within("size_um.1", h, 50.0, 30_000.0)?;
    let pixels = w * h / (config.mpp * config.mpp);
    if pixels > MAX_PIXELS {
        return Err(SimError::OverLimit { what: "pixels", limit: MAX_PIXELS as u64, found: pixels as u64 });
    }
    count("types", config.types.len(), 1, 64)?;
    count("regions", config.regions.len(), 1, 64)?;
    let mut names = HashSet::new();
    for (i, t) in config.types.iter().enumerate() {
        cell_type(t, &format!("types[{i}]"))?;
        if !names.insert(t.name.as_str()) {
            return Err(SimError::config(format!("types[{i}].name"), "a name that no other type has", &t.name));
        }
    }
    for (i, r) in config.regions.iter().enumerate() {
        region(r, config.types.len(), &format!("regions[{i}]"))?;
    }
    let islands: f64 = config.regions.iter().skip(1).map(|r| r.share).sum();
    within("regions: sum of the shares of all but the first", islands, 0.0, 1.0)?;

    let genes = config.genes.total(config.types.len());
    count("genes: all together", genes, 1, 100_000)?;
    let densest = config.regions.iter().map(|r| r.cells_per_mm2).fold(0.0, f64::max);
    let entries = (densest * w * h / 1e6) as u64 * genes as u64;
    if entries > MAX_ENTRIES {
        return Err(SimError::OverLimit { what: "cells times genes", limit: MAX_ENTRIES, found: entries });
    }
    let c = &config.counts;
    within("counts.library", c.library, 1.0, 1e6)?;
    within("counts.library_sd", c.library_sd, 0.0, 2.0)?;
    if let Some(theta) = c.theta {
        within("counts.theta", theta, 0.01, 1e6)?;
    }
    within("counts.marker_fold", c.marker_fold, 1.0, 1e3)?;
    within("counts.trait_effect", c.trait_effect, 0.0, 2.0)?;
    within("counts.hidden_sd", c.hidden_sd, 0.0, 2.0)?;
    within("spots.pitch_um", config.spots.pitch_um, 1.0, 10_000.0)?;
    within("spots.diameter_um", config.spots.diameter_um, 0.5, config.spots.pitch_um)?;
    picture(&config.picture)
}

fn cell_type(t: &CellType, at: &str) -> Result<(), SimError> {
    if t.name.is_empty() {
        return Err(SimError::config(format!("{at}.name"), "a name", "none"));
    }
    within(&format!("{at}.area_um2"), t.area_um2, 4.0, 1000.0)?;
    within(&format!("{at}.area_sd"), t.area_sd, 0.0, 1.0)?;
    within(&format!("{at}.elongation"), t.elongation, 1.0, 8.0)?;
    within(&format!("{at}.haematoxylin"), t.haematoxylin, 0.05, 4.0)?;
    within(&format!("{at}.haematoxylin_sd"), t.haematoxylin_sd, 0.0, 1.0)?;
    within(&format!("{at}.texture"), t.texture, 0.0, 1.0)?;
    within(&format!("{at}.texture_um"), t.texture_um, 0.1, 20.0)?;
    within(&format!("{at}.irregularity"), t.irregularity, 0.0, 0.3)?;
    within(&format!("{at}.nucleoli"), t.nucleoli, 0.0, 1.0)?;
    within(&format!("{at}.cytoplasm"), t.cytoplasm, 0.0, 3.0)
}

fn region(r: &Region, types: usize, at: &str) -> Result<(), SimError> {
    if r.name.is_empty() {
        return Err(SimError::config(format!("{at}.name"), "a name", "none"));
    }
    within(&format!("{at}.share"), r.share, 0.0, 1.0)?;
    within(&format!("{at}.island_um"), r.island_um, 10.0, 10_000.0)?;
    within(&format!("{at}.cells_per_mm2"), r.cells_per_mm2, 0.0, 50_000.0)?;
    within(&format!("{at}.eosin"), r.eosin, 0.0, 3.0)?;
    within(&format!("{at}.haze"), r.haze, 0.0, 1.0)?;
    within(&format!("{at}.fibres"), r.fibres, 0.0, 1.0)?;
    let field = format!("{at}.mixture");
    if r.mixture.len() != types {
        return Err(SimError::config(field, format!("{types} weights, one a type"), r.mixture.len()));
    }
    for (i, &weight) in r.mixture.iter().enumerate() {
        within(&format!("{field}[{i}]"), weight, 0.0, 1e6)?;
    }
    if r.mixture.iter().sum::<f64>() <= 0.0 {
        return Err(SimError::config(field, "at least one weight above 0", format!("{:?}", r.mixture)));
    }
    Ok(())
}

fn picture(p: &Picture) -> Result<(), SimError> {
    within("picture.stain_jitter", p.stain_jitter, 0.0, 1.0)?;
    within("picture.blur_um", p.blur_um, 0.0, 20.0)?;
    within("picture.noise", p.noise, 0.0, 50.0)?;
    if let Some(quality) = p.jpeg_quality {
        within("picture.jpeg_quality", f64::from(quality), 1.0, 100.0)?;
    }
    for (name, v) in [("haematoxylin", p.haematoxylin), ("eosin", p.eosin)] {
        if !v.iter().all(|d| (0.0..=10.0).contains(d)) || v.iter().all(|&d| d == 0.0) {
            let found = format!("{v:?}");
            return Err(SimError::config(format!("picture.{name}"), "three densities of 0 to 10, not all 0", found));
        }
    }
    stain_matrix(p).map(|_| ())
}

/// The two stains, and at right angles to both a residual that is never drawn.
pub(crate) fn stain_matrix(p: &Picture) -> Result<StainMatrix, SimError> {
    let (h, e) = (p.haematoxylin, p.eosin);
    let cross = [h[1] * e[2] - h[2] * e[1], h[2] * e[0] - h[0] * e[2], h[0] * e[1] - h[1] * e[0]];
    let expected = "another colour than picture.haematoxylin";
    StainMatrix::new([h, e, cross]).ok_or_else(|| SimError::config("picture.eosin", expected, format!("{e:?}")))
}

fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), SimError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(SimError::config(field, format!("{low} to {high}"), value)) }
}

fn count(field: &str, value: usize, low: usize, high: usize) -> Result<(), SimError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(SimError::config(field, format!("{low} to {high}"), value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_nonsense_is_named() {
        SimConfig::default().validate().unwrap();
        type Spoil = fn(&mut SimConfig);
        let cases: [(&str, Spoil); 17] = [
            ("mpp", |c| c.mpp = 0.0),
            ("mpp", |c| c.mpp = f64::NAN),
            ("size_um.1", |c| c.size_um.1 = -3.0),
            ("types", |c| c.types.clear()),
            ("types[1].name", |c| c.types[1].name = "neoplastic".into()),
            ("types[0].area_um2", |c| c.types[0].area_um2 = 0.0),
            ("types[2].elongation", |c| c.types[2].elongation = 0.5),
            ("regions", |c| c.regions.clear()),
            ("regions[1].mixture", |c| c.regions[1].mixture.truncate(2)),
            ("regions[0].mixture", |c| c.regions[0].mixture = vec![0.0; 4]),
            ("regions: sum", |c| c.regions[1].share = 0.9),
            ("genes", |c| c.genes.size = usize::MAX),
            ("counts.theta", |c| c.counts.theta = Some(0.0)),
            ("spots.diameter_um", |c| c.spots.diameter_um = 101.0),
            ("picture.eosin", |c| c.picture.eosin = c.picture.haematoxylin),
            ("picture.haematoxylin", |c| c.picture.haematoxylin = [f32::NAN; 3]),
            ("picture.jpeg_quality", |c| c.picture.jpeg_quality = Some(0)),
        ];
        for (field, spoil) in cases {
            let mut config = SimConfig::default();
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert!(matches!(error, SimError::Config { .. }), "{error}");
            assert!(error.to_string().contains(field), "{field}: {error}");
        }
    }

    #[test]
    fn what_would_not_fit_is_refused_before_it_is_made() {
        let mut large = SimConfig { size_um: (30_000.0, 30_000.0), mpp: 0.1, ..SimConfig::default() };
        assert!(matches!(large.validate(), Err(SimError::OverLimit { what: "pixels", .. })));
        large.mpp = 1.0;
        large.genes.size = 1000;
        assert!(matches!(large.validate(), Err(SimError::OverLimit { what: "cells times genes", .. })));
    }
}
