use std::collections::HashMap;

use scellst_types::{CellIndex, Level0, Point, Size};

use crate::{CellsError, Measurements};

/// One cell on its way into or out of [`Cells`].
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its name; `None` takes the next free `cell_0000012`.
    pub id: Option<String>,
    /// Centroid, level-0 px.
    pub centroid: Point<Level0>,
    /// Corners of the outline, level-0 px, an open ring (the first is not repeated); empty if unknown.
    pub outline: Vec<[f32; 2]>,
    /// Area, um2; NaN if unknown.
    pub area_um2: f32,
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Its class, such as `neoplastic`.
    pub class: Option<String>,
}

impl Cell {
    /// A cell known by its centroid alone: no outline, area unknown, score 1.
    pub fn at(centroid: Point<Level0>) -> Self {
        Self { id: None, centroid, outline: Vec::new(), area_um2: f32::NAN, score: 1.0, class: None }
    }
}

const NO_CLASS: u16 = u16::MAX;

/// The cells of a slide, column by column: a million of them with outlines take about 300 MB.
///
/// ```
/// use scellst_cells::{Cell, Cells};
/// use scellst_types::{CellIndex, Point};
///
/// let mut cells = Cells::new();
/// cells.push(Cell::at(Point::new(10.5, 20.5)))?;
/// cells.push(Cell { class: Some("immune".into()), ..Cell::at(Point::new(40.0, 8.0)) })?;
/// assert_eq!(cells.id(1), "cell_0000001");
/// let immune = cells.select(&[CellIndex(1)])?;
/// assert_eq!((immune.id(0), immune.class(0)), ("cell_0000001".to_owned(), Some("immune")));
/// # Ok::<(), scellst_cells::CellsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cells {
    centroids: Vec<Point<Level0>>,
    areas: Vec<f32>,
    scores: Vec<f32>,
    /// Where each outline ends in `vertices`.
    outline_ends: Vec<u64>,
    vertices: Vec<[f32; 2]>,
    classes: Vec<u16>,
    class_names: Vec<String>,
    class_lookup: HashMap<String, u16>,
    ids: Vec<Id>,
    measurements: Measurements,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Number(u32),
    Name(Box<str>),
}

impl Id {
    /// A name of the form that numbers get is kept as its number: a million of them need no text.
    fn of(name: String) -> Self {
        let digits = name.strip_prefix("cell_").filter(|d| d.len() >= 7 && d.bytes().all(|b| b.is_ascii_digit()));
        let canonical = |d: &&str| d.len() == 7 || !d.starts_with('0');
        match digits.filter(canonical).and_then(|d| d.parse().ok()) {
            Some(number) => Self::Number(number),
            None => Self::Name(name.into()),
        }
    }
}

impl Cells {
    /// No cells.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.centroids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.centroids.is_empty()
    }

    /// Centroids, level-0 px; a pixel's centre is at +0.5.
    pub fn centroids(&self) -> &[Point<Level0>] {
        &self.centroids
    }

    /// Areas, um2; NaN where unknown.
    pub fn area_um2(&self) -> &[f32] {
        &self.areas
    }

    /// Scores, 0 to 1.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Corners of the outline of cell `i`, level-0 px, an open ring; empty if unknown or if there is no cell `i`.
    pub fn outline(&self, i: usize) -> &[[f32; 2]] {
        let start = match i.checked_sub(1) {
            Some(before) => self.outline_ends.get(before).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.outline_ends.get(i).copied().unwrap_or(start);
        self.vertices.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// The class of cell `i`, if it has one.
    pub fn class(&self, i: usize) -> Option<&str> {
        self.class_names.get(usize::from(*self.classes.get(i)?)).map(String::as_str)
    }

    /// All class names, in the order of their first appearance.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The stable name of cell `i`: as imported, else `cell_0000012`. Empty if there is no cell `i`.
    pub fn id(&self, i: usize) -> String {
        match self.ids.get(i) {
            Some(Id::Number(n)) => format!("cell_{n:07}"),
            Some(Id::Name(name)) => name.to_string(),
            None => String::new(),
        }
    }

    /// What is measured on the cells; a table without columns until it is set.
    pub fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// Gives the cells measurements in place of those that they had: a row for each cell, in their order. They go where
    /// the cells go, through [`Cells::select`] and into every export; a cell that is added later has none (NaN).
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for another number of rows than there are cells.
    pub fn set_measurements(&mut self, measurements: Measurements) -> Result<(), CellsError> {
        if measurements.len() != self.len() {
            return Err(CellsError::misuse("measurements", format!("{} rows", self.len()), measurements.len()));
        }
        self.measurements = measurements;
        Ok(())
    }

    /// Cell `i` by itself.
    pub fn get(&self, i: usize) -> Option<Cell> {
        Some(Cell {
            id: Some(self.id(i)),
            centroid: *self.centroids.get(i)?,
            outline: self.outline(i).to_vec(),
            area_um2: *self.areas.get(i)?,
            score: *self.scores.get(i)?,
            class: self.class(i).map(str::to_owned),
        })
    }

    /// Adds a cell at the end.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] if a coordinate is not finite, the area negative or infinite, the score not in 0 to 1,
    /// or the outline has one or two corners; [`CellsError::OverLimit`] beyond 2^32 - 1 cells or 65,535 classes.
    /// The table is then as before.
    pub fn push(&mut self, cell: Cell) -> Result<CellIndex, CellsError> {
        let n = self.len();
        let Some(index) = u32::try_from(n).ok().filter(|&i| i < u32::MAX) else {
            return Err(over("cells", u64::from(u32::MAX), n as u64 + 1));
        };
        check(n, &cell)?;
        let class = match cell.class {
            None => NO_CLASS,
            Some(name) => self.class_number(name)?,
        };
        self.centroids.push(cell.centroid);
        self.areas.push(cell.area_um2);
        self.scores.push(cell.score);
        self.vertices.extend_from_slice(&cell.outline);
        self.outline_ends.push(self.vertices.len() as u64);
        self.classes.push(class);
        self.ids.push(match cell.id {
            Some(name) => Id::of(name),
            None => Id::Number(index),
        });
        self.measurements.push_unknown();
        Ok(CellIndex(index))
    }

    /// The given cells in the given order, with their ids.
    ///
    /// # Errors
    /// [`CellsError::Misuse`] for an index beyond the table.
    pub fn select(&self, indices: &[CellIndex]) -> Result<Self, CellsError> {
        let mut chosen =
            Self { class_names: self.class_names.clone(), class_lookup: self.class_lookup.clone(), ..Self::default() };
        for index in indices {
            let i = index.get();
            if i >= self.len() {
                return Err(CellsError::misuse("cell index", format!("under {}", self.len()), i));
            }
            chosen.centroids.push(self.centroids[i]);
            chosen.areas.push(self.areas[i]);
            chosen.scores.push(self.scores[i]);
            chosen.vertices.extend_from_slice(self.outline(i));
            chosen.outline_ends.push(chosen.vertices.len() as u64);
            chosen.classes.push(self.classes[i]);
            chosen.ids.push(self.ids[i].clone());
        }
        chosen.measurements = self.measurements.select(indices.iter().map(|i| i.get()));
        Ok(chosen)
    }

    /// Checks the centroids against a slide's size, level-0 px, and says which lie on it.
    ///
    /// # Errors
    /// [`CellsError::OtherLevel`] if over a tenth of the cells lie outside: then it is not the odd cell at an edge.
    pub fn inside(&self, size: Size) -> Result<Vec<CellIndex>, CellsError> {
        let on = on_slide(size);
        let inside: Vec<_> = (0u32..).zip(&self.centroids).filter(|(_, p)| on(p)).map(|(i, _)| CellIndex(i)).collect();
        let outside = self.len() - inside.len();
        if outside * 10 > self.len() { Err(crate::place::elsewhere(&self.centroids, size, None)) } else { Ok(inside) }
    }

    /// Drops the cells whose centroid `keep` refuses, without a second table; gives how many went.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Point<Level0>) -> bool) -> usize {
        let (mut kept, mut vertices, mut start) = (0, 0, 0);
        let before = self.len();
        for i in 0..before {
            let end = self.outline_ends[i] as usize;
            if keep(&self.centroids[i]) {
                self.vertices.copy_within(start..end, vertices);
                vertices += end - start;
                self.centroids[kept] = self.centroids[i];
                self.areas[kept] = self.areas[i];
                self.scores[kept] = self.scores[i];
                self.classes[kept] = self.classes[i];
                self.outline_ends[kept] = vertices as u64;
                self.ids.swap(kept, i);
                self.measurements.copy_row(i, kept);
                kept += 1;
            }
            start = end;
        }
        self.vertices.truncate(vertices);
        self.centroids.truncate(kept);
        self.areas.truncate(kept);
        self.scores.truncate(kept);
        self.classes.truncate(kept);
        self.outline_ends.truncate(kept);
        self.ids.truncate(kept);
        self.measurements.truncate(kept);
        before - kept
    }

    /// Gives every class another name, or none; classes that get the same name become one.
    pub(crate) fn rename_classes(&mut self, rename: impl Fn(&str) -> Option<String>) {
        let old = std::mem::take(&mut self.class_names);
        self.class_lookup.clear();
        // No more names than before: the count of classes cannot overflow.
        let number = |name: &String, cells: &mut Self| match rename(name) {
            Some(new) => cells.class_number(new).unwrap_or(NO_CLASS),
            None => NO_CLASS,
        };
        let numbers: Vec<u16> = old.iter().map(|name| number(name, self)).collect();
        for class in &mut self.classes {
            *class = numbers.get(usize::from(*class)).copied().unwrap_or(NO_CLASS);
        }
    }

    /// How many cells have an id that an earlier cell has too. Ids are compared by a 64-bit hash.
    pub(crate) fn duplicate_ids(&self) -> usize {
        let hasher = std::hash::BuildHasherDefault::<std::collections::hash_map::DefaultHasher>::default();
        let mut hashes: Vec<u64> = self.ids.iter().map(|id| std::hash::BuildHasher::hash_one(&hasher, id)).collect();
        hashes.sort_unstable();
        hashes.windows(2).filter(|w| w[0] == w[1]).count()
    }

    fn class_number(&mut self, name: String) -> Result<u16, CellsError> {
        if let Some(&known) = self.class_lookup.get(&name) {
            return Ok(known);
        }
        let next = u16::try_from(self.class_names.len()).ok().filter(|&n| n < NO_CLASS);
        let next = next.ok_or_else(|| over("classes", u64::from(NO_CLASS), self.class_names.len() as u64 + 1))?;
        self.class_names.push(name.clone());
        self.class_lookup.insert(name, next);
        Ok(next)
    }
}

/// Whether a centroid lies on a slide of the given size, its edges included.
pub(crate) fn on_slide(size: Size) -> impl Fn(&Point<Level0>) -> bool {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    move |p| (0.0..=w).contains(&p.x) && (0.0..=h).contains(&p.y)
}

fn over(what: &str, limit: u64, found: u64) -> CellsError {
    CellsError::OverLimit { what: what.into(), limit, found, hint: "split the slide".into() }
}

fn check(n: usize, cell: &Cell) -> Result<(), CellsError> {
    let wrong =
        |what: &str, expected: &str, found: String| CellsError::misuse(format!("cell {n}, {what}"), expected, found);
    if !cell.centroid.is_finite() {
        return Err(wrong("centroid", "finite numbers", format!("{:?}", cell.centroid)));
    }
    if matches!(cell.outline.len(), 1 | 2) {
        return Err(wrong("outline", "at least three corners or none", cell.outline.len().to_string()));
    }
    if let Some(corner) = cell.outline.iter().find(|c| !(c[0].is_finite() && c[1].is_finite())) {
        return Err(wrong("outline", "finite numbers", format!("{corner:?}")));
    }
    if cell.area_um2.is_infinite() || cell.area_um2 < 0.0 {
        return Err(wrong("area", "at least 0 um2, or NaN if unknown", cell.area_um2.to_string()));
    }
    if !(0.0..=1.0).contains(&cell.score) {
        return Err(wrong("score", "0 to 1", cell.score.to_string()));
    }
    Ok(())
}

/// Twice the signed area of a ring and its centroid (the mean of its corners where the area vanishes).
/// Source: the shoelace formula, taken about the first corner to keep large coordinates exact.
pub(crate) fn ring_area_centroid(ring: &[[f64; 2]]) -> (f64, [f64; 2]) {
    let Some(&[ox, oy]) = ring.first() else { return (0.0, [0.0, 0.0]) };
    let (mut twice, mut mx, mut my) = (0.0, 0.0, 0.0);
    for (i, a) in ring.iter().enumerate() {
        let b = ring[(i + 1) % ring.len()];
        let (ax, ay, bx, by) = (a[0] - ox, a[1] - oy, b[0] - ox, b[1] - oy);
        let cross = ax * by - bx * ay;
        twice += cross;
        mx += (ax + bx) * cross;
        my += (ay + by) * cross;
    }
    if twice.abs() > 1e-9 {
        return (twice, [ox + mx / (3.0 * twice), oy + my / (3.0 * twice)]);
    }
    let n = ring.len() as f64;
    let mean = |k: usize| ring.iter().map(|p| p[k]).sum::<f64>() / n;
    (0.0, [mean(0), mean(1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(x: f64, y: f64) -> Cell {
        Cell::at(Point::new(x, y))
    }

    #[test]
    fn refuses_nonsense_and_stays_as_it_was() {
        let mut cells = Cells::new();
        cells.push(cell(1.0, 2.0)).unwrap();
        let before = format!("{cells:?}");
        let bad = [
            cell(f64::NAN, 0.0),
            cell(0.0, f64::INFINITY),
            Cell { outline: vec![[0.0, 0.0], [1.0, 1.0]], ..cell(0.0, 0.0) },
            Cell { outline: vec![[0.0, 0.0], [1.0, 1.0], [f32::NAN, 0.0]], ..cell(0.0, 0.0) },
            Cell { area_um2: -1.0, ..cell(0.0, 0.0) },
            Cell { score: 1.5, ..cell(0.0, 0.0) },
            Cell { score: f32::NAN, class: Some("new".into()), ..cell(0.0, 0.0) },
        ];
        for b in bad {
            let error = cells.push(b).unwrap_err();
            assert!(matches!(error, CellsError::Misuse { .. }), "{error}");
        }
        assert_eq!(format!("{cells:?}"), before);
    }

    #[test]
    fn select_keeps_ids_outlines_and_classes() {
        let mut cells = Cells::new();
        let ring = vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        cells.push(cell(1.0, 1.0)).unwrap();
        cells.push(Cell { outline: ring.clone(), class: Some("a".into()), ..cell(2.0, 2.0) }).unwrap();
        cells.push(Cell { id: Some("x".into()), class: Some("b".into()), ..cell(3.0, 3.0) }).unwrap();
        let two = cells.select(&[CellIndex(2), CellIndex(1)]).unwrap();
        assert_eq!((two.id(0), two.id(1)), ("x".into(), "cell_0000001".into()));
        assert_eq!((two.class(0), two.class(1)), (Some("b"), Some("a")));
        assert_eq!((two.outline(0).len(), two.outline(1)), (0, &ring[..]));
        assert_eq!(two.get(1).unwrap().centroid, Point::new(2.0, 2.0));
        assert!(cells.select(&[CellIndex(3)]).is_err());
        assert!(two.get(2).is_none() && two.outline(7).is_empty() && two.class(7).is_none());
    }

    #[test]
    fn coordinates_of_another_level_are_noticed() {
        let mut cells = Cells::new();
        for i in 0..20 {
            cells.push(cell(f64::from(i) * 10.0, 50.0)).unwrap();
        }
        assert_eq!(cells.inside(Size::new(185, 100)).unwrap().len(), 19);
        let error = cells.inside(Size::new(100, 100)).unwrap_err();
        assert!(error.to_string().contains("another level"), "{error}");
        assert!(Cells::new().inside(Size::new(1, 1)).unwrap().is_empty());
    }

    #[test]
    fn numbered_names_are_numbers_and_read_back_alike() {
        for name in ["cell_0000012", "cell_12345678", "cell_12", "cell_00000012", "cell_99999999999", "cell_000001a"] {
            let mut cells = Cells::new();
            cells.push(Cell { id: Some(name.into()), ..cell(0.0, 0.0) }).unwrap();
            assert_eq!(cells.id(0), name);
        }
        assert_eq!(Id::of("cell_0000012".into()), Id::Number(12));
    }

    #[test]
    fn retain_is_select_in_place_and_classes_merge() {
        let mut cells = Cells::new();
        for i in 0..9u8 {
            let x = f32::from(i);
            let outline = if i % 2 == 0 { vec![[x, 0.0], [x, 1.0], [x + 1.0, 0.0]] } else { Vec::new() };
            let class = Some(format!("{}", i % 3));
            let id = Some(format!("n{i}"));
            cells.push(Cell { outline, class, id, area_um2: 1.0, ..cell(f64::from(i), 0.0) }).unwrap();
        }
        let odd = |p: &Point<Level0>| p.x as u32 % 4 != 1;
        let chosen: Vec<_> = (0..9).filter(|i| i % 4 != 1).map(CellIndex).collect();
        let want = cells.select(&chosen).unwrap();
        assert_eq!(cells.retain(odd), 2);
        assert_eq!(cells, want);
        cells.rename_classes(|name| (name != "2").then(|| "one".into()));
        assert_eq!((cells.class_names(), cells.class(0), cells.class(1)), (&["one".to_owned()][..], Some("one"), None));
        assert_eq!(cells.duplicate_ids(), 0);
        cells.push(Cell { id: Some("n0".into()), ..cell(1.0, 1.0) }).unwrap();
        assert_eq!(cells.duplicate_ids(), 1);
    }

    #[test]
    fn shoelace() {
        let far = 1e6;
        let square = [[far, far], [far + 2.0, far], [far + 2.0, far + 4.0], [far, far + 4.0]];
        let (twice, centre) = ring_area_centroid(&square);
        assert_eq!((twice, centre), (16.0, [far + 1.0, far + 2.0]));
        let (flat, mean) = ring_area_centroid(&[[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]);
        assert_eq!((flat, mean), (0.0, [2.0, 2.0]));
    }
}
