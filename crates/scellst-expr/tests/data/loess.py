# LOESS by scikit-misc 0.5.3 (numpy 2.4.6), as scanpy's seurat_v3 calls it: python loess.py > loess.json
# x and y are rounded to 6 decimals so that the file stays small and holds the very numbers that were fitted.
import json

import numpy as np
from skmisc.loess import loess

rng = np.random.default_rng(0)
cases = {}


def add(name, x, y, span=0.3):
    x, y = np.round(x, 6), np.round(y, 6)
    model = loess(x, y, span=span, degree=2)
    model.fit()
    fitted = [float(f"{v:.15g}") for v in model.outputs.fitted_values]
    cases[name] = {"span": span, "x": x.tolist(), "y": y.tolist(), "fitted": fitted}


x = rng.normal(size=200)
add("plain", x, np.sin(x) + 0.2 * rng.normal(size=200))
x = np.log10(rng.integers(1, 40, size=300) / 100)
add("ties", x, 1.1 * x + 0.1 * rng.normal(size=300))
x = np.log10(rng.integers(1, 25, size=300) / 100)
add("more ties", x, 1.1 * x + 0.1 * rng.normal(size=300))
x = rng.exponential(size=57) ** 3
add("skewed", x, np.log(x + 0.01) + 0.1 * rng.normal(size=57), 0.5)
x = np.log10(np.r_[np.ones(80), 2 * np.ones(30), 3 * np.ones(16), np.exp(rng.uniform(1.4, 8.5, size=400)).astype(int)] / 500)
add("rare genes", x, 1.3 * x + 0.1 * rng.normal(size=len(x)))
x = np.arange(12.0)
add("few", x, x**2 + rng.normal(size=12), 0.7)
x = np.r_[rng.normal(size=60), 40.0]
add("outlier", x, np.cos(x) + 0.1 * rng.normal(size=61), 0.6)
print(json.dumps(cases))
