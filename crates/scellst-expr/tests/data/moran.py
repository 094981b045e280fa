# Moran's I by scanpy 1.11.5's metrics.morans_i on squidpy's graph (six nearest, cut at 1.3 medians, rows sum up to 1),
# built here with scikit-learn since squidpy is no part of the reference environment: python moran.py > moran.json
import json

import numpy as np
import scanpy as sc
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

rng = np.random.default_rng(5)


def case(name, xy):
    xy = np.round(xy, 3)
    n = len(xy)
    distance, index = (v.ravel() for v in NearestNeighbors(n_neighbors=6).fit(xy).kneighbors())
    row = np.repeat(np.arange(n), 6)
    near = distance < 1.3 * np.median(distance)
    graph = normalize(csr_matrix((np.ones(near.sum()), (row[near], index[near])), shape=(n, n)), norm="l1")
    smooth = np.exp(-((xy - xy.mean(0)) ** 2).sum(1) / xy.var())
    counts = np.c_[rng.poisson(40 * smooth), rng.poisson(5, n), np.arange(n) % 2 * 20, rng.poisson(300, n), np.zeros(n)]
    x = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    i = [float(sc.metrics.morans_i(graph, x[:, g].astype(np.float64))) for g in range(4)]
    return {"name": name, "xy": xy.tolist(), "counts": counts.astype(int).tolist(), "i": i}


def grid(hexagonal, w, h):
    x, y = (v.ravel().astype(float) for v in np.meshgrid(np.arange(w), np.arange(h)))
    # A little noise, as real arrays have: no two distances are equal, so that the six nearest are certain.
    jitter = rng.normal(scale=0.01, size=(len(x), 2))
    return np.c_[x + (y % 2) / 2, y * np.sqrt(3) / 2] * 100 + 100 * jitter if hexagonal else np.c_[x, y] * 137 + 137 * jitter


holes = rng.random(99) < 0.7
print(json.dumps([case("hexagonal", grid(True, 9, 8)), case("square", grid(False, 8, 8)), case("holes", grid(True, 11, 9)[holes])],
                 separators=(",", ":")))
