# python 3.11, numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1, scikit-image 0.26.0, statsmodels 0.15.0:
# python golden_pairs.py > golden_pairs.json
# Every score of pairs of columns (with NaN, ties, constants, weights), SSIM, Benjamini-Hochberg, sign flips, distances.
import json
import warnings

import numpy as np
from scipy import stats
from skimage.metrics import structural_similarity
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.metrics import (average_precision_score, mean_absolute_error, mean_squared_error, r2_score, roc_auc_score)
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors
from statsmodels.stats.multitest import multipletests

warnings.filterwarnings("ignore")
rng = np.random.default_rng(8)


def numbers(values):
    """float32 as the shortest decimals that give it back, NaN as null."""
    return [None if np.isnan(v) else float(str(np.float32(v))) for v in np.asarray(values).ravel()]


def lin(p, m):
    # Lin 1989, equation for the sample: variances over n
    return 2 * np.cov(p, m, bias=True)[0, 1] / (p.var() + m.var() + (p.mean() - m.mean()) ** 2)


def defined(value):
    return None if value is None or not np.isfinite(value) else float(value)


cases = []


def add(name, predicted, measured, weights=None):
    p, m = np.asarray(predicted, np.float32), np.asarray(measured, np.float32)
    there = ~(np.isnan(p) | np.isnan(m))
    a, b = p[there].astype(np.float64), m[there].astype(np.float64)
    w = None
    if weights is not None:
        w = np.asarray(weights)[there]
        # whole numbers: rows repeated
        a, b = np.repeat(a, w), np.repeat(b, w)
    varies = len(a) >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0
    some = len(a) > 0
    positive = b > 0.5
    both = some and 0 < positive.sum() < len(b)
    cases.append({
        "name": name, "predicted": numbers(p), "measured": numbers(m),
        "weights": None if weights is None else [int(v) for v in weights],
        "missing": int((~there).sum()),
        "pearson": defined(stats.pearsonr(a, b).statistic) if varies else None,
        "spearman": defined(stats.spearmanr(a, b).statistic) if varies else None,
        "kendall": defined(stats.kendalltau(a, b).statistic) if varies else None,
        "mse": defined(mean_squared_error(b, a)) if some else None,
        "rmse": defined(np.sqrt(mean_squared_error(b, a))) if some else None,
        "mae": defined(mean_absolute_error(b, a)) if some else None,
        "r2": defined(r2_score(b, a)) if some and np.ptp(b) > 0 else None,
        "concordance": defined(lin(a, b)) if some and (np.ptp(a) > 0 or np.ptp(b) > 0) else None,
        "cosine": defined(cosine_similarity([a], [b])[0, 0]) if some and a.any() and b.any() else None,
        "auroc": defined(roc_auc_score(positive, a)) if both else None,
        "average_precision": defined(average_precision_score(positive, a)) if some and positive.any() else None,
    })


n = 50
base, noise = rng.normal(size=n), rng.normal(size=n)
holes = np.where(rng.random(n) < 0.2, np.nan, base)
add("plain", base + noise, base)
add("ties", rng.integers(0, 4, n), rng.integers(0, 3, n))
add("mostly zeros", np.where(rng.random(n) < 0.9, 0, rng.random(n)), np.where(rng.random(n) < 0.8, 0, rng.random(n)))
add("reversed", base, -base)
add("missing", holes, np.where(rng.random(n) < 0.1, np.nan, base + noise))
add("all missing", np.full(n, np.nan), base)
add("missing but two", np.where(np.arange(n) < 2, base, np.nan), noise)
add("missing but one", np.where(np.arange(n) < 1, base, np.nan), noise)
add("constant where not missing", np.where(np.arange(n) < 9, 0.7, np.nan), base)
add("constant prediction", np.full(n, 0.3), base)
add("constant measurement", base, np.full(n, 0.3))
add("both constant", np.full(n, 0.3), np.full(n, 0.7))
add("zeros", np.zeros(n), np.zeros(n))
add("far from zero", 1e5 + base, 1e5 + base + noise)
add("weights", base + noise, base, rng.integers(0, 5, n))
add("weights, ties, missing", np.where(np.isnan(holes), np.nan, rng.integers(0, 4, n)), rng.integers(0, 3, n), rng.integers(0, 3, n))
add("weights leave two", base, noise, (np.arange(n) < 2).astype(int) * 1)
add("one", [1.5], [2.0])
add("two", [1.5, 2.5], [2.0, 1.0])
add("three", [1.5, 2.5, 2.0], [2.0, 1.0, 0.25])

maps = []
for shape in [(12, 9), (16, 20)]:
    y, x = np.mgrid[:shape[0], :shape[1]]
    a = np.round(np.sin(y / 3) + np.cos(x / 4) + 0.3 * rng.normal(size=shape), 4)
    b = np.round(np.sin(y / 3) + np.cos(x / 4), 4)
    maps.append({
        "rows": shape[0], "predicted": a.ravel().tolist(), "measured": b.ravel().tolist(),
        "square7": structural_similarity(a, b, data_range=b.max() - b.min()),
        "square3_range2": structural_similarity(a, b, win_size=3, data_range=2.0),
        "gaussian": structural_similarity(a, b, gaussian_weights=True, sigma=1.0, data_range=b.max() - b.min()),
    })

p_values = np.r_[rng.random(20) ** 3, 0.0, 1.0, 0.05, 0.05]
bh = stats.false_discovery_control(p_values, method="bh")
assert np.allclose(bh, multipletests(p_values, method="fdr_bh")[1], rtol=1e-12)

differences = np.round(rng.normal(0.3, 1, 9), 3)
flips = stats.permutation_test((differences, np.zeros(9)), lambda a, b, axis: (a - b).mean(axis=axis),
                               permutation_type="samples", vectorized=True, n_resamples=10000)

train = np.float32(np.round(rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 5, 3))
new = np.float32(np.round(rng.normal(size=(10, 6)) * 2 + 5, 3))
wide = train.astype(np.float64), new.astype(np.float64)
lw = LedoitWolf().fit(wide[0])
unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in wide]


def kth(a, b, k):
    return NearestNeighbors(n_neighbors=k).fit(a).kneighbors(b)[0][:, -1].tolist()


boot_p = np.float32(np.round(base + noise, 4))
boot_m = np.float32(np.round(base, 4))
boot = stats.bootstrap((boot_p.astype(float), boot_m.astype(float)), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False,
                       method="percentile", n_resamples=20000, confidence_level=0.9, rng=np.random.default_rng(1))
null = stats.permutation_test((boot_m.astype(float),), lambda m: stats.pearsonr(boot_p, m).statistic, permutation_type="pairings",
                              n_resamples=20000, alternative="greater", rng=np.random.default_rng(1), vectorized=False)

print(json.dumps({
    "cases": cases, "maps": maps, "p_values": p_values.tolist(), "bh": bh.tolist(),
    "differences": differences.tolist(), "flips": float(flips.pvalue),
    "train": numbers(train), "new": numbers(new),
    "mahalanobis": np.sqrt(EmpiricalCovariance().fit(wide[0]).mahalanobis(wide[1])).tolist(),
    "mahalanobis_ledoit_wolf": np.sqrt(lw.mahalanobis(wide[1])).tolist(), "shrinkage": float(lw.shrinkage_),
    "third": kth(wide[0], wide[1], 3), "third_unit": kth(unit[0], unit[1], 3), "third_of_training": kth(wide[0], wide[0], 4),
    "boot_p": numbers(boot_p), "boot_m": numbers(boot_m),
    "boot": [float(boot.confidence_interval.low), float(boot.confidence_interval.high)],
    "null_sd": float(np.std(null.null_distribution)), "null_upper": float(np.quantile(null.null_distribution, 0.95)),
}, separators=(",", ":")))
