"""Golden inertia of k-means: kmeans.json beside this file.

numpy 2.4.6, scikit-learn 1.9.1; run: python kmeans.py
"""
import json
import pathlib

import numpy as np
from sklearn.cluster import KMeans

random = np.random.default_rng(3)
centres = random.normal(size=(6, 5)) * 3
x = (centres[np.arange(240) % 6] + random.normal(size=(240, 5))).astype(np.float32)
fitted = KMeans(6, n_init=50, random_state=0, tol=0).fit(x.astype(float))
out = {"x": x.round(4).tolist(), "inertia": fitted.inertia_, "sizes": sorted(np.bincount(fitted.labels_).tolist())}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out))
