# normalize_total of scanpy 1.11.5 (numpy 2.4.6) with its options: python normalise.py > normalise.json
# A dense matrix: for a sparse one scanpy's median counts rows without counts as well.
import json
import sys
import warnings

import anndata as ad
import numpy as np
import scanpy as sc

warnings.filterwarnings("ignore")
rng = np.random.default_rng(3)
x = rng.poisson(rng.gamma(0.7, 8, (9, 12))).astype(np.float64)
x[4] = 0
x[2, 5] = 400
cases = []
for target in (None, 1e4):
    for share in (None, 0.3, 0.5):
        a = ad.AnnData(x.copy())
        kwargs = {} if share is None else {"exclude_highly_expressed": True, "max_fraction": share}
        got = sc.pp.normalize_total(a, target_sum=target, inplace=False, **kwargs)["X"]
        cases.append({"target": target, "share": share, "x": np.nan_to_num(got).tolist()})
json.dump({"counts": x.astype(int).tolist(), "cases": cases}, sys.stdout, separators=(",", ":"))
