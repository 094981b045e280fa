# What scanpy 1.11.5, scikit-learn and scikit-misc 0.5.3 (numpy 2.4.6) make of synthetic counts: python golden.py > golden.json
# Two sections of negative binomial counts with a few genes that vary more than their mean explains.
import json
import warnings

import anndata as ad
import numpy as np
import scanpy as sc
from sklearn.preprocessing import RobustScaler

warnings.filterwarnings("ignore")
rng = np.random.default_rng(1)
GENES, SPOTS = 180, (60, 45)
mean = np.exp(rng.uniform(-3, 4, GENES))
genes = [f"G{i:03d}" for i in range(GENES)]
genes[7], genes[90], genes[91] = "MT-CO1", "MT-ND1", "MTOR"


def section(n):
    depth = rng.uniform(0.3, 2, n)[:, None]
    shape = np.where(np.arange(GENES) % 9 == 0, 0.6, 5.0)
    x = rng.poisson(depth * mean * rng.gamma(shape, 1 / shape, (n, GENES)))
    x[3] = 0
    x[3, :4] = 2  # a spot with too few counts
    return ad.AnnData(x.astype(np.float32), var={"g": genes}, obs={"s": [f"s{i}" for i in range(n)]})


def numbers(values):
    return [float(f"{v:.12g}") for v in np.asarray(values, float).ravel()]


def filtered(a):
    a = a.copy()
    n = a.n_obs
    sc.pp.filter_genes(a, min_counts=200)
    # scanpy counts cells of the object at hand; no spot has gone yet, so n is the same
    sc.pp.filter_genes(a, min_cells=n // 10)
    sc.pp.filter_cells(a, min_counts=20)
    return a[:, ~a.var_names.str.startswith("MT-")].copy()


out = {"genes": genes, "sections": []}
raw = [section(n) for n in SPOTS]
for a in raw:
    a.var_names = genes
    f = filtered(a)
    total = f.X.astype(np.float64).sum(1)
    g = f.copy()
    sc.pp.normalize_total(g, target_sum=1e4)
    sc.pp.log1p(g)
    hvg = sc.pp.highly_variable_genes(f, flavor="seurat_v3", n_top_genes=40, inplace=False)
    best = hvg[hvg.highly_variable].sort_values("highly_variable_rank")
    out["sections"].append({
        "counts": a.X.astype(int).tolist(),
        "kept_genes": list(f.var_names),
        "kept_observations": [int(i) for i in np.flatnonzero(a.obs_names.isin(f.obs_names))],
        "size_factors": numbers(total / np.median(total)),
        "log_normalised": [numbers(row) for row in g.X[:, :12]],
        "ranges": numbers(RobustScaler(with_centering=False, quantile_range=(0, 95)).fit(g.X.astype(np.float64)).scale_),
        "hvg": list(best.index),
        "variances_norm": numbers(best.variances_norm),
    })
both = [filtered(a) for a in raw]
common = sorted(set(both[0].var_names) & set(both[1].var_names))
joined = ad.concat([b[:, common] for b in both], label="batch")
for k in (40, len(common)):
    hvg = sc.pp.highly_variable_genes(joined, flavor="seurat_v3", n_top_genes=k, batch_key="batch", inplace=False)
    order = hvg[["highly_variable_rank", "highly_variable_nbatches"]].sort_values(
        ["highly_variable_rank", "highly_variable_nbatches"], ascending=[True, False], na_position="last").index[:k]
    out[f"hvg_batches_{'some' if k == 40 else 'all'}"] = list(order)
    out["variances_norm"] = numbers(hvg.variances_norm)
logs = []
for b in both:
    b = b.copy()
    sc.pp.normalize_total(b, target_sum=1e4)
    sc.pp.log1p(b)
    logs.append(b[:, common].X.astype(np.float64))
y = np.vstack(logs)
top = np.argsort(-y.var(0) * ((y > 0).mean(0) > 0.1), kind="stable")[:50]
out["var"] = [common[i] for i in top]
out["var_score"] = numbers(y.var(0)[top])
out["common"] = common
print(json.dumps(out, separators=(",", ":")))
