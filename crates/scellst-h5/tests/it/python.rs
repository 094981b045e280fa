//! Python's anndata opens what we write.

use crate::common::{python, python_with};
use crate::sample;

const CHECK: &str = r#"
import sys
import anndata as ad, h5py, numpy as np, pandas as pd, scipy.sparse as sp

pred, packed, section, empty = sys.argv[1:]
for path in (pred, packed):
    a = ad.read_h5ad(path)
    assert a.X.dtype == np.float32 and not sp.issparse(a.X)
    assert (a.X == np.array([[0.5, 1.5], [2.5, 3.5], [4.5, -5.5]])).all()
    assert list(a.obs_names) == ["cell_0", "größe", "細胞"]
    assert list(a.var_names) == ["EPCAM", "VIM"]
    assert a.obsm["spatial"].dtype == np.float64
    assert (a.obsm["spatial"] == np.array([[10.5, 20], [30, 40.5], [1e5, 0.25]])).all()
    assert list(a.var["train_variance"]) == [0.5, 0.125]
    assert list(a.obs.columns) == ["area_um2", "class", "outside", "spot", "id"]
    assert list(a.obs["area_um2"]) == [41.5, 30.0, 22.25]
    assert isinstance(a.obs["class"].dtype, pd.CategoricalDtype)
    assert list(a.obs["class"].cat.categories) == ["stroma", "tumour"]
    assert list(a.obs["class"].astype(object).where(a.obs["class"].notna(), None)) == ["tumour", None, "stroma"]
    assert a.obs["outside"].dtype == bool and list(a.obs["outside"]) == [False, True, False]
    assert list(a.obs["spot"]) == [-1, 0, 7] and list(a.obs["id"]) == ["a", "", "é"]
    u = a.uns["scellst"]
    assert u["version"] == "0.1.0" and u["mpp"] == 0.25 and u["seed"] == 7 and u["text"] == ""
    assert u["gpu"] == False and type(u["gpu"]) in (bool, np.bool_), type(u["gpu"])
    assert u["large"] == float(2**64) and "nothing" not in u
    assert list(u["sections"]) == ["C2", "C3"] and len(u["empty"]) == 0
    assert list(u["floats"]) == [0.5, 1.0] and list(u["mixed"]) == [1.0, 0.5]
    assert list(u["flags"]) == [True, False] and u["flags"].dtype == bool and u["map"] == {}
    lib = a.uns["spatial"]["slide"]
    assert lib["scalefactors"] == {"spot_diameter_fullres": 30.0, "tissue_hires_scalef": 0.25}, lib["scalefactors"]
    assert lib["images"]["hires"].dtype == np.uint8 and lib["images"]["hires"].shape == (4, 5, 3)
    assert lib["images"]["hires"][3, 2].tolist() == [32, 132, 232] and lib["metadata"] == {}
    assert len(a.layers) == len(a.varm) == len(a.obsp) == len(a.varp) == 0
    b = ad.read_h5ad(path, backed="r")
    assert (b[1:, "VIM"].X[:] == np.array([[3.5], [-5.5]])).all()
    b.file.close()

s = ad.read_h5ad(section)
assert sp.issparse(s.X) and s.X.format == "csr" and s.X.dtype == np.float32 and s.X.has_canonical_format
assert (s.X.toarray() == np.array([[5, 1], [0, 0], [2, 0]])).all()
assert s.uns["spatial"]["sim"]["scalefactors"]["spot_diameter_fullres"] == 145.5
assert s.uns["spatial"]["sim"]["images"]["hires"].shape == (4, 5, 3) and s.uns["seed"] == 7
assert s.uns["spatial"]["sim"]["scalefactors"]["tissue_hires_scalef"] == 0.5
assert (s.obsm["types"] == np.array([[0.5, 0.5], [1, 0], [0, 1]])).all() and s.obsm["types"].dtype == np.float32
assert (s.obsm["spatial"][2] == [1e5, 0.25]).all() and list(s.obs["in_tissue"]) == [1, 1, 0]

assert ad.read_h5ad(empty).shape == (0, 2)

# Only filters of stock h5py.
def filters(name, o):
    if isinstance(o, h5py.Dataset):
        plist = o.id.get_create_plist()
        for i in range(plist.get_nfilters()):
            assert plist.get_filter(i)[0] in (1, 2), (name, plist.get_filter(i))
for path in sys.argv[1:]:
    with h5py.File(path) as f:
        f.visititems(filters)
# And anndata can write again what it has read.
s.write_h5ad(section + ".again"); a.write_h5ad(pred + ".again")
print("ok", ad.__name__)
"#;

/// As a user would, nothing set by hand.
const PLOT: &str = r#"
import sys, matplotlib
matplotlib.use("agg")
import anndata as ad, scanpy as sc
a = ad.read_h5ad(sys.argv[1])
axes = sc.pl.spatial(a, color="VIM", show=False)
image = axes[0].get_images()[0].get_array()
assert image.shape[:2] == (4, 5), image.shape
print("plotted")
"#;

#[test]
fn scanpy_plots_what_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let paths = sample::write(dir.path());
    if let Some(said) = python_with("import scanpy, matplotlib", PLOT, &[&paths[0]]) {
        assert!(said.ends_with("plotted\n"), "{said}");
    }
}

#[test]
fn anndata_reads_our_files() {
    let dir = tempfile::tempdir().unwrap();
    let paths = sample::write(dir.path());
    if let Some(said) = python(CHECK, &paths.each_ref().map(|p| p.as_path())) {
        assert!(said.starts_with("ok"), "{said}");
        // What Python wrote from it is the same to us.
        let again = scellst_h5::read_matrix(dir.path().join("pred.h5ad.again"), None).unwrap();
        let ours = scellst_h5::read_matrix(&paths[0], None).unwrap();
        assert_eq!(again.values, ours.values);
        assert_eq!(again.obs, ours.obs);
        let again = scellst_h5::read_h5ad(dir.path().join("section.h5ad.again")).unwrap();
        assert_eq!(again.expression, scellst_h5::read_h5ad(&paths[2]).unwrap().expression);
    }
}

const WRITE: &str = r#"
import sys, numpy as np, pandas as pd, anndata as ad, scipy.sparse as sp
n = 1_000_000
rng = np.random.default_rng(7)
x = sp.random(n, 5, density=0.3, format="csr", dtype=np.float32, random_state=rng)
x.data = np.ceil(x.data * 9)
# From behind, so that each row's places are in falling order.
x = sp.csr_matrix((x.data[::-1].copy(), x.indices[::-1].copy(), x.nnz - x.indptr[::-1]), shape=x.shape)
a = ad.AnnData(sp.csr_matrix((n, 5), dtype=np.float32))
a.obs_names = [f"細胞_{i}" for i in range(n)]
a.obs["even"] = pd.Categorical.from_codes(np.arange(n) % 2, ["yes", "no"])
a.obsm["spatial"] = np.stack([np.arange(n), np.arange(n)[::-1]], 1).astype(np.float64)
a.X = x
assert (np.diff(a.X.indices[: a.X.indptr[100]]) < 0).any()
a.write_h5ad(sys.argv[1])
print(int(x.sum()), x.nnz, *x[999_999].toarray().ravel().astype(int))
"#;

#[test]
fn a_million_unsorted_observations_of_python() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("million.h5ad");
    let Some(said) = python(WRITE, &[&path]) else { return };
    let numbers: Vec<f64> = said.split_whitespace().map(|w| w.parse().unwrap()).collect();
    let section = scellst_h5::read_h5ad(&path).unwrap();
    let (expression, places) = (&section.expression, section.require_spatial().unwrap());
    assert_eq!(expression.counts().rows(), 1_000_000);
    assert_eq!(expression.observations()[999_999], "細胞_999999");
    assert_eq!(expression.counts_per_observation().iter().sum::<f64>(), numbers[0]);
    assert_eq!(expression.counts().nnz() as f64, numbers[1]);
    let last = expression.select_observations(&[999_999]).unwrap().counts().to_dense().unwrap();
    assert_eq!(last.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), numbers[2..]);
    assert_eq!(places[10], scellst_types::Point::new(10.0, 999_989.0));
}
