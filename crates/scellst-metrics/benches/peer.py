# python 3.11, numpy 2.4.6, scipy 1.17.1: python peer.py [SPOTS GENES]
# The arrays of examples/correlation_speed.rs, to the bit, through SciPy's functions a gene at a time (on the first 200
# genes, scaled up: the loop is linear in them) and through NumPy on whole arrays in chunks of genes.
import json
import resource
import sys
import time

import numpy as np
from scipy import stats

spots, genes = (int(v) for v in sys.argv[1:3]) if len(sys.argv) > 2 else (20000, 5000)


def mixed(salt):
    row = np.arange(spots, dtype=np.uint32)[:, None] * np.uint32(0x9E3779B1)
    column = np.arange(genes, dtype=np.uint32)[None] * np.uint32(0x85EBCA77)
    x = row ^ column ^ np.uint32(salt)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


one = mixed(1)
predicted = (one >> np.uint32(8)).astype(np.float32) / np.float32(16777216)
predicted += (mixed(2) >> np.uint32(8)).astype(np.float32) / np.float32(16777216)
total = (one >> np.uint32(8)) * np.uint32(3) // np.uint32(4) + (mixed(3) >> np.uint32(10))
del one
# leading zeros of a number under 2**24, by the exponent of its double
measured = ((32 - np.frexp(total.astype(np.float64))[1]) / 4).astype(np.float32)
del total


def loop(count):
    r = [stats.pearsonr(predicted[:, g], measured[:, g]).statistic for g in range(count)]
    s = [stats.spearmanr(predicted[:, g], measured[:, g]).statistic for g in range(count)]
    return np.array(r), np.array(s)


def columns(a, b):
    a = a - a.mean(axis=0)
    b = b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))


def vectorised(chunk=500):
    r, s = [], []
    for start in range(0, genes, chunk):
        a = predicted[:, start:start + chunk].astype(np.float64)
        b = measured[:, start:start + chunk].astype(np.float64)
        r.append(columns(a, b))
        s.append(columns(stats.rankdata(a, axis=0), stats.rankdata(b, axis=0)))
    return np.concatenate(r), np.concatenate(s)


some = min(200, genes)
start = time.perf_counter()
loop(some)
in_loop = (time.perf_counter() - start) * genes / some
start = time.perf_counter()
r, s = vectorised()
in_arrays = time.perf_counter() - start
print(json.dumps({
    "spots": spots, "genes": genes, "loop_s": round(in_loop, 2), "vectorised_s": round(in_arrays, 2),
    "pearson": round(float(r.mean()), 9), "spearman": round(float(s.mean()), 9),
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
