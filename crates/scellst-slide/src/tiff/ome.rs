//! OME-TIFF: OME-XML in the first page says which images there are, what their channels are called,
//! how large their pixels are and in which page each plane lies; coarser levels are sub-images of
//! those pages (OME Data Model 2016-06; OME-TIFF specification 6).

use std::sync::Arc;

use roxmltree::Node;
use scellst_types::Size;

use super::page::{self, Page};
use super::pyramid::same_shape;
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
    let text = directories.pages.first().and_then(|d| d.text(270)).unwrap_or_default();
    let document = xml::parse(&source, PLACE, &text)?;
    let root = document.root_element();
    if xml::child(root, "BinaryOnly").is_some() {
        let hint = "write one OME-TIFF with the metadata in it, for example with QuPath or `raw2ometiff`";
        return Err(SlideError::unsupported(source.path(), PLACE, "metadata that is in another file", hint));
    }
    let mut images = Vec::new();
    for node in xml::children(root, "Image") {
        images.push(Image::read(&source, directories, root, node)?);
    }
    // The metadata of a set of files may be in each of them.
    let here = |image: &Image| image.blocks.iter().all(|block| block.elsewhere.is_none());
    if images.iter().any(here) {
        images.retain(here);
    }
    // Of equals, the first; a label only where there is nothing else.
    let rank = |image: &Image| (image.role.is_none(), image.size.pixels());
    let main = (0..images.len())
        .rev()
        .max_by_key(|&i| rank(&images[i]))
        .ok_or_else(|| SlideError::broken(source.path(), PLACE, "an Image", "none"))?;
    let image = &images[main];
    let planes = image.planes(&source, directories)?;
    for (what, size) in [("focal planes", image.z), ("points in time", image.t)] {
        if size > 1 {
            log::warn!("{}: the first of {size} {what} is read", source.path().display());
        }
    }
    let mut levels = planes.levels(&source, directories)?;
    let mut associated = Vec::new();
    let alone = levels.len() == 1;
    for other in images.iter().enumerate().filter(|&(i, _)| i != main).map(|(_, image)| image) {
        // Each level an Image of its own: so did writers before there were sub-images.
        let smaller = other.size.pixels() < image.size.pixels() && same_shape(image.size, other.size);
        if other.role.is_none() && alone && smaller {
            levels.push((other.size, other.planes(&source, directories)?));
            continue;
        }
        let known = other.role.map(str::to_owned).or(other.name.clone());
        match other.planes(&source, directories) {
            Ok(planes) => {
                let name = known.unwrap_or_else(|| planes.first().name.clone());
                associated.push((AssociatedImage { name, size: other.size }, planes.picture()));
            }
            Err(e) => log::warn!("image left out: {e}"),
        }
    }
    levels.sort_by_key(|(size, _)| std::cmp::Reverse(size.pixels()));
    levels.dedup_by_key(|(size, _)| *size);
    let pages = generic::usable(levels.iter().map(|(_, planes)| planes.page(&source, options)))?;
    let mut about = About {
        format: Format::OmeTiff,
        mpp: image.mpp.into_iter().chain(planes.first().resolution()).collect(),
        objective_power: image.power,
        associated: Vec::new(),
    };
    let channels = image.channels.iter().filter_map(|c| c.name.clone()).collect();
    let slide = PagedSlide { channels, ..PagedSlide::new(source, options, pages, &mut about, associated) };
    Ok((Box::new(slide), about))
}

const PLACE: &str = "page 0, OME-XML";

/// An `Image` element.
struct Image {
    name: Option<String>,
    /// `label`, `macro` or `thumbnail`, by its name.
    role: Option<&'static str>,
    /// Of its first plane.
    size: Size,
    /// Samples a pixel of the first plane.
    samples: u64,
    channels: Vec<Channel>,
    c: u64,
    z: u64,
    t: u64,
    /// Planes that are passed from one channel's first plane to the next one's.
    stride: u64,
    blocks: Vec<Block>,
    mpp: Option<Mpp>,
    power: Option<f64>,
}

struct Channel {
    name: Option<String>,
    samples: u64,
}

/// A `TiffData` element: planes from one on lie in pages from one on.
struct Block {
    plane: u64,
    page: u64,
    count: u64,
    /// The name of another file that they lie in.
    elsewhere: Option<String>,
}

impl Image {
    fn read(
        source: &Source,
        directories: &Directories,
        root: Node<'_, '_>,
        node: Node<'_, '_>,
    ) -> Result<Self, SlideError> {
        let pixels = xml::child(node, "Pixels")
            .ok_or_else(|| SlideError::broken(source.path(), PLACE, "Pixels in every Image", "none"))?;
        let side = |name: &str| Ok(xml::number::<u64>(source, pixels, name)?.unwrap_or(1).max(1));
        let (c, z, t) = (side("SizeC")?, side("SizeZ")?, side("SizeT")?);
        let mut channels = Vec::new();
        for channel in xml::children(pixels, "Channel") {
            let name = channel.attribute("Name").filter(|name| !name.is_empty()).map(str::to_owned);
            let samples = xml::number(source, channel, "SamplesPerPixel")?.unwrap_or(1);
            channels.push(Channel { name, samples });
        }
        // The sizes of the axes from the fastest on; samples in one plane take no place along C.
        let order = pixels.attribute("DimensionOrder").unwrap_or("XYCZT");
        let axes: Vec<char> = order.chars().filter(|axis| "CZT".contains(*axis)).collect();
        let elements: Vec<_> = xml::children(pixels, "TiffData").collect();
        let uuid = root.attribute("UUID");
        // A file that was given another name still knows itself by its UUID.
        let elsewhere = |element: Node<'_, '_>| {
            let other = xml::child(element, "UUID").filter(|n| uuid.is_some() && n.text().map(str::trim) != uuid);
            other.map(|node| node.attribute("FileName").unwrap_or("another file").to_owned())
        };
        let first_page = match elements.first() {
            Some(element) if elsewhere(*element).is_none() => xml::number(source, *element, "IFD")?.unwrap_or(0),
            _ => 0,
        };
        let first = directory(source, directories, first_page)?;
        let samples = first.first(277).unwrap_or(1).max(1);
        let stored = (c / samples).max(1);
        let step = |axis: char| {
            let before = axes.iter().take_while(|&&a| a != axis);
            let sizes = before.map(|a| [stored, z, t]["CZT".find(*a).unwrap_or(0)]);
            sizes.fold(1_u64, u64::saturating_mul)
        };
        let steps = [step('C'), step('Z'), step('T')];
        let all = stored.saturating_mul(z).saturating_mul(t);
        let mut blocks = Vec::new();
        for element in elements {
            let mut plane = 0_u64;
            for (name, step) in [("FirstC", steps[0]), ("FirstZ", steps[1]), ("FirstT", steps[2])] {
                let at: u64 = xml::number(source, element, name)?.unwrap_or(0);
                plane = plane.saturating_add(at.saturating_mul(step));
            }
            let page = xml::number(source, element, "IFD")?;
            let count = xml::number(source, element, "PlaneCount")?.unwrap_or(if page.is_some() { 1 } else { all });
            blocks.push(Block { plane, page: page.unwrap_or(0), count, elsewhere: elsewhere(element) });
        }
        if blocks.is_empty() {
            blocks.push(Block { plane: 0, page: 0, count: all, elsewhere: None });
        }
        let name = node.attribute("Name").filter(|name| !name.is_empty()).map(str::to_owned);
        let role = name.as_deref().and_then(role);
        let size = page::size(source, first)?;
        let power = objective_power(root, node);
        let mpp = resolution(pixels);
        Ok(Self { name, role, size, samples, channels, c, z, t, stride: steps[0], blocks, mpp, power })
    }

    /// Where the pixels of the first focal plane and point in time are, as RGB.
    fn planes<'d>(&self, source: &Source, directories: &'d Directories) -> Result<Planes<'d>, SlideError> {
        let page = |channel: u64| {
            let plane = channel.saturating_mul(self.stride);
            let block = self.blocks.iter().find(|b| plane >= b.plane && plane - b.plane < b.count);
            let block = block.ok_or_else(|| {
                let expected = format!("TiffData for channel {channel}");
                SlideError::broken(source.path(), PLACE, expected, "none")
            })?;
            if let Some(file) = &block.elsewhere {
                let hint = "write one OME-TIFF, for example with QuPath or `raw2ometiff`";
                let found = format!("an image over several files: channel {channel} is in {file}");
                return Err(SlideError::unsupported(source.path(), PLACE, found, hint));
            }
            let number = block.page.saturating_add(plane - block.plane);
            Ok((number, directory(source, directories, number)?))
        };
        if self.samples > 1 || self.c == 1 {
            if self.samples > 1 && self.c > self.samples {
                let (path, c) = (source.path().display(), self.c);
                log::warn!("{path}: the first {} of {c} channels are read", self.samples);
            }
            return Ok(Planes::One(page(0)?));
        }
        let Some(order) = self.rgb() else {
            let names: Vec<_> =
                (1..).zip(&self.channels).take(40).map(|(i, c)| c.name.clone().unwrap_or(format!("#{i}"))).collect();
            let names = if names.is_empty() { "without names".to_owned() } else { names.join(", ") };
            let found = format!("a fluorescence image of {} channels: {names}", self.c);
            let hint = "RGB is read: make an RGB picture of the channels you mean, for example with QuPath or Fiji";
            return Err(SlideError::unsupported(source.path(), PLACE, found, hint));
        };
        Ok(Planes::Three([page(order[0])?, page(order[1])?, page(order[2])?]))
    }

    /// The channels that are red, green and blue, where three planes are those of one picture.
    fn rgb(&self) -> Option<[u64; 3]> {
        if self.c != 3 {
            return None;
        }
        if let [Channel { samples: 3, .. }] = self.channels.as_slice() {
            return Some([0, 1, 2]);
        }
        let find = |long: &str| {
            let short = &long[..1];
            let is = |name: &String| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short);
            self.channels.iter().position(|c| c.name.as_ref().is_some_and(is)).map(|i| i as u64)
        };
        Some([find("red")?, find("green")?, find("blue")?])
    }
}

fn directory<'d>(source: &Source, directories: &'d Directories, number: u64) -> Result<&'d Directory, SlideError> {
    directories.page(number).ok_or_else(|| {
        let expected = format!("planes in the {} pages that there are", directories.pages.len());
        SlideError::broken(source.path(), PLACE, expected, format!("one in page {number}"))
    })
}

/// The directories of an image at one size, each with its number.
#[derive(Clone)]
enum Planes<'d> {
    One((u64, &'d Directory)),
    Three([(u64, &'d Directory); 3]),
}

impl<'d> Planes<'d> {
    fn first(&self) -> &'d Directory {
        match self {
            Self::One((_, directory)) => directory,
            Self::Three(planes) => planes[0].1,
        }
    }

    fn page(&self, source: &Source, options: &OpenOptions) -> Result<Page, SlideError> {
        match self {
            Self::One((_, directory)) => Page::new(source, directory, &options.limits),
            Self::Three(planes) => Page::of_planes(source, planes.map(|(_, d)| d), &options.limits),
        }
    }

    fn picture(&self) -> Picture {
        match self {
            Self::One((_, directory)) => (*directory).into(),
            Self::Three(planes) => Picture::Planes(Box::new(planes.map(|(_, d)| d.clone()))),
        }
    }

    /// The image and its sub-images, as far as they have its shape.
    fn levels(&self, source: &Source, directories: &'d Directories) -> Result<Vec<(Size, Self)>, SlideError> {
        let full = page::size(source, self.first())?;
        let mut levels = vec![(full, self.clone())];
        let subs = |&(number, _): &(u64, &Directory)| directories.sub_images(number).collect::<Vec<_>>();
        let found: Vec<Self> = match self {
            Self::One(page) => subs(page).into_iter().map(|d| Self::One((page.0, d))).collect(),
            Self::Three(pages) => {
                let [r, g, b] = pages.each_ref().map(subs);
                if r.len() != g.len() || r.len() != b.len() {
                    let found = format!("{}, {} and {}", r.len(), g.len(), b.len());
                    return Err(SlideError::broken(source.path(), "sub-images", "as many of every channel", found));
                }
                let numbers = pages.map(|(n, _)| n);
                let together = |((r, g), b)| Self::Three([(numbers[0], r), (numbers[1], g), (numbers[2], b)]);
                r.into_iter().zip(g).zip(b).map(together).collect()
            }
        };
        for planes in found {
            let size = page::size(source, planes.first())?;
            if size.pixels() < full.pixels() && same_shape(full, size) {
                levels.push((size, planes));
            } else {
                log::warn!("{}: {} of {size} px is no level", source.path().display(), planes.first().name);
            }
        }
        Ok(levels)
    }
}

/// What an image is, by its name.
fn role(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let known = [("label", "label"), ("macro", "macro"), ("overview", "macro"), ("thumbnail", "thumbnail")];
    known.into_iter().find(|(word, _)| name.contains(word)).map(|(_, role)| role)
}

/// `PhysicalSizeX` and `Y`; the schema's default unit is the micrometre.
fn resolution(pixels: Node<'_, '_>) -> Option<Mpp> {
    let length = |value: &str, unit: &str| {
        let value: f64 = pixels.attribute(value)?.trim().parse().ok()?;
        Some(value * microns(pixels.attribute(unit).unwrap_or("um"))?)
    };
    let x = length("PhysicalSizeX", "PhysicalSizeXUnit")?;
    mpp::plausible(x, length("PhysicalSizeY", "PhysicalSizeYUnit")?, MppSource::OmeXml)
}

/// Micrometres of a unit of OME's `UnitsLength`.
fn microns(unit: &str) -> Option<f64> {
    Some(match unit.trim() {
        // The micro sign, the Greek letter, and the sign in Latin-1 read as UTF-8 or the other way round.
        "um" | "\u{b5}m" | "\u{3bc}m" | "\u{fffd}m" | "\u{c2}\u{b5}m" | "micron" | "microns" => 1.0,
        "pm" => 1e-6,
        "\u{c5}" | "\u{212b}" => 1e-4,
        "nm" => 1e-3,
        "mm" => 1e3,
        "cm" => 1e4,
        "dm" => 1e5,
        "m" => 1e6,
        "thou" | "mil" => 25.4,
        "li" => 25_400.0 / 12.0,
        "pt" => 25_400.0 / 72.0,
        "in" | "inch" => 25_400.0,
        "ft" => 304_800.0,
        _ => return None,
    })
}

/// The nominal magnification of the objective that the image's settings refer to.
fn objective_power(root: Node<'_, '_>, image: Node<'_, '_>) -> Option<f64> {
    let id = xml::child(image, "ObjectiveSettings")?.attribute("ID")?;
    let objectives = xml::children(root, "Instrument").flat_map(|node| xml::children(node, "Objective"));
    let power: f64 = objectives
        .filter(|node| node.attribute("ID") == Some(id))
        .find_map(|node| node.attribute("NominalMagnification"))?
        .trim()
        .parse()
        .ok()?;
    (power.is_finite() && power > 0.0).then_some(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(attributes: &str) -> Option<(f64, f64)> {
        let text = format!("<Pixels {attributes}/>");
        let document = roxmltree::Document::parse(&text).unwrap();
        resolution(document.root_element()).map(|mpp| (mpp.value.x(), mpp.value.y()))
    }

    #[test]
    fn units() {
        assert_eq!(of(r#"PhysicalSizeX="0.25" PhysicalSizeY="0.5""#), Some((0.25, 0.5)));
        let (x, y) =
            of(r#"PhysicalSizeX="325" PhysicalSizeXUnit="nm" PhysicalSizeY="0.00001" PhysicalSizeYUnit="in""#).unwrap();
        assert!((x - 0.325).abs() < 1e-12 && (y - 0.254).abs() < 1e-12);
        for unit in ["\u{b5}m", "&#181;m", "&#x3BC;m", "\u{fffd}m", "micron"] {
            let unit = format!(r#"PhysicalSizeX="1" PhysicalSizeXUnit="{unit}" PhysicalSizeY="1""#);
            assert_eq!(of(&unit), Some((1.0, 1.0)), "{unit}");
        }
        assert_eq!(of(r#"PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1""#), None);
        assert_eq!(of(r#"PhysicalSizeX="0.25""#), None);
        assert_eq!(of(r#"PhysicalSizeX="0.25" PhysicalSizeY="x""#), None);
    }

    #[test]
    fn names_of_pictures() {
        assert_eq!(role("Macro Image"), Some("macro"));
        assert_eq!(role("slide [0] label"), Some("label"));
        assert_eq!(role("Image 1"), None);
    }
}
