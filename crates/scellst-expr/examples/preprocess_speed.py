# Counts for preprocess_speed.rs, and the same steps by scanpy 1.11.5 (scikit-misc 0.5.3, numba 0.68.1):
#   python preprocess_speed.py make FOLDER        20,000 x 20,000, about 5 % dense, by seed
#   python preprocess_speed.py run FOLDER [SHARE] twice in one process: the first run compiles
import pathlib
import resource
import sys
import time
import warnings

import numpy as np

N = 20_000
what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
if what == "make":
    rng = np.random.default_rng(11)
    share = np.clip(rng.lognormal(np.log(0.02), 1.35, N), 1e-4, 0.9)  # of the observations that have the gene
    indptr, indices, data = [0], [], []
    for _ in range(N):
        found = np.flatnonzero(rng.random(N) < share * rng.uniform(0.6, 1.4)).astype("<u4")
        indices.append(found)
        data.append((1 + rng.poisson(rng.gamma(0.5, 4 * share[found]))).astype("<f4"))
        indptr.append(indptr[-1] + len(found))
    folder.mkdir(parents=True, exist_ok=True)
    np.array(indptr, "<u8").tofile(folder / "indptr")
    np.concatenate(indices).tofile(folder / "indices")
    np.concatenate(data).tofile(folder / "data")
    np.array([N], "<u8").tofile(folder / "cols")
    print(f"{indptr[-1] / N / N:.4f} dense")
    sys.exit()

import anndata as ad
import scanpy as sc
import scipy.sparse as sp

warnings.filterwarnings("ignore")
least = float(sys.argv[3]) if len(sys.argv) > 3 else 0.1
for run in ("first", "second"):
    parts = (np.fromfile(folder / "data", "<f4"), np.fromfile(folder / "indices", "<i4"),
             np.fromfile(folder / "indptr", "<i8").astype("<i4"))
    a = ad.AnnData(sp.csr_matrix(parts, shape=(N, N)))
    del parts
    a.var_names = [f"g{i:05}" for i in range(N)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    t = [time.perf_counter()]
    sc.pp.filter_genes(a, min_counts=200)
    sc.pp.filter_genes(a, min_cells=int(least * N))
    sc.pp.filter_cells(a, min_counts=20)
    a = a[:, ~a.var_names.str.startswith("MT-")].copy()
    t.append(time.perf_counter())
    sc.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=1000)
    t.append(time.perf_counter())
    sc.pp.normalize_total(a, target_sum=1e4)
    sc.pp.log1p(a)
    t.append(time.perf_counter())
    steps = dict(zip(("filter", "genes", "normalise"), np.round(np.diff(t), 3).tolist()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(run, a.shape, f"sum {a.X.astype(np.float64).sum():.6f}", steps, f"all {t[-1] - t[0]:.3f}; "
          f"peak {peak:.0f} MiB (before {before:.0f})")
ours = folder / "genes.ours"
if ours.exists():
    print("genes in common with ours:", len(set(ours.read_text().split()) & set(a.var_names[a.var.highly_variable])))
