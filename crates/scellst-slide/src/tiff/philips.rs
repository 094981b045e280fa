//! Philips TIFF (exported from iSyntax): every level is filled up to whole tiles and declared so, its
//! real size comes out of the pixel spacings in the XML; tiles outside of the scanned areas are left
//! out; label and macro are in the XML. Learnt from OpenSlide's notes on the format
//! (openslide.org/formats/philips).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use roxmltree::Node;
use scellst_types::Size;

use super::page::{self, Page};
use super::tags::{Directories, Directory};
use super::{PagedSlide, Picture, xml};
use crate::codec::jpeg;
use crate::reader::Reader;
use crate::slide::About;
use crate::source::Source;
use crate::{AssociatedImage, Format, MppSource, OpenOptions, SlideError, mpp};

const PLACE: &str = "page 0, Philips XML";

pub(crate) fn open(
    source: Arc<Source>,
    directories: &Directories,
    options: &OpenOptions,
) -> Result<(Box<dyn Reader>, About), SlideError> {
    let text = directories.pages.first().and_then(|d| d.text(270)).unwrap_or_default();
    let document = xml::parse(&source, PLACE, &text)?;
    let images: Vec<_> =
        attributes(document.root_element(), "PIM_DP_SCANNED_IMAGES").flat_map(|node| objects(node)).collect();
    let of_kind = |kind: &'static str| {
        images
            .iter()
            .copied()
            .filter(move |&image| attributes(image, "PIM_DP_IMAGE_TYPE").any(|a| a.text().map(str::trim) == Some(kind)))
    };
    let slides: Vec<_> = of_kind("WSI").collect();
    let &[slide] = slides.as_slice() else {
        let found = format!("{} slide images (WSI)", slides.len());
        let hint = "files of one are read: convert it, for example with QuPath's export to OME-TIFF";
        return Err(SlideError::unsupported(source.path(), PLACE, found, hint));
    };
    let (levels, others): (Vec<&Directory>, Vec<&Directory>) = directories.pages.iter().partition(|d| d.has(322));
    let spacings = level_spacings(slide).filter(|spacings| spacings.len() == levels.len()).ok_or_else(|| {
        let expected = format!("DICOM_PIXEL_SPACING of each of {} levels", levels.len());
        SlideError::broken(source.path(), PLACE, expected, "fewer, more or none")
    })?;
    let pages = pages(&source, &levels, &spacings, options)?;

    let mut associated = Vec::new();
    for directory in others {
        let description = directory.text(270).unwrap_or_default();
        let name =
            [("Label", "label"), ("Macro", "macro")].into_iter().find(|(start, _)| description.starts_with(start));
        if let Some((_, name)) = name {
            associated.push((image(name, page::size(&source, directory)?), Picture::from(directory)));
        }
    }
    for (kind, name) in [("LABELIMAGE", "label"), ("MACROIMAGE", "macro")] {
        // The pictures of a slide that is to be free of its label are not even decoded.
        if options.without_label || associated.iter().any(|(image, _)| image.name == name) {
            continue;
        }
        let data = of_kind(kind).find_map(|node| attributes(node, "PIM_DP_IMAGE_DATA").find_map(|a| a.text()));
        match data.map(picture) {
            Some(Ok((size, bytes))) => associated.push((image(name, size), Picture::Jpeg(bytes))),
            Some(Err(found)) => log::warn!("{}: {name} in the XML left out: {found}", source.path().display()),
            None => {}
        }
    }
    let stated = spacings.first().and_then(|&(x, y)| mpp::plausible(x * 1e3, y * 1e3, MppSource::PhilipsXml));
    let tags = levels.first().and_then(|d| d.resolution());
    let mut about = About {
        format: Format::PhilipsTiff,
        mpp: stated.into_iter().chain(tags).collect(),
        objective_power: None,
        associated: Vec::new(),
    };
    let reader = PagedSlide::new(source, options, pages, &mut about, associated);
    Ok((Box::new(reader), about))
}

fn image(name: &str, size: Size) -> AssociatedImage {
    AssociatedImage { name: name.to_owned(), size }
}

/// The levels, cut to their real size: that of the first, which nothing says more of, over the ratio
/// of the spacings, which is a whole number.
fn pages(
    source: &Source,
    levels: &[&Directory],
    spacings: &[(f64, f64)],
    options: &OpenOptions,
) -> Result<Vec<Page>, SlideError> {
    let mut pages: Vec<Page> = Vec::new();
    for (i, (directory, &(x, y))) in levels.iter().zip(spacings).enumerate() {
        let mut page = Page::new(source, directory, &options.limits)?;
        if let (Some(finest), Some(&(x0, y0))) = (pages.first(), spacings.first()) {
            let ratio = ((x / x0 + y / y0) / 2.0).round();
            let last = pages.last().map_or(finest.size, |last| last.size);
            let size = if (1.0..=f64::from(i32::MAX)).contains(&ratio) {
                Size::new(finest.size.width / ratio as u32, finest.size.height / ratio as u32)
            } else {
                Size::new(0, 0)
            };
            let fits = size.width > 0 && size.height > 0 && size.pixels() < last.pixels();
            if !fits || size.width > page.size.width || size.height > page.size.height {
                let expected = format!("level {i} of {ratio} times the first's spacing to fit into {} px", page.size);
                return Err(SlideError::broken(source.path(), PLACE, expected, format!("{size} px")));
            }
            page.crop(size);
        }
        pages.push(page);
    }
    if pages.is_empty() {
        return Err(SlideError::broken(source.path(), "directories", "tiled levels", "none"));
    }
    Ok(pages)
}

/// Attributes of a data object by their name.
fn attributes<'a, 'i>(object: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    xml::children(object, "Attribute").filter(move |node| node.attribute("Name") == Some(name))
}

/// The data objects in an attribute's array.
fn objects<'a, 'i>(attribute: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    xml::children(attribute, "Array").flat_map(|array| xml::children(array, "DataObject"))
}

/// Millimetres of a pixel along x and y, of every level.
fn level_spacings(slide: Node<'_, '_>) -> Option<Vec<(f64, f64)>> {
    attributes(slide, "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE")
        .flat_map(|node| objects(node))
        .filter_map(|level| attributes(level, "DICOM_PIXEL_SPACING").next())
        .map(|node| spacing(node.text()?))
        .collect()
}

/// Of rows, then of columns, as DICOM has it; each in quotation marks.
fn spacing(text: &str) -> Option<(f64, f64)> {
    let mut numbers = text.split_whitespace().map(|word| word.trim_matches('"').parse::<f64>());
    let (y, x) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (numbers.next().is_none() && x.is_finite() && y.is_finite() && x > 0.0 && y > 0.0).then_some((x, y))
}

/// A JPEG in base64, with its size.
fn picture(text: &str) -> Result<(Size, Vec<u8>), String> {
    let engine = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let packed: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = engine.decode(packed).map_err(|e| e.to_string())?;
    let header = jpeg::header(&bytes).map_err(|(expected, found)| format!("expected {expected}, found {found}"))?;
    Ok((header.size, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacings() {
        assert_eq!(spacing("\"0.00025\" \"0.0005\""), Some((0.0005, 0.00025)));
        for wrong in ["", "\"0.1\"", "1 2 3", "0 1", "nan 1", "\"-1\" \"1\"", "x y"] {
            assert_eq!(spacing(wrong), None, "{wrong}");
        }
    }
}
