# scipy 1.17.1, scikit-learn, numpy 2.4.6: python golden.py > golden.json
# Awkward columns: ties, many zeros, far from zero, tiny spread, huge and tiny values, outliers, constants, order reversed.
import json
import warnings

import numpy as np
from scipy import stats
from sklearn.metrics import mean_squared_error

warnings.filterwarnings("ignore")
rng = np.random.default_rng(3)
cases = []


def add(name, predicted, measured):
    p, m = np.asarray(predicted, np.float32), np.asarray(measured, np.float32)
    constant = bool((p == p[0]).all()), bool((m == m[0]).all())
    wide = p.astype(np.float64), m.astype(np.float64)
    defined = not any(constant)
    cases.append({
        "name": name,
        # float32 as the shortest decimals that give it back
        "predicted": [float(str(v)) for v in p],
        "measured": [float(str(v)) for v in m],
        "constant": constant,
        "pearson": float(stats.pearsonr(*wide).statistic) if defined else None,
        "spearman": float(stats.spearmanr(*wide).statistic) if defined else None,
        "mse": float(mean_squared_error(*wide)),
    })


n = 60
base = rng.normal(size=n)
noise = rng.normal(size=n)
add("plain", base + noise, base)
add("ties on both sides", rng.integers(0, 4, n), rng.integers(0, 3, n))
add("mostly zeros", np.where(rng.random(n) < 0.9, 0, rng.random(n)), np.where(rng.random(n) < 0.8, 0, rng.random(n)))
add("both signs of zero", np.where(rng.random(n) < 0.5, -0.0, 0.0) + np.r_[1, np.zeros(n - 1)], base)
add("far from zero", 1e6 + base, 1e6 + base + noise)
add("tiny spread", 1 + 1e-6 * base, base)
add("huge", 1e30 * base, 1e30 * (base + noise))
add("tiny", 1e-30 * base, 1e-30 * (base + noise))
add("outlier", np.r_[base[:-1], 1e4], np.r_[noise[:-1], 1e4])
add("reversed", base, -base)
add("monotone", base, np.exp(3 * base))
add("constant prediction", np.full(n, 0.1), base)
add("constant measurement", base, np.full(n, 3.7))
add("both constant", np.full(n, 3.7), np.full(n, 3.7))
add("almost constant", np.r_[np.full(n - 1, 0.1), 0.2], base)
print(json.dumps(cases, separators=(",", ":")))
