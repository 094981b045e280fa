"""Layers, raw, nullable columns and the encodings of anndata 0.7, beside this script.

Made with: python 3.11, anndata 0.12.19, h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6, pandas, scipy; run `python make_encodings.py`.
"""

import gzip
import pathlib
import tempfile

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
ad.settings.allow_write_nullable_strings = True


def data():
    obs = pd.DataFrame(
        {
            "int": pd.array([1, None, 3, 4, 5], dtype="Int32"),
            "flag": pd.array([True, None, False, True, False], dtype="boolean"),
            "text": pd.array(["a", None, "", "d", "é"], dtype="string"),
        },
        index=pd.Index(OBS, dtype=object),
    )
    var = pd.DataFrame({"symbol": ["a", "b", "a", "c"]}, index=pd.Index(VAR, dtype=object))
    a = ad.AnnData(sp.csr_matrix(MATRIX.astype(np.float32)), obs=obs, var=var)
    a.raw = a.copy()
    a = a[:, ["KRT8", "EPCAM"]].copy()
    scaled = a.X.toarray() - 1
    a.layers["counts"] = sp.csc_matrix(a.X)
    a.layers["dense"] = a.X.toarray().astype(np.int64)
    a.X = scaled.astype(np.float32)
    return a


data().write_h5ad(HERE / "layers.h5ad")

# What anndata 0.7 wrote: no encoding-type on arrays, categories apart, h5sparse attributes still read.
with h5py.File(HERE / "old_0_7.h5ad", "w") as f:
    text = h5py.string_dtype()
    x = sp.csr_matrix(MATRIX.astype(np.float32))
    g = f.create_group("X")
    g.attrs["encoding-type"], g.attrs["encoding-version"], g.attrs["shape"] = "csr_matrix", "0.1.0", x.shape
    for name in ("data", "indices", "indptr"):
        g[name] = getattr(x, name)
    for frame, names in [("obs", OBS), ("var", VAR)]:
        g = f.create_group(frame)
        g.attrs["_index"], g.attrs["encoding-type"], g.attrs["encoding-version"] = "index", "dataframe", "0.1.0"
        g["index"] = np.array(names, object).astype(text)
        g.attrs["column-order"] = np.array(["class", "n"] if frame == "obs" else [], object).astype(text) if frame == "obs" else np.array([], "f8")
    f["obs/n"] = np.arange(5)
    f["obs/class"] = np.array([1, -1, 0, 1, 0], np.int8)
    f["obs/__categories/class"] = np.array(["stroma", "tumour"], object).astype(text)
    f["obs/class"].attrs["categories"] = f["obs/__categories/class"].ref

# And before that, with the attributes of h5sparse and a compound table.
with h5py.File(HERE / "old_h5sparse.h5ad", "w") as f:
    g = f.create_group("X")
    g.attrs["h5sparse_format"], g.attrs["h5sparse_shape"] = "csr", x.shape
    for name in ("data", "indices", "indptr"):
        g[name] = getattr(x, name)
    for frame, names in [("obs", OBS), ("var", VAR)]:
        f.create_dataset(frame, data=np.array([(n.encode(),) for n in names], dtype=[("index", "S12")]))

# An index of pandas' newest strings, and one of categories.
a = ad.AnnData(sp.csr_matrix(MATRIX.astype(np.float32)), obs=pd.DataFrame(index=OBS), var=pd.DataFrame(index=VAR))
a.obs.index = pd.Index(pd.array(OBS, dtype="string"))
a.write_h5ad(HERE / "nullable_index.h5ad")

for path in sorted(HERE.iterdir()):
    (pathlib.Path(__file__).parent / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
