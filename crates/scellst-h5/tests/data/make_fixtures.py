"""Writes the small files beside this script: one matrix in every encoding that we read, and broken ones.

Each is packed (.h5ad.gz), since an empty HDF5 group alone takes over a kilobyte.

Made with: python 3, anndata 0.12.19, h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6, scipy; run `python make_fixtures.py`.
The matrix is the same in all of them but where the name says otherwise (see MATRIX).
"""

import gzip
import pathlib
import tempfile
import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

SCRATCH = tempfile.TemporaryDirectory()
HERE = pathlib.Path(SCRATCH.name)
MATRIX = np.array([[0, 3, 0, 7], [0, 0, 0, 0], [1, 0, 2, 0], [0, 5, 0, 9], [4, 0, 0, 6]])
OBS = ["spot_a", "spot_b", "größe", "細胞", "spot_e"]
VAR = ["EPCAM", "VIM", "MT-ND1", "KRT8"]
PLACES = np.array([[10.5, 20.0], [30.0, 40.5], [50.0, 60.0], [70.25, 80.0], [90.0, 100.0]])

warnings.filterwarnings("ignore")


def section(x, **more):
    obs = pd.DataFrame(
        {
            "in_tissue": [1, 1, 0, 1, 1],
            "area": np.array([1.5, 2.5, np.nan, 4.5, 5.5], np.float32),
            "flag": [True, False, True, True, False],
            "class": pd.Categorical(["stroma", None, "tumour", "stroma", "tumour"]),
            "count": pd.array([1, None, 3, 4, 5], dtype="Int64"),
            "note": ["a", "b", "c", "d", "é"],
        },
        index=OBS,
    )
    var = pd.DataFrame({"train_variance": [0.5, 0.25, 0.125, 1.0]}, index=VAR)
    uns = {"spatial": {"lib1": {"images": {}, "scalefactors": {"spot_diameter_fullres": 145.5}}}}
    return ad.AnnData(x, obs=obs, var=var, obsm={"spatial": PLACES}, uns=uns, **more)


def write(name, x, index=None, **options):
    data = section(x)
    if index is not None:
        data.obs.index = index
    data.write_h5ad(HERE / f"{name}.h5ad", **options)


def edit(name, change):
    write(name, sp.csr_matrix(MATRIX.astype(np.float32)))
    with h5py.File(HERE / f"{name}.h5ad", "r+") as f:
        change(f)


def replace(f, place, values, **options):
    """Another array at the same place with the same attributes."""
    attributes = dict(f[place].attrs)
    del f[place]
    f.create_dataset(place, data=values, **options)
    f[place].attrs.update(attributes)


write("dense_f32", MATRIX.astype(np.float32))
write("dense_f64_gzip", MATRIX.astype(np.float64), compression="gzip")
write("dense_i64", MATRIX.astype(np.int64))
write("csr_f32", sp.csr_matrix(MATRIX.astype(np.float32)))
write("csr_i64_gzip", sp.csr_matrix(MATRIX.astype(np.int64)), compression="gzip")
write("csr_u16", sp.csr_matrix(MATRIX.astype(np.uint16)))
write("csr_lzf", sp.csr_matrix(MATRIX.astype(np.float32)), compression="lzf")
write("csc_f64", sp.csc_matrix(MATRIX.astype(np.float64)))
write("csc_i32", sp.csc_matrix(MATRIX.astype(np.int32)))
write("dense_u8_big_chunks", MATRIX.astype(np.uint8), compression="gzip")

# Indices of a row out of order, a zero that is stored, a value in two parts.
data = np.array([7, 3, 0, 2, 1, 9, 5, 6, 3, 1], np.float32)
indices = np.array([3, 1, 1, 2, 0, 3, 1, 3, 0, 0], np.int32)
indptr = np.array([0, 2, 3, 5, 7, 10], np.int32)
unsorted = sp.csr_matrix(MATRIX.shape, dtype=np.float32)
unsorted.data, unsorted.indices, unsorted.indptr = data, indices, indptr
assert (unsorted.toarray() == MATRIX).all()
edit(
    "csr_unsorted_i64_pointers",
    lambda f: (
        replace(f, "X/data", data),
        replace(f, "X/indices", indices.astype(np.int64)),
        replace(f, "X/indptr", indptr.astype(np.int64)),
    ),
)
edit("csr_big_endian", lambda f: (replace(f, "X/data", f["X/data"][:].astype(">f8")), replace(f, "X/indptr", f["X/indptr"][:].astype(">u8"))))
edit("csr_half", lambda f: replace(f, "X/data", f["X/data"][:].astype(np.float16)))
edit("csr_bool", lambda f: replace(f, "X/data", f["X/data"][:] > 0))


def categorical_index(f):
    del f["var/_index"]
    group = f.create_group("var/_index")
    group.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
    order = sorted(VAR)
    ad.io.write_elem(group, "categories", np.array(order, object))
    ad.io.write_elem(group, "codes", np.array([order.index(v) for v in VAR], np.int8))


edit("categorical_index", categorical_index)


def other_index(f):
    f.move("obs/_index", "obs/barcode")
    f["obs"].attrs["_index"] = "barcode"
    replace(f, "var/_index", np.array(VAR, "S8"))


edit("named_index_fixed_width", other_index)
edit("integer_index", lambda f: replace(f, "obs/_index", np.arange(5)))

# Nothing in it, and one gene.
empty = ad.AnnData(sp.csr_matrix((0, 4), dtype=np.float32), var=pd.DataFrame(index=VAR))
empty.write_h5ad(HERE / "empty_csr.h5ad")
ad.AnnData(np.zeros((0, 4), np.float32), var=pd.DataFrame(index=VAR)).write_h5ad(HERE / "empty_dense.h5ad")
ad.AnnData(np.array([[2.0], [0.0]], np.float32)).write_h5ad(HERE / "one_gene.h5ad")

# Not as it should be.
edit("bad_no_spatial", lambda f: (f.move("obsm/spatial", "obsm/X_umap"), f.create_dataset("obsm/X_pca", data=np.zeros((5, 3)))))
edit("bad_no_x", lambda f: f.__delitem__("X"))
edit("bad_indptr_decreases", lambda f: replace(f, "X/indptr", np.array([0, 4, 2, 4, 6, 8], np.int32)))
edit("bad_indptr_negative", lambda f: replace(f, "X/indptr", np.array([0, -1, 2, 4, 6, 8], np.int32)))
edit("bad_indptr_short", lambda f: replace(f, "X/indptr", np.array([0, 2, 4], np.int32)))
edit("bad_indptr_beyond", lambda f: replace(f, "X/indptr", np.array([0, 2, 2, 4, 6, 80], np.int32)))
edit("bad_index_outside", lambda f: replace(f, "X/indices", np.array([1, 3, 0, 2, 1, 3, 0, 4], np.int32)))
edit("bad_index_negative", lambda f: replace(f, "X/indices", np.array([1, 3, 0, 2, 1, 3, 0, -1], np.int32)))
edit("bad_lengths", lambda f: replace(f, "X/indices", np.array([1, 3, 0, 2, 1, 3, 0], np.int32)))
edit("bad_nan", lambda f: replace(f, "X/data", np.array([3, 7, 1, np.nan, 5, 9, 4, 6], np.float32)))
edit("bad_negative", lambda f: replace(f, "X/data", np.array([3, 7, 1, 2, -5, 9, 4, 6], np.float32)))
edit("bad_overflow", lambda f: replace(f, "X/data", np.array([3, 7, 1, 2, 1e300, 9, 4, 6], np.float64)))
edit("bad_shape", lambda f: f["X"].attrs.__setitem__("shape", np.array([5, 5])))
edit("bad_huge_shape", lambda f: f["X"].attrs.__setitem__("shape", np.array([2**62, 2**62])))
edit("bad_text_data", lambda f: replace(f, "X/data", np.array(list("abcdefgh"), "S1")))
edit("bad_spatial_nan", lambda f: replace(f, "obsm/spatial", np.where(PLACES == 60, np.nan, PLACES)))
edit("bad_spatial_shape", lambda f: replace(f, "obsm/spatial", PLACES[:4]))
edit("bad_spatial_3d", lambda f: replace(f, "obsm/spatial", np.zeros((5, 3))))
edit("bad_diameter", lambda f: replace(f, "uns/spatial/lib1/scalefactors/spot_diameter_fullres", -1.0))
edit("bad_no_index", lambda f: f["obs"].attrs.__delitem__("_index"))
edit("bad_index_nowhere", lambda f: f["obs"].attrs.__setitem__("_index", "gone"))
edit("bad_encoding", lambda f: f["X"].attrs.__setitem__("encoding-type", "coo_matrix"))
edit("bad_old_obs", lambda f: (f.__delitem__("obs"), f.create_dataset("obs", data=np.zeros(5, [("index", "S4"), ("n", "i4")]))))


def huge(f):
    """Terabytes that were never written."""
    del f["X"]
    f.create_dataset("X", shape=(5, 4), dtype="f4")
    replace(f, "var/_index", np.array(VAR, object))
    del f["obs/_index"]
    f.create_dataset("obs/_index", shape=(2**40,), chunks=(1024,), dtype=h5py.string_dtype())


edit("bad_huge_names", huge)


def huge_dense(f):
    del f["X/data"], f["X/indices"]
    for name in ("X/data", "X/indices"):
        f.create_dataset(name, shape=(2**50,), chunks=(1024,), dtype="i4")
    replace(f, "X/indptr", np.array([0, 0, 0, 0, 0, 2**50], np.int64))


edit("bad_huge_data", huge_dense)


def external(f):
    del f["X"]
    f["X"] = h5py.ExternalLink("csr_f32.h5ad", "/X")


def raw_external(f):
    del f["X"]
    f.create_dataset("X", shape=(5, 4), dtype="u1", external=[("make_fixtures.py", 0, 20)])


edit("bad_external_link", external)
edit("bad_external_storage", raw_external)
edit("bad_soft_link", lambda f: (f.__delitem__("X"), f.__setitem__("X", h5py.SoftLink("/nowhere"))))
edit("bad_null_attribute", lambda f: f["obs"].attrs.__setitem__("_index", h5py.Empty("S10")))
edit("bad_null_text_attribute", lambda f: f["obs"].attrs.__setitem__("_index", h5py.Empty(h5py.string_dtype())))
edit("bad_null_dataset", lambda f: (f.__delitem__("X"), f.create_dataset("X", data=h5py.Empty("f4"))))


def not_utf8(f):
    values = np.array([b"ok", b"\xff\xfe", b"c", b"d", b"e"], object)
    replace(f, "obs/_index", values, dtype=h5py.string_dtype("utf-8"))


edit("bad_utf8", not_utf8)

for file in sorted(HERE.glob("*.h5ad")):
    packed = pathlib.Path(__file__).parent / f"{file.name}.gz"
    packed.write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
