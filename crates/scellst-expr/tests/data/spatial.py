# Moran's I and Geary's C with p-values by squidpy 1.8.2 (scanpy 1.11.5, anndata 0.12.19, statsmodels for the correction)
# on the arrays of moran.json: python spatial.py writes spatial.json (squidpy logs to stdout). In float64; graph weights are float32 in squidpy.
import json
import pathlib
import warnings

import anndata as ad
import numpy as np
import scanpy as sc
import squidpy as sq

warnings.filterwarnings("ignore")
sc.settings.verbosity = 0
out = []
for case in json.loads((pathlib.Path(__file__).parent / "moran.json").read_text()):
    a = ad.AnnData(np.array(case["counts"], float))
    a.var_names = ["smooth", "noise", "stripes", "depth", "zero"]
    a.obsm["spatial"] = np.array(case["xy"])
    sc.pp.normalize_total(a, target_sum=1e4)
    sc.pp.log1p(a)
    for neighbours in (6, 4):
        sq.gr.spatial_neighbors(a, coord_type="grid", n_neighs=neighbours)
        for mode in ("moran", "geary"):
            for two in (False, True):
                genes = list(a.var_names[:4])
                t = sq.gr.spatial_autocorr(a, mode=mode, genes=genes, n_perms=None, two_tailed=two, copy=True).loc[genes]
                out.append({"case": case["name"], "neighbours": neighbours, "mode": mode, "two_tailed": two,
                            "value": t.iloc[:, 0].tolist(), "p": t.pval_norm.tolist(), "variance": float(t.var_norm.iloc[0]),
                            "p_adjusted": t.pval_norm_fdr_bh.tolist()})
text = json.dumps(out, separators=(",", ":"))
(pathlib.Path(__file__).parent / "spatial.json").write_text(text + "\n")
