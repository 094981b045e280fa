//! The layout that anndata's format asks for, checked by HDF5 alone: runs where there is no Python.
//! <https://anndata.readthedocs.io/en/stable/fileformat-prose.html>

use hdf5::types::{TypeDescriptor, VarLenUnicode};

use crate::sample;

fn text(location: &hdf5::Location, name: &str) -> String {
    let attribute = location.attr(name).unwrap_or_else(|_| panic!("{}: no {name}", location.name()));
    assert_eq!(attribute.dtype().unwrap().to_descriptor().unwrap(), TypeDescriptor::VarLenUnicode);
    attribute.read_scalar::<VarLenUnicode>().unwrap().to_string()
}

fn encoding(location: &hdf5::Location) -> String {
    format!("{} {}", text(location, "encoding-type"), text(location, "encoding-version"))
}

fn is(file: &hdf5::File, places: &[(&str, &str)]) {
    for (place, expected) in places {
        let found = match file.group(place) {
            Ok(group) => encoding(&group),
            Err(_) => encoding(&file.dataset(place).unwrap()),
        };
        assert_eq!(&found, expected, "{place}");
    }
}

const FRAME: &str = "dataframe 0.2.0";
const DICT: &str = "dict 0.1.0";
const ARRAY: &str = "array 0.2.0";
const TEXTS: &str = "string-array 0.2.0";
const NUMBER: &str = "numeric-scalar 0.2.0";

#[test]
fn predictions() {
    let dir = tempfile::tempdir().unwrap();
    let paths = sample::write(dir.path());
    for path in &paths[..2] {
        let file = hdf5::File::open(path).unwrap();
        is(&file, &[("/", "anndata 0.1.0"), ("X", ARRAY), ("obs", FRAME), ("var", FRAME)]);
        is(
            &file,
            &["obsm", "uns", "layers", "varm", "obsp", "varp", "uns/scellst", "uns/scellst/map"].map(|g| (g, DICT)),
        );
        is(&file, &[("obs/_index", TEXTS), ("var/_index", TEXTS), ("obs/id", TEXTS), ("obsm/spatial", ARRAY)]);
        is(&file, &["obs/area_um2", "obs/outside", "obs/spot", "var/train_variance"].map(|c| (c, ARRAY)));
        is(&file, &[("obs/class", "categorical 0.2.0"), ("obs/class/categories", TEXTS), ("obs/class/codes", ARRAY)]);
        is(&file, &[("uns/scellst/version", "string 0.2.0"), ("uns/scellst/mpp", NUMBER), ("uns/scellst/gpu", NUMBER)]);
        is(&file, &[("uns/scellst/sections", TEXTS), ("uns/scellst/flags", ARRAY)]);
        assert_eq!(text(&file.group("obs").unwrap(), "_index"), "_index");
        let order = file.group("obs").unwrap().attr("column-order").unwrap().read_1d::<VarLenUnicode>().unwrap();
        let order: Vec<&str> = order.iter().map(|s| s.as_str()).collect();
        assert_eq!(order, ["area_um2", "class", "outside", "spot", "id"]);
        let kind = |place: &str| file.dataset(place).unwrap().dtype().unwrap().to_descriptor().unwrap();
        assert_eq!(kind("obs/outside"), TypeDescriptor::Boolean);
        assert_eq!(kind("uns/scellst/gpu"), TypeDescriptor::Boolean);
        assert_eq!(kind("obs/_index"), TypeDescriptor::VarLenUnicode);
        assert!(!file.group("obs/class").unwrap().attr("ordered").unwrap().read_scalar::<bool>().unwrap());
        let x = file.dataset("X").unwrap();
        assert_eq!(x.shape(), [3, 2]);
        assert!(x.is_chunked());
        assert_eq!(kind("X"), TypeDescriptor::Float(hdf5::types::FloatSize::U4));
    }
}

#[test]
fn sections() {
    let dir = tempfile::tempdir().unwrap();
    let file = hdf5::File::open(&sample::write(dir.path())[2]).unwrap();
    is(&file, &[("/", "anndata 0.1.0"), ("X", "csr_matrix 0.1.0"), ("obs", FRAME), ("var", FRAME), ("obsm", DICT)]);
    let x = file.group("X").unwrap();
    assert_eq!(x.attr("shape").unwrap().read_raw::<i64>().unwrap(), [3, 2]);
    // As anndata itself: the parts of a sparse matrix have no encoding of their own.
    for part in ["data", "indices", "indptr"] {
        assert!(x.dataset(part).unwrap().attr("encoding-type").is_err());
    }
    assert_eq!(x.dataset("indices").unwrap().dtype().unwrap(), x.dataset("indptr").unwrap().dtype().unwrap());
    is(
        &file,
        &["uns/spatial", "uns/spatial/sim", "uns/spatial/sim/scalefactors", "uns/spatial/sim/images"]
            .map(|g| (g, DICT)),
    );
    is(&file, &[("uns/spatial/sim/scalefactors/spot_diameter_fullres", NUMBER), ("obsm/types", ARRAY)]);
}

#[test]
fn no_filter_but_gzip() {
    use hdf5::filters::Filter;
    let dir = tempfile::tempdir().unwrap();
    for path in sample::write(dir.path()) {
        let file = hdf5::File::open(&path).unwrap();
        let mut groups = vec![file.group("/").unwrap()];
        let mut seen = 0;
        while let Some(group) = groups.pop() {
            groups.extend(group.groups().unwrap());
            for dataset in group.datasets().unwrap() {
                seen += 1;
                let allowed = |f: &Filter| matches!(f, Filter::Deflate(_) | Filter::Shuffle);
                assert!(dataset.filters().iter().all(allowed), "{}: {:?}", dataset.name(), dataset.filters());
            }
        }
        assert!(seen > 3);
        let x = file.dataset("X").or_else(|_| file.dataset("X/data")).unwrap();
        let packed = path.ends_with("pred_gzip.h5ad") || path.ends_with("section.h5ad");
        assert_eq!(x.filters().is_empty(), !packed, "{}", path.display());
    }
}
