//! The tables `obs` and `var`: their names and columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::source::{Kind, Source};
use crate::{H5Error, dataset::DatasetReader};

/// Columns of `obs` or `var` by name, as [`read_matrix`](crate::read_matrix) gives them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Integers, floats and booleans (0 and 1); a missing value is NaN.
    pub numeric: BTreeMap<String, Vec<f64>>,
    /// Texts and categories; a missing value is `None`.
    pub text: BTreeMap<String, Vec<Option<String>>>,
}

enum Column {
    Numeric(Vec<f64>),
    Text(Vec<Option<String>>),
}

/// Names of the rows of `obs` or `var`, from the place that the `_index` attribute names.
pub(crate) fn names(source: &Arc<Source>, frame: &str) -> Result<Vec<String>, H5Error> {
    let place = index_place(source, frame)?;
    match source.kind(&place)? {
        Some(Kind::Dataset) => {
            let dataset = source.dataset(&place)?;
            let name = place.get(frame.len() + 1..).unwrap_or_default();
            if let Some(categories) = old_categories(source, frame, name)? {
                let names = coded(source, &place, &categories, &dataset)?;
                return whole_names(source, &place, names);
            }
            if dataset.is_numeric() {
                return Ok(dataset.numbers::<i64>()?.iter().map(i64::to_string).collect());
            }
            dataset.texts()
        }
        Some(Kind::Group) => match group_column(source, &place)? {
            Column::Text(texts) => whole_names(source, &place, texts),
            Column::Numeric(numbers) => Ok(numbers.iter().map(f64::to_string).collect()),
        },
        None => {
            Err(source.broken(&place, format!("the '_index' attribute of {frame} leads here, but nothing is there")))
        }
    }
}

fn whole_names(source: &Source, place: &str, names: Vec<Option<String>>) -> Result<Vec<String>, H5Error> {
    let gap = |i: usize| source.broken(place, format!("name {i} is missing"));
    names.into_iter().enumerate().map(|(i, name)| name.ok_or_else(|| gap(i))).collect()
}

fn index_place(source: &Arc<Source>, frame: &str) -> Result<String, H5Error> {
    match source.kind(frame)? {
        Some(Kind::Group) => {}
        Some(Kind::Dataset) => {
            return Err(H5Error::unsupported(
                source.path(),
                frame,
                "a table of anndata before 0.7; read and write the file again with Python's anndata 0.7 or later",
            ));
        }
        None => return Err(H5Error::missing(source.path(), frame, "not an .h5ad file; it must have X, obs and var")),
    }
    match source.text_attr(frame, "_index")? {
        Some(name) => Ok(format!("{frame}/{name}")),
        None => Err(source.broken(frame, "the attribute '_index', which names the column of names, is not there")),
    }
}

/// All columns that are numbers, texts or categories; others are left out with a warning in the log.
pub(crate) fn columns(source: &Arc<Source>, frame: &str, rows: usize) -> Result<Columns, H5Error> {
    let mut columns = Columns::default();
    for name in source.text_list_attr(frame, "column-order")? {
        let place = format!("{frame}/{name}");
        let column = match column(source, frame, &name) {
            Err(H5Error::Unsupported { problem, .. }) => {
                log::warn!("{}: column {place} left out: {problem}", source.path().display());
                continue;
            }
            other => other?,
        };
        let found = match &column {
            Column::Numeric(v) => v.len(),
            Column::Text(v) => v.len(),
        };
        if found != rows {
            return Err(source.broken(&place, format!("{rows} values were expected, one for each name, found {found}")));
        }
        match column {
            Column::Numeric(v) => drop(columns.numeric.insert(name, v)),
            Column::Text(v) => drop(columns.text.insert(name, v)),
        }
    }
    Ok(columns)
}

/// One column of texts without gaps, one for each name.
pub(crate) fn text_column(source: &Arc<Source>, frame: &str, name: &str, rows: usize) -> Result<Vec<String>, H5Error> {
    let place = format!("{frame}/{name}");
    if source.kind(&place)?.is_none() {
        let there = source.text_list_attr(frame, "column-order")?.join("', '");
        return Err(H5Error::missing(source.path(), &place, format!("{frame} has the columns '{there}'")));
    }
    let Column::Text(texts) = column(source, frame, name)? else {
        return Err(source.broken(&place, "texts were expected, found numbers"));
    };
    if texts.len() != rows {
        return Err(source.broken(&place, format!("{rows} values were expected, found {}", texts.len())));
    }
    whole_names(source, &place, texts)
}

/// Where anndata 0.7 and before kept the names of a categorical column, whose codes lie in the column's place.
fn old_categories(source: &Arc<Source>, frame: &str, name: &str) -> Result<Option<String>, H5Error> {
    let place = format!("{frame}/__categories/{name}");
    Ok(source.kind(&place)?.map(|_| place))
}

fn column(source: &Arc<Source>, frame: &str, name: &str) -> Result<Column, H5Error> {
    let place = &format!("{frame}/{name}");
    match source.kind(place)? {
        Some(Kind::Group) => group_column(source, place),
        _ => {
            let dataset = source.dataset(place)?;
            if let Some(categories) = old_categories(source, frame, name)? {
                return coded(source, place, &categories, &dataset).map(Column::Text);
            }
            if dataset.is_text() {
                Ok(Column::Text(dataset.texts()?.into_iter().map(Some).collect()))
            } else {
                dataset.numbers().map(Column::Numeric)
            }
        }
    }
}

fn group_column(source: &Arc<Source>, place: &str) -> Result<Column, H5Error> {
    match source.text_attr(place, "encoding-type")?.as_deref() {
        Some("categorical") => categorical(source, place).map(Column::Text),
        Some("nullable-integer" | "nullable-boolean") => {
            let (values, mask) = masked(source, place)?;
            let mut values: Vec<f64> = values.numbers()?;
            for (v, &missing) in values.iter_mut().zip(&mask) {
                if missing != 0 {
                    *v = f64::NAN;
                }
            }
            Ok(Column::Numeric(values))
        }
        Some("nullable-string-array") => {
            let (values, mask) = masked(source, place)?;
            let texts = values.texts()?.into_iter().zip(&mask);
            Ok(Column::Text(texts.map(|(t, &missing)| (missing == 0).then_some(t)).collect()))
        }
        other => Err(H5Error::unsupported(
            source.path(),
            place,
            format!(
                "a column of encoding {:?}; numbers, texts, categories and nullables are read",
                other.unwrap_or("none")
            ),
        )),
    }
}

fn masked(source: &Arc<Source>, place: &str) -> Result<(DatasetReader, Vec<i8>), H5Error> {
    let values = source.dataset(&format!("{place}/values"))?;
    let mask = source.dataset(&format!("{place}/mask"))?;
    mask.expect_len(values.len()?, "one for each of 'values'")?;
    Ok((values, mask.numbers()?))
}

fn categorical(source: &Arc<Source>, place: &str) -> Result<Vec<Option<String>>, H5Error> {
    let codes = source.dataset(&format!("{place}/codes"))?;
    coded(source, place, &format!("{place}/categories"), &codes)
}

fn coded(
    source: &Arc<Source>,
    place: &str,
    categories: &str,
    codes: &DatasetReader,
) -> Result<Vec<Option<String>>, H5Error> {
    let categories = source.dataset(categories)?;
    let categories: Vec<String> = if categories.is_text() {
        categories.texts()?
    } else {
        categories.numbers::<f64>()?.iter().map(f64::to_string).collect()
    };
    let mut out = codes.room(codes.len()?)?;
    let mut bytes = 0;
    codes.for_each_block::<i64>(0..codes.len()?, |start, block| {
        for (i, &code) in block.iter().enumerate() {
            if code == -1 {
                out.push(None);
                continue;
            }
            let text = usize::try_from(code).ok().and_then(|c| categories.get(c)).ok_or_else(|| {
                source.broken(place, format!("row {} has category {code} of {}", start + i, categories.len()))
            })?;
            bytes += text.len();
            out.push(Some(text.clone()));
        }
        codes.check_bytes(bytes, 1)
    })?;
    Ok(out)
}
