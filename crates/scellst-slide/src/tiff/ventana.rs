//! Ventana BIF (Roche): levels of tiles in image order, whose overlaps are in the XML.
//!
//! A scanner's frames overlap, and every tile of level 0 is one; where the joints between them say so
//! the file is refused, since tiles laid side by side would show a seam at each, and so it is where the
//! areas of a glass are stored closer together than they lie on it. The numbers of tiles
//! in joints wind upwards from the lower left, but the tiles themselves are stored in rows from the
//! upper left, as ever in TIFF. Learnt from OpenSlide's reader and from letters on its list
//! (openslide.org/formats/ventana).

use std::sync::Arc;

use roxmltree::Node;
use scellst_types::Size;

use super::page::{self, Page};
use super::tags::{Directories, Directory};
use super::{PagedSlide, Picture, generic, xml};
use crate::reader::Reader;
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Format, Mpp, MppSource, OpenOptions, SlideError, mpp};

pub(crate) fn open(
    source: Arc<Source>,
    directories: &Directories,
    options: &OpenOptions,
) -> Result<(Box<dyn Reader>, About), SlideError> {
    let mut levels = Vec::new();
    let mut associated = Vec::new();
    let (mut stated, mut objective_power) = (None, None);
    for directory in &directories.pages {
        let description = directory.text(270).unwrap_or_default();
        let level = field(&description, "level").and_then(|n| n.parse::<u32>().ok());
        let texts = [directory.text(700), Some(description.clone())];
        // Of level 0, the XML also says how its tiles join: it is not passed over.
        for text in texts.into_iter().flatten().filter(|text| text.contains("<iScan") || text.contains("<EncodeInfo")) {
            let place = format!("{}, Ventana XML", directory.name);
            let document = xml::parse(&source, &place, &text)?;
            let root = document.root_element();
            if let Some(scan) = root.descendants().find(|node| node.tag_name().name() == "iScan") {
                one_focal_plane(&source, &place, scan)?;
                stated = stated.or_else(|| resolution(scan));
                objective_power = objective_power.or_else(|| positive(scan, "Magnification"));
            }
            if let Some(encoding) = root.descendants().find(|node| node.tag_name().name() == "EncodeInfo") {
                in_image_order(&source, &place, encoding)?;
            }
        }
        match (level, role(&description)) {
            (Some(number), _) => levels.push((number, directory, field(&description, "mag").and_then(number_of))),
            (None, Some(name)) => {
                let size = page::size(&source, directory)?;
                associated.push((AssociatedImage { name: name.to_owned(), size }, Picture::from(directory)));
            }
            (None, None) => log::debug!("{}: {} ignored", source.path().display(), directory.name),
        }
    }
    if levels.is_empty() {
        // Made from a BIF by another program: an ordinary pyramid that kept the scanner's XML.
        let (reader, mut about) = generic::open(source, directories, Format::VentanaBif, options)?;
        about.mpp.splice(0..0, stated);
        about.objective_power = objective_power;
        return Ok((reader, about));
    }
    levels.sort_by_key(|&(number, ..)| number);
    let Some(&(0, finest, magnification)) = levels.first() else {
        let expected = "a page described as level=0";
        return Err(SlideError::broken(source.path(), "directories", expected, format!("{} levels", levels.len())));
    };
    let full = page::size(&source, finest)?;
    let pages = generic::usable(levels.iter().map(|&(number, directory, mag)| {
        let page = Page::new(&source, directory, &options.limits)?;
        real_size(&source, page, directory, full, (magnification, mag), number)
    }))?;
    let mut about = About {
        format: Format::VentanaBif,
        mpp: stated.into_iter().chain(finest.resolution()).collect(),
        objective_power: objective_power.or(magnification),
        associated: Vec::new(),
    };
    let slide = PagedSlide::new(source, options, pages, &mut about, associated);
    Ok((Box::new(slide), about))
}

/// A level cut to what is left of the first level at its magnification: it may be filled up to whole
/// tiles.
fn real_size(
    source: &Source,
    mut page: Page,
    directory: &Directory,
    full: Size,
    (first, this): (Option<f64>, Option<f64>),
    number: u32,
) -> Result<Page, SlideError> {
    let (Some(first), Some(this)) = (first, this) else {
        return Err(SlideError::broken(source.path(), &directory.name, "a magnification of every level", "none"));
    };
    let ratio = first / this;
    if number > 0 && ratio <= 1.0 {
        let expected = format!("a magnification below {first}");
        return Err(SlideError::broken(source.path(), &directory.name, expected, this.to_string()));
    }
    let side = |n: u32| (f64::from(n) / ratio).ceil() as u32;
    let size = Size::new(side(full.width), side(full.height));
    // Rounded down by some writers.
    if page.size.width + 1 < size.width || page.size.height + 1 < size.height {
        let expected = format!("at least {size} px at magnification {this}");
        return Err(SlideError::broken(source.path(), &directory.name, expected, format!("{} px", page.size)));
    }
    page.crop(size);
    Ok(page)
}

/// A value in `level=0 mag=40 quality=90`.
fn field<'a>(description: &'a str, key: &str) -> Option<&'a str> {
    description.split_whitespace().filter_map(|word| word.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
}

fn number_of(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)
}

fn positive(node: Node<'_, '_>, name: &str) -> Option<f64> {
    node.attribute(name).and_then(number_of)
}

/// The scanned resolution, um/px, the same along x and y.
fn resolution(scan: Node<'_, '_>) -> Option<Mpp> {
    let mpp = positive(scan, "ScanRes")?;
    mpp::plausible(mpp, mpp, MppSource::VentanaXml)
}

/// What a page beside the levels shows, by its description. The picture of the label shows the whole
/// glass.
fn role(description: &str) -> Option<&'static str> {
    match description.trim() {
        "Label Image" | "Label_Image" => Some("macro"),
        "Thumbnail" => Some("thumbnail"),
        "Probability_Image" => Some("probability"),
        _ => None,
    }
}

fn one_focal_plane(source: &Source, place: &str, scan: Node<'_, '_>) -> Result<(), SlideError> {
    match xml::number::<u64>(source, scan, "Z-layers")? {
        None | Some(0 | 1) => Ok(()),
        Some(n) => {
            let hint = "slides of one are read: convert it, for example with QuPath or Bio-Formats";
            Err(SlideError::unsupported(source.path(), place, format!("a Ventana slide of {n} focal planes"), hint))
        }
    }
}

const ELSEWHERE: &str = "read it through OpenSlide (the feature `openslide`), or convert it, for example with \
                         `vips tiffsave --tile --pyramid --bigtiff`";

/// That the scanned areas' tiles make up the image as they are stored: none overlaps another, and each
/// area lies where its tiles do.
fn in_image_order(source: &Source, place: &str, encoding: Node<'_, '_>) -> Result<(), SlideError> {
    let infos: Vec<_> =
        xml::children(encoding, "SlideStitchInfo").flat_map(|n| xml::children(n, "ImageInfo")).collect();
    let origins: Vec<_> =
        xml::children(encoding, "AoiOrigin").flat_map(|n| n.children()).filter(Node::is_element).collect();
    if infos.len() != origins.len() {
        let expected = format!("an origin of each of {} areas", infos.len());
        return Err(SlideError::broken(source.path(), place, expected, origins.len().to_string()));
    }
    let mut areas = Vec::new();
    for (info, origin) in infos.into_iter().zip(origins) {
        if xml::number::<u64>(source, info, "AOIScanned")? == Some(0) {
            continue;
        }
        joints_without_overlap(source, place, info)?;
        let number = |node, name| xml::number::<f64>(source, node, name);
        let tiles: f64 = xml::required(source, info, "NumRows")?;
        let tile: f64 = xml::required(source, info, "Height")?;
        let stored = (xml::required(source, origin, "OriginX")?, xml::required(source, origin, "OriginY")?);
        areas.push((stored, number(info, "Pos-X")?, number(info, "Pos-Y")?, tiles * tile));
    }
    // Positions count upwards from below all areas, to each area's lower side; pages downwards.
    let top = areas.iter().map(|(_, _, y, height)| y.unwrap_or(0.0) + height).fold(0.0, f64::max);
    for ((x, y), pos_x, pos_y, height) in areas {
        let (left, upper) = (pos_x.unwrap_or(x), pos_y.map_or(y, |pos| top - pos - height));
        if left != x || upper != y {
            let found = format!(
                "a Ventana BIF whose areas are not stored where they lie (at {x}, {y} px instead of {left}, {upper})"
            );
            return Err(SlideError::unsupported(source.path(), place, found, ELSEWHERE));
        }
    }
    Ok(())
}

/// That no two tiles of an area overlap.
fn joints_without_overlap(source: &Source, place: &str, info: Node<'_, '_>) -> Result<(), SlideError> {
    let (mut overlapping, mut all, mut most) = (0_u64, 0_u64, 0_f64);
    for joint in xml::children(info, "TileJointInfo") {
        all += 1;
        let overlap = |name| Ok(xml::number::<f64>(source, joint, name)?.unwrap_or(0.0).abs());
        let by: f64 = f64::max(overlap("OverlapX")?, overlap("OverlapY")?);
        overlapping += u64::from(by != 0.0);
        most = most.max(by);
    }
    if overlapping == 0 {
        return Ok(());
    }
    let found = format!("a Ventana BIF whose tiles overlap ({overlapping} of {all} joints, by up to {most} px)");
    Err(SlideError::unsupported(source.path(), place, found, ELSEWHERE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions() {
        let text = "level=1 mag=20 quality=90";
        assert_eq!((field(text, "level"), field(text, "mag"), field(text, "x")), (Some("1"), Some("20"), None));
        assert_eq!(role("Label_Image"), Some("macro"));
        assert_eq!(role("level=0"), None);
    }
}
