"""Golden values of morphometry: scikit-image 0.26.0 (numpy 2.4.6, Python 3.11 to 3.13).

    pip install scikit-image==0.26.0 numpy==2.4.6; python morphometry.py > morphometry.json

masks: synthetic regions as rows of bits, with what regionprops says of each.
outlines: rings, in px with a pixel's centre at +0.5, on a picture that both sides make by one formula; with what
regionprops, rgb2hed and graycomatrix/graycoprops say of the pixels whose centre lies inside.
points: neighbours by numpy.
"""
import json
import sys

import numpy as np
from skimage.color import rgb2hed
from skimage.draw import disk, ellipse
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import grid_points_in_poly, regionprops

NAMES = ["area", "perimeter", "perimeter_crofton", "axis_major_length", "axis_minor_length", "eccentricity",
         "orientation", "equivalent_diameter_area", "feret_diameter_max", "solidity", "extent"]


def shape(mask):
    (region,) = regionprops(mask.astype(np.uint8))
    return [float(getattr(region, n)) for n in NAMES]


rng = np.random.default_rng(7)
masks = {}


def put(name, rr, cc, size=40):
    m = np.zeros((size, size), bool)
    m[rr, cc] = True
    masks[name] = m


for i in range(8):
    put(f"ellipse {i}", *ellipse(20, 20, rng.uniform(4, 17), rng.uniform(3, 17), shape=(40, 40), rotation=rng.uniform(0, np.pi)))
put("disc", *disk((20, 20), 9.3))
put("rectangle", *np.mgrid[3:20, 5:11].reshape(2, -1))
put("square", *np.mgrid[3:9, 5:11].reshape(2, -1))
put("pixel", [7], [9])
put("two pixels", [7, 7], [9, 10])
put("diagonal", range(3, 12), range(4, 13))
put("other diagonal", range(3, 12), range(13, 4, -1))
put("row", [4] * 9, range(9))
put("column", range(9), [30] * 9)
ring = np.zeros((40, 40), bool)
ring[disk((20, 20), 14)] = True
ring[disk((22, 18), 7)] = False
masks["ring"] = ring
crescent = np.zeros((40, 40), bool)
crescent[disk((20, 20), 15)] = True
crescent[disk((16, 26), 12)] = False
masks["crescent"] = crescent
pieces = np.zeros((40, 40), bool)
pieces[ellipse(9, 12, 5, 8)] = True
pieces[ellipse(30, 28, 6, 4)] = True
masks["two pieces"] = pieces
masks["edge to edge"] = np.ones((12, 9), bool)
noise = rng.random((24, 24)) < 0.4
masks["noise"] = noise
masks["sparse noise"] = rng.random((24, 24)) < 0.05

W, H = 150, 130
y, x = np.mgrid[:H, :W]
picture = np.stack([60 + c * 9 + (x * (3 + c) + y * (5 - c) + x * y % 31) % 150 for c in range(3)], -1).astype(np.uint8)
hed = rgb2hed(picture)
outlines = []
for i in range(10):
    cx, cy = rng.uniform(30, W - 30), rng.uniform(30, H - 30)
    n = int(rng.integers(5, 25))
    turn = np.sort(rng.uniform(0, 2 * np.pi, n))
    reach = rng.uniform(5, 22, n) if i % 2 else rng.uniform(9, 12, n)
    ring = np.stack([cx + reach * np.cos(turn), cy + reach * np.sin(turn)], -1).astype(np.float32).astype(float)
    mask = grid_points_in_poly((H, W), ring[:, ::-1] - 0.5)
    values = shape(mask)
    for s in (0, 1):
        stain = hed[..., s][mask]
        values += [float(stain.mean()), float(stain.std())]
    level = np.minimum(np.float32(hed[..., 0]) / np.float32(0.01), 31).astype(np.uint8)
    level = np.where(mask, level + 1, 0).astype(np.uint8)
    pairs = graycomatrix(level, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], levels=33, symmetric=True)
    pairs = pairs[1:, 1:]
    for p in ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy"):
        values.append(float(graycoprops(pairs, p).mean()))
    # The centroid is the middle of a pixel's corner, so that a crop is a copy.
    outlines.append({"x": round(cx), "y": round(cy), "ring": ring.ravel().tolist(), "values": values})

# Coordinates of a quarter pixel: no distance is a matter of rounding.
points = np.round(rng.uniform(0, 120, (60, 2)) * 4) / 4
points[7] = points[8]
apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) * 0.5
np.fill_diagonal(apart, np.inf)
nearest = np.sort(apart, 1)[:, :4]

json.dump({
    "masks": [{"name": n, "width": m.shape[1], "rows": np.packbits(m, axis=1).tobytes().hex(), "values": shape(m)}
              for n, m in masks.items()],
    "width": W, "height": H, "outlines": outlines,
    "points": points.ravel().tolist(), "within_10um": (apart <= 10).sum(1).tolist(), "nearest": nearest.ravel().tolist(),
}, sys.stdout, separators=(",", ":"))
