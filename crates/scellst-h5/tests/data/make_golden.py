"""Numbers of the real sections as h5py and SciPy read them, for golden_sections.json.

Made with: h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6, scipy; run `python make_golden.py /work/shared/data > golden_sections.json`.
"""

import json
import pathlib
import sys

import h5py
import numpy as np
import scipy.sparse as sp

golden = {}
for path in sorted((pathlib.Path(sys.argv[1]) / "hest" / "st").glob("*.h5ad")):
    with h5py.File(path) as f:
        shape = [int(n) for n in f["X"].attrs["shape"]]
        x = sp.csr_matrix((f["X/data"][:], f["X/indices"][:], f["X/indptr"][:]), shape=shape)
        x.sum_duplicates()
        x.eliminate_zeros()
        genes = f["var/_index"].asstr()[:]
        spots = f["obs/_index"].asstr()[:]
        places = f["obsm/spatial"][:]
        scale = f["uns/spatial/ST/scalefactors/spot_diameter_fullres"][()]
    rows = x.sum(axis=1).A1.astype(np.float64)
    pick = np.random.default_rng(7).choice(x.nnz, 20, replace=False)
    coo = x.tocoo()
    golden[path.stem] = {
        "shape": shape,
        "nnz": int(x.nnz),
        "sum": float(x.data.astype(np.float64).sum()),
        "row_sums": [float(rows[0]), float(rows[-1])],
        "first_genes": list(genes[:3]),
        "last_genes": list(genes[-3:]),
        "first_spots": list(spots[:3]),
        "last_spots": list(spots[-3:]),
        "first_place": places[0].tolist(),
        "last_place": places[-1].tolist(),
        "place_sum": places.sum(axis=0).tolist(),
        "spot_diameter": float(scale),
        "entries": [[int(coo.row[k]), int(coo.col[k]), float(coo.data[k])] for k in sorted(pick)],
    }
json.dump(golden, sys.stdout, indent=1, ensure_ascii=False)
