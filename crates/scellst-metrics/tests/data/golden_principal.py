"""Golden vectors of principal components: golden_principal.json beside this file.

numpy 2.4.6, scikit-learn 1.9.1; run: python golden_principal.py
"""
import json
import pathlib

import numpy as np
from sklearn.decomposition import PCA

random = np.random.default_rng(11)
cases = []
for rows, dims, k in [(50, 8, 3), (12, 30, 6), (20, 5, 5)]:
    x = random.normal(size=(rows, dims)) * np.geomspace(5, 0.5, dims) + random.normal(size=dims) * 10
    x = x.astype(np.float32)
    pca = PCA(k, svd_solver="full").fit(x.astype(float))
    cases.append({
        "x": x.tolist(),
        "k": k,
        "variance": pca.explained_variance_.tolist(),
        # The sign of a direction is free: here its largest entry is positive.
        "components": (pca.components_ * np.sign(np.take_along_axis(
            pca.components_, np.abs(pca.components_).argmax(1)[:, None], 1))).tolist(),
    })
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases))
