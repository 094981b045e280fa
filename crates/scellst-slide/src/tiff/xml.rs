//! The XML that vendors put into their descriptions, parsed within bounds.
//!
//! `roxmltree` reads no document type and so expands no entities, but it takes time with the square
//! of an element's attributes, of nested namespaces and of adjoining CDATA sections, and memory for
//! each: they are counted first.

use roxmltree::{Document, Node, ParsingOptions};

use crate::SlideError;
use crate::source::Source;

/// The longest text that is parsed, bytes. (A Philips description with two pictures in it has a few MB.)
const MOST_BYTES: u64 = 16 << 20;
const MOST_NODES: u32 = 200_000;
const MOST_ATTRIBUTES: usize = 500_000;
const MOST_ATTRIBUTES_OF_ONE: usize = 256;
const MOST_NAMESPACES: usize = 256;
const MOST_CDATA: usize = 256;

/// Parses a description; `place` for messages.
pub(crate) fn parse<'a>(source: &Source, place: &str, text: &'a str) -> Result<Document<'a>, SlideError> {
    let path = source.path();
    let len = text.len() as u64;
    if len > MOST_BYTES {
        let hint = "XML of that length is not read: convert the file with another program";
        return Err(SlideError::over_limit(path, place, "bytes of XML", (len, MOST_BYTES), hint));
    }
    let broken = |found: String| SlideError::broken(path, place, "well-formed XML without a document type", found);
    bounded(text).map_err(|what| broken(format!("XML of {what}")))?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    // Some writers end with blanks, and a byte order mark may come first.
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    Document::parse_with_options(trimmed, options).map_err(|e| broken(e.to_string()))
}

/// That the counts are within bounds, by going through the tags once.
fn bounded(text: &str) -> Result<(), &'static str> {
    // Every element has two of the one, and a number of the other in text is of no account.
    let count = |byte: u8| text.bytes().filter(|&b| b == byte).count();
    if count(b'<') > 2 * MOST_NODES as usize {
        return Err("over 200,000 nodes");
    }
    if count(b'=') > 2 * MOST_ATTRIBUTES {
        return Err("too many attributes");
    }
    if text.matches("xmlns").take(MOST_NAMESPACES + 1).count() > MOST_NAMESPACES {
        return Err("over 256 namespaces");
    }
    let (mut all, mut cdata) = (0, 0);
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        let closed_by = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        if let Some((open, close)) = closed_by.iter().find(|(open, _)| rest.starts_with(open)) {
            cdata += usize::from(*close == "]]>");
            if cdata > MOST_CDATA {
                return Err("over 256 CDATA sections");
            }
            let body = &rest[open.len()..];
            rest = body.find(close).map_or("", |end| &body[end..]);
            continue;
        }
        let (attributes, len) = tag(rest.as_bytes());
        all += attributes;
        if attributes > MOST_ATTRIBUTES_OF_ONE || all > MOST_ATTRIBUTES {
            return Err("too many attributes");
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(())
}

/// Quoted values in a tag, and its length.
fn tag(bytes: &[u8]) -> (usize, usize) {
    let (mut values, mut quote) = (0, None);
    for (i, &b) in bytes.iter().enumerate() {
        match quote {
            Some(q) if q == b => quote = None,
            Some(_) => {}
            None if b == b'"' || b == b'\'' => {
                values += 1;
                quote = Some(b);
            }
            // On an ASCII character: the text may be cut here.
            None if b == b'>' => return (values, i),
            None => {}
        }
    }
    (values, bytes.len())
}

/// The child elements of a name, whatever their namespace.
pub(crate) fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

/// The first child element of a name.
pub(crate) fn child<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

/// An attribute as a number.
pub(crate) fn number<T: std::str::FromStr>(
    source: &Source,
    node: Node<'_, '_>,
    name: &str,
) -> Result<Option<T>, SlideError> {
    let Some(text) = node.attribute(name) else { return Ok(None) };
    let shown = || text.chars().take(40).collect::<String>();
    text.trim().parse().map(Some).map_err(|_| {
        let place = format!("XML, {} of {}", name, node.tag_name().name());
        SlideError::broken(source.path(), place, "a number", shown())
    })
}

/// An attribute that must be there, as a number.
pub(crate) fn required<T: std::str::FromStr>(source: &Source, node: Node<'_, '_>, name: &str) -> Result<T, SlideError> {
    number(source, node, name)?.ok_or_else(|| {
        let place = format!("XML, {}", node.tag_name().name());
        SlideError::broken(source.path(), place, format!("an attribute {name}"), "none")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_long_is_refused() {
        assert_eq!(bounded("<a b='1' c=\"<'>\"/><!-- \" --><d e=''/>"), Ok(()));
        let many = |n: usize| (0..n).map(|i| format!(" a{i}=''")).collect::<String>();
        assert!(bounded(&format!("<x{}/>", many(256))).is_ok());
        assert!(bounded(&format!("<x{}/>", many(257))).is_err());
        // A quote in a comment or in CDATA does not hide them.
        assert!(bounded(&format!("<!-- \" --><x{}/>", many(257))).is_err());
        assert!(bounded(&format!("<![CDATA['<']]><x{}/>", many(257))).is_err());
        assert!(bounded(&"<![CDATA[x]]>".repeat(257)).is_err());
        assert!(bounded(&"<a xmlns:b='c'>".repeat(257)).is_err());
        assert!(bounded("<a b='").is_ok() && bounded("<!--").is_ok() && bounded("<").is_ok());
    }
}
