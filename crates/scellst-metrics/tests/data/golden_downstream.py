# python 3.11, numpy 2.4.6, scipy 1.17.1, scanpy 1.11.5, squidpy 1.8.2, anndata 0.12.19, pandas 2.3.3:
# python golden_downstream.py golden_downstream.json (squidpy prints to the standard output)
# scanpy's score_genes and rank_genes_groups, squidpy's Moran's I and neighbourhood enrichment, on one small section.
import json
import sys
import warnings

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
import squidpy as sq
from scipy import sparse, stats

warnings.filterwarnings("ignore")
rng = np.random.default_rng(5)
n, genes = 64, 24
kind = rng.integers(0, 3, n)
kind[:2] = 0
rate = np.exp(rng.normal(0, 1, genes))[None] * np.where((np.arange(genes)[None] % 3 == kind[:, None]) & (np.arange(genes) < 9), 4, 1)
x = np.float32(np.round(np.log1p(rng.poisson(rate)), 4))
x[:, 20] = 0          # constant
x[:, 21] = 0.5        # constant, not 0
x[:, 22] = np.where(kind == 1, 1.0, 0.0)  # constant within each group
places = np.c_[np.arange(n) % 8 + 0.5 * (np.arange(n) // 8 % 2), np.arange(n) // 8 * 0.9]
names = [f"g{i}" for i in range(genes)]
data = anndata.AnnData(x.copy(), obs=pd.DataFrame({"kind": pd.Categorical([str(k) for k in kind])}, index=[str(i) for i in range(n)]),
                       var=pd.DataFrame(index=names))
data.obsm["spatial"] = places



def welch(group, reference):
    """In double throughout: scanpy squares float32 as float32, which a small p-value shows."""
    others = kind != int(group) if reference == "rest" else kind == int(reference)
    t = stats.ttest_ind(x[kind == int(group)].astype(float), x[others].astype(float), equal_var=False)
    return {"welch": [float(p) if np.isfinite(p) else 1.0 for p in t.pvalue]}


tests = []
for method, reference, ties in [("t-test", "rest", False), ("t-test_overestim_var", "rest", False), ("wilcoxon", "rest", False),
                                ("wilcoxon", "rest", True), ("t-test", "1", False), ("wilcoxon", "1", True)]:
    sc.tl.rank_genes_groups(data, "kind", method=method, reference=reference, tie_correct=ties)
    found = data.uns["rank_genes_groups"]
    groups = {}
    for group in found["names"].dtype.names:
        order = np.argsort([int(g[1:]) for g in found["names"][group]])
        column = lambda key: [None if not np.isfinite(v) else float(v) for v in np.asarray(found[key][group])[order]]
        groups[group] = welch(group, reference) if method == "t-test" else {}
        groups[group] |= {key: column(key) for key in ["scores", "pvals", "pvals_adj", "logfoldchanges"]}
    tests.append({"method": method, "reference": reference, "ties": ties, "groups": groups})

signatures = []
for chosen, pool, bins in [([0, 3, 6], None, 3), ([1, 4], None, 5), ([2, 5, 8, 11], list(range(20)), 4), ([20, 7], None, 2)]:
    sc.tl.score_genes(data, [names[g] for g in chosen], gene_pool=None if pool is None else [names[g] for g in pool], n_bins=bins, ctrl_size=100)
    signatures.append({"genes": chosen, "pool": pool, "bins": bins, "scores": data.obs["score"].tolist()})

sq.gr.spatial_neighbors(data, coord_type="generic", n_neighs=5)
graph = sparse.csr_matrix(data.obsp["spatial_connectivities"])
graph.sort_indices()
sq.gr.nhood_enrichment(data, "kind", n_perms=5000, seed=1, show_progress_bar=False, n_jobs=1)
sq.gr.spatial_autocorr(data, mode="moran", n_jobs=1, show_progress_bar=False)
moran = data.uns["moranI"].reindex(names)["I"]

varies = [g for g in range(genes) if np.ptp(x[:, g]) > 0]
wide = x[:, varies].astype(float)
json.dump({
    "x": [float(str(v)) for v in x.ravel()], "genes": genes, "kind": kind.tolist(), "places": places.ravel().tolist(),
    "tests": tests, "signatures": signatures,
    "offsets": graph.indptr.tolist(), "others": graph.indices.tolist(),
    "counts": np.asarray(data.uns["kind_nhood_enrichment"]["count"]).astype(int).ravel().tolist(),
    "z": np.asarray(data.uns["kind_nhood_enrichment"]["zscore"]).ravel().tolist(),
    "moran": [None if np.ptp(x[:, g]) == 0 else float(moran.iloc[g]) for g in range(genes)],
    "varies": varies, "pearson": np.round(np.corrcoef(wide.T), 12)[0].tolist(), "spearman": np.round(stats.spearmanr(wide).statistic, 12)[0].tolist(),
}, open(sys.argv[1], "w"), separators=(",", ":"))
