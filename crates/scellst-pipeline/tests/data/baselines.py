"""Golden vectors of the baselines: baselines.json beside this file.

numpy 2.4.6, scikit-learn 1.9.1; run: python baselines.py
"""
import json
import pathlib

import numpy as np
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

random = np.random.default_rng(5)
out = []
for spots, features, genes, components, k in [(40, 12, 3, 5, 4), (15, 30, 2, 256, 3), (60, 20, 4, 20, 10)]:
    latent = random.normal(size=(spots + 7, 6))
    x = latent @ random.normal(size=(6, features)) + 0.3 * random.normal(size=(spots + 7, features)) + 2
    y = np.maximum(latent @ random.normal(size=(6, genes)) + random.normal(size=(spots + 7, genes)) + 1, 0)
    x, y = x.astype(np.float32), y.astype(np.float32)
    x[:, 3] = 0.5  # a feature that says nothing
    train, test, labels = x[:spots], x[spots:], y[:spots]
    used = min(components, spots - 1, features - 1)
    models = {
        "mean": DummyRegressor(),
        "ridge": make_pipeline(StandardScaler(), RidgeCV(alphas=10.0 ** (np.arange(11) / 2))),
        # HEST-Benchmark's penalty; its intercept is left out there, which no correlation sees.
        "pca": make_pipeline(StandardScaler(), PCA(used, svd_solver="full"), Ridge(alpha=100 / (used * genes))),
        "near": make_pipeline(StandardScaler(), KNeighborsRegressor(k)),
    }
    case = {"components": components, "k": k, "x": train.tolist(), "y": labels.tolist(), "test": test.tolist()}
    for name, model in models.items():
        predicted = np.asarray(model.fit(train.astype(float), labels.astype(float)).predict(test.astype(float)))
        case[name] = predicted.reshape(len(test), genes).tolist()
    out.append(case)
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out))
