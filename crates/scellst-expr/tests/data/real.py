# Genes of the real sections in ../shared/data by scanpy 1.11.5 (scikit-misc 0.5.3) and squidpy 1.8.2 (anndata 0.12.19):
# python real.py ../shared/data writes real.json (squidpy logs to stdout). Only names and every 20th number are kept.
import json
import pathlib
import sys
import warnings

import anndata as ad
import pandas as pd
import scanpy as sc
import squidpy as sq

warnings.filterwarnings("ignore")
sc.settings.verbosity = 0
data = sys.argv[1]


def tenx():
    folder = f"{data}/tenx/spaceranger3-full-mtx"
    a = sc.read_10x_mtx(f"{folder}/filtered_feature_bc_matrix", make_unique=True)
    places = pd.read_csv(f"{folder}/spatial/tissue_positions.csv", index_col=0).loc[a.obs_names]
    a.obsm["spatial"] = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    return a


def filtered(a):
    a, n = a.copy(), a.n_obs
    sc.pp.filter_genes(a, min_counts=200)
    sc.pp.filter_genes(a, min_cells=n // 10)
    sc.pp.filter_cells(a, min_counts=20)
    return a[:, ~a.var_names.str.startswith("MT-")].copy()


def variable(a, **kwargs):
    t = sc.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=1000, inplace=False, **kwargs)
    some = t.iloc[::20]
    return {"genes": " ".join(t.index[t.highly_variable]), "some": " ".join(some.index),
            "normalised_variances": [float(f"{v:.9g}") for v in some.variances_norm]}


out, sections = {}, {}
for name in ("C2", "C3", "C4", "C5", "tenx"):
    raw = tenx() if name == "tenx" else sc.read_h5ad(f"{data}/hest/st/{name}.h5ad")
    f = sections[name] = filtered(raw)
    g = f.copy()
    sc.pp.normalize_total(g, target_sum=1e4)
    sc.pp.log1p(g)
    sq.gr.spatial_neighbors(g, coord_type="grid", n_neighs=6)
    t = sq.gr.spatial_autocorr(g, mode="moran", genes=list(g.var_names), n_perms=None, copy=True)
    out[name] = {"observations": f.n_obs, "genes": f.n_vars, "hvg": variable(f), "svg": " ".join(t.index[:50]),
                 "some_genes": " ".join(t.index[::20]), "i": [float(f"{v:.9g}") for v in t.I[::20]],
                 "p_adjusted": [float(f"{v:.9g}") for v in t.pval_norm_fdr_bh[::20]]}
three = [sections[name] for name in ("C2", "C3", "C4")]
common = sorted(set.intersection(*(set(s.var_names) for s in three)))
out["C2,C3,C4"] = {"hvg": variable(ad.concat([s[:, common] for s in three], label="section"), batch_key="section")}
text = json.dumps(out, separators=(",", ":"))
(pathlib.Path(__file__).parent / "real.json").write_text(text + "\n")
