/// A table whose columns mean something to us, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) id: Option<usize>,
    pub(crate) x: Option<usize>,
    pub(crate) y: Option<usize>,
    pub(crate) class: Option<usize>,
    pub(crate) score: Option<usize>,
    pub(crate) area: Option<usize>,
    /// Which nucleus of a cell (Xenium).
    pub(crate) label: Option<usize>,
    pub(crate) kind: Kind,
    /// Whether x and y are um.
    pub(crate) microns: bool,
}

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// A cell each.
    #[default]
    Centroids,
    /// A corner of an outline each.
    Boundaries,
}

/// Names in the order of preference, as [`plain`] leaves them.
const ID: [&str; 7] = ["id", "cellid", "objectid", "cell", "barcode", "index", "indexlevel0"];
const CLASS: [&str; 5] = ["class", "classification", "classname", "celltype", "type"];
const SCORE: [&str; 6] = ["score", "detectionprobability", "typeprob", "probability", "prob", "confidence"];
const NUCLEUS_AREA: [&str; 2] = ["nucleusareaum2", "nucleusarea"];
const CELL_AREA: [&str; 2] = ["cellareaum2", "cellarea"];
const AREA: [&str; 2] = ["areaum2", "areaum"];
/// Ends of a pair of names in px, then of one in um. Xenium's `x_centroid` is um.
const PIXELS: [[&str; 2]; 7] = [
    ["x", "y"],
    ["xpx", "ypx"],
    ["centroidx", "centroidy"],
    ["centroidxpx", "centroidypx"],
    ["xcentroidpx", "ycentroidpx"],
    ["cx", "cy"],
    ["xpixel", "ypixel"],
];
const MICRONS: [[&str; 2]; 5] = [
    ["xum", "yum"],
    ["centroidxum", "centroidyum"],
    ["xcentroid", "ycentroid"],
    ["xcentroidum", "ycentroidum"],
    ["xmicron", "ymicron"],
];

impl Columns {
    /// By the names of a header, `cell` for the area of the cell and not of its nucleus; without x and y if none fits.
    pub(crate) fn of<S: AsRef<str>>(names: &[S], cell: bool) -> Self {
        let plain: Vec<String> = names.iter().map(|n| plain(n.as_ref())).collect();
        let find = |wanted: &[&str]| wanted.iter().find_map(|w| plain.iter().position(|n| n == w));
        let pair = |[x, y]: &[&str; 2]| Some((find(&[x])?, find(&[y])?));
        let mut columns = Self {
            id: find(&ID),
            class: find(&CLASS),
            score: find(&SCORE),
            area: find(&AREA).or_else(|| {
                let (first, second) = if cell { (CELL_AREA, NUCLEUS_AREA) } else { (NUCLEUS_AREA, CELL_AREA) };
                find(&first).or_else(|| find(&second))
            }),
            label: find(&["labelid"]),
            ..Self::default()
        };
        let place = if let Some(place) = pair(&["vertexx", "vertexy"]) {
            (columns.kind, columns.microns) = (Kind::Boundaries, true);
            Some(place)
        } else if let Some(place) = PIXELS.iter().find_map(pair) {
            Some(place)
        } else {
            columns.microns = true;
            MICRONS.iter().find_map(pair)
        };
        (columns.x, columns.y) = place.unzip();
        columns
    }
}

/// A name without case, signs and blanks: `Centroid X µm` is `centroidxum`.
fn plain(name: &str) -> String {
    let letter = |c: char| match c {
        // The micro sign and the Greek letter; superscript two.
        '\u{b5}' | '\u{3bc}' => Some('u'),
        '\u{b2}' => Some('2'),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    };
    name.chars().filter_map(letter).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_known_tables() {
        let xenium = Columns::of(&["cell_id", "x_centroid", "y_centroid", "cell_area", "nucleus_area"], false);
        assert_eq!(
            (xenium.id, xenium.x, xenium.y, xenium.area, xenium.microns),
            (Some(0), Some(1), Some(2), Some(4), true)
        );
        assert_eq!(Columns::of(&["cell_area", "nucleus_area"], true).area, Some(0));
        let qupath = Columns::of(
            &["Image", "Object ID", "Classification", "Centroid X µm", "Centroid Y µm", "Area µm^2"],
            false,
        );
        assert_eq!((qupath.id, qupath.x, qupath.area, qupath.microns), (Some(1), Some(3), Some(5), true));
        let corners = Columns::of(&["cell_id", "vertex_x", "vertex_y", "label_id"], false);
        assert_eq!((corners.kind, corners.label, corners.microns), (Kind::Boundaries, Some(3), true));
        let both = Columns::of(&["x_um", "y_um", "y", "x"], false);
        assert_eq!((both.x, both.y, both.microns), (Some(3), Some(2), false));
        assert_eq!(Columns::of(&["a", "b"], false).x, None);
    }
}
