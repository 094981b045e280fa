"""Numbers of 10x Genomics' files as h5py, SciPy and pandas read them, for golden_tenx.json.

Made with: python 3.11, h5py 3.16.0, numpy 2.4.6, scipy 1.17.1, pandas 3.1.1, pyarrow 26.0.1;
run `python make_golden_tenx.py /work/shared/data/tenx > golden_tenx.json`.
"""

import csv
import gzip
import io
import json
import pathlib
import sys

import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp

ROOT = pathlib.Path(sys.argv[1])


def h5(path, group="matrix", names="features/name", ids="features/id"):
    with h5py.File(ROOT / path) as f:
        g = f[group]
        x = sp.csc_matrix((g["data"][:], g["indices"][:].astype(int), g["indptr"][:].astype(int)), tuple(g["shape"][:].astype(int)))
        text = lambda d: [t.decode() for t in d[:]]
        return sp.csr_matrix(x.T), text(g["barcodes"]), text(g[names]), text(g[ids])


def mtx(path):
    at = lambda *names: next(p for n in names for p in [ROOT / path / n] if p.exists())

    # Some are called .gz and are not packed.
    def text(p):
        raw = p.read_bytes()
        return io.StringIO((gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode())

    rows = lambda p: list(csv.reader(text(p), delimiter="\t"))
    x = scipy.io.mmread(text(at("matrix.mtx", "matrix.mtx.gz")))
    features = rows(at("features.tsv", "features.tsv.gz"))
    barcodes = rows(at("barcodes.tsv", "barcodes.tsv.gz"))
    return sp.csr_matrix(x.T), [b[0] for b in barcodes], [f[1] for f in features], [f[0] for f in features]


def positions(path, barcodes):
    path = ROOT / path
    names = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    elif path.name.endswith("_list.csv"):
        table = pd.read_csv(path, names=names)
    else:
        table = pd.read_csv(path)
    table = table.set_index("barcode").loc[barcodes]
    xy = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    return {
        "in_tissue": int(table["in_tissue"].sum()),
        "first_place": xy[0].tolist(),
        "last_place": xy[-1].tolist(),
        "place_sum": xy.sum(axis=0).tolist(),
        "last_array": table[["array_row", "array_col"]].to_numpy()[-1].tolist(),
    }


def numbers(x, barcodes, names, ids):
    x = x.astype(np.float64)
    x.sum_duplicates()
    x.eliminate_zeros()
    coo = x.tocoo()
    pick = np.random.default_rng(7).choice(x.nnz, min(20, x.nnz), replace=False)
    return {
        "shape": list(x.shape),
        "nnz": int(x.nnz),
        "sum": float(x.sum()),
        "row_sums": np.asarray(x.sum(axis=1)).ravel()[[0, -1]].tolist(),
        "first_names": names[:3],
        "last_ids": ids[-3:],
        "barcodes": [barcodes[0], barcodes[-1]],
        "entries": [[int(coo.row[k]), int(coo.col[k]), float(coo.data[k])] for k in sorted(pick)],
    }


golden = {}


def add(name, table, places=None, scale=None):
    golden[name] = numbers(*table)
    if places:
        golden[name] |= positions(places, table[1])
    if scale:
        golden[name]["scale_factors"] = json.loads((ROOT / scale).read_text())


v = "VisiumIO/10xVisium/section1/outs"
b = "VisiumIO/binned_outputs/square_002um"
s1, s3 = "scanpy-visium-1.0.0", "spaceranger3-full-mtx"
for folder, file, place in [
    (v, "raw_feature_bc_matrix", "tissue_positions_list.csv"),
    (b, "filtered_feature_bc_matrix", "tissue_positions.parquet"),
]:
    spatial = (f"{folder}/spatial/{place}", f"{folder}/spatial/scalefactors_json.json")
    add(f"{folder}/{file}.h5", h5(f"{folder}/{file}.h5"), *spatial)
    add(f"{folder}/{file}", mtx(f"{folder}/{file}"), *spatial)
add(s1, h5(f"{s1}/filtered_feature_bc_matrix.h5"), f"{s1}/spatial/tissue_positions_list.csv", f"{s1}/spatial/scalefactors_json.json")
add(s3, mtx(f"{s3}/filtered_feature_bc_matrix"), f"{s3}/spatial/tissue_positions.csv", f"{s3}/spatial/scalefactors_json.json")
legacy = "legacy_h5_v2_filtered_gene_bc_matrices_h5.h5"
add(legacy, h5(legacy, "hg19_chr21", "gene_names", "genes"))
add("Xenium_small", h5("Xenium_small/cell_feature_matrix.h5"))
cells = pd.read_csv(ROOT / "Xenium_small/cells.csv.gz")
golden["Xenium_small"]["centroids"] = cells[["x_centroid", "y_centroid"]].to_numpy().tolist()

part = "xenium-rep1-transcripts/part.7.parquet"
t = pd.read_parquet(ROOT / part)
names = t["feature_name"].astype(str)
control = names.str.match(r"(?i)(negcontrol|antisense_|blank_|unassignedcodeword_)")
good = t[~control & (t["cell_id"] > 0)]
table = pd.crosstab(good["cell_id"], good["feature_name"].astype(str)).sort_index().sort_index(axis=1)
golden[part] = numbers(sp.csr_matrix(table.to_numpy()), [str(c) for c in table.index], list(table.columns), list(table.columns))
golden[part] |= {
    "controls": int(control.sum()),
    "unassigned": int((~control & (t["cell_id"] <= 0)).sum()),
    "control_names": sorted(set(names[control])),
    "first_centre": good[good["cell_id"] == table.index[0]][["x", "y"]].astype(float).mean().tolist(),
}
json.dump(golden, sys.stdout, indent=1, ensure_ascii=False)
