"""Small files of every format that is imported, as their usual writers make them, and what they hold.

Run with: numpy==2.4.6 pyarrow==26.0.1 geopandas==1.2.0 shapely==2.2.0 tifffile==2026.3.3 pillow==13.0.0 scikit-image==0.26.0
    python generate.py
The expected values in `expected.json` come from shapely and scikit-image.
"""

import gzip
import json
import math
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from PIL import Image
from shapely.geometry import MultiPolygon, Polygon
from skimage.measure import label as label_of, regionprops

here = Path(__file__).parent
random = np.random.default_rng(4)


def nucleus(x, y, r, n):
    turns = np.arange(n) * 2 * math.pi / n
    reach = r * (1 + 0.2 * random.random(n))
    return [(round(x + a, 3), round(y + b, 3)) for a, b in zip(reach * np.cos(turns), reach * np.sin(turns))]


def facts(polygon):
    return {"x": polygon.centroid.x, "y": polygon.centroid.y, "area": polygon.area}


classes = ["Neoplastic", "Inflammatory", "Connective", "Dead", "Epithelial"]
rings = [nucleus(40 + 30 * i, 60 + 11 * i, 8 + i % 3, 12) for i in range(7)]
polygons = [Polygon(r) for r in rings]
polygons[2] = MultiPolygon([polygons[2], Polygon(nucleus(130, 20, 3, 8))])
polygons[3] = Polygon(rings[3], [nucleus(130, 93, 2, 6)[::-1]])
expected = {"polygons": [facts(p) for p in polygons], "classes": [classes[i % 5] for i in range(7)]}

# HEST's *_cellvit_seg.parquet and geopandas with other settings.
frame = geopandas.GeoDataFrame({"class": expected["classes"]}, geometry=polygons)
frame.to_parquet(here / "hest_cellvit_seg.parquet")
frame = frame.set_index(np.array([f"n-{i}" for i in range(7)]))
frame["class"] = frame["class"].astype("category")
frame["score"] = np.linspace(0.5, 1.0, 7).astype(np.float32)
frame = frame.rename_geometry("outline")
frame.loc["n-6", "outline"] = None
frame.to_parquet(here / "geopandas_zstd.parquet", compression="zstd", row_group_size=3)
geopandas.GeoDataFrame(geometry=polygons[:2]).to_parquet(here / "geoarrow.parquet", geometry_encoding="geoarrow")
# As xenium_seg of HEST: WKB without GeoParquet's metadata, integer index.
pq.write_table(
    pa.table({"geometry": [p.wkb for p in polygons], "__index_level_0__": pa.array(range(7, 14), pa.uint32())}),
    here / "hest_xenium_nucleus_seg.parquet",
    compression="gzip",
)

# CellViT: cells.json, integer contours.
cellvit = {
    "wsi_metadata": {"base_mpp": 0.5, "target_patch_mpp": 0.25, "patch_size": 1024, "label_map": None},
    "processed_patches": ["0_0"],
    "type_map": {"0": "Background", "1": "Neoplastic", "2": "Inflammatory", "3": "Connective", "4": "Dead", "5": "Epithelial"},
    "cells": [
        {
            "bbox": [[int(min(y for _, y in r)), int(min(x for x, _ in r))], [int(max(y for _, y in r)), int(max(x for x, _ in r))]],
            "centroid": [Polygon(r).centroid.x, Polygon(r).centroid.y],
            "contour": [[round(x), round(y)] for x, y in r],
            "type_prob": round(0.5 + i / 20, 3),
            "type": i % 5 + 1,
            "patch_coordinates": [0, 0],
            "cell_status": 0,
            "offset_global": [0, 0],
        }
        for i, r in enumerate(rings)
    ],
}
(here / "cellvit_cells.json").write_text(json.dumps(cellvit))
detection = {k: v for k, v in cellvit.items() if k not in ("cells", "type_map")}
detection["cells"] = [{"bbox": c["bbox"], "centroid": c["centroid"], "type": c["type"]} for c in cellvit["cells"]]
detection["type_map"] = {"0": "Background", "1": "Tumour"}
with gzip.GzipFile(here / "cellvit_cell_detection.json.gz", "wb", mtime=0) as f:
    f.write(json.dumps(detection).encode())
expected["cellvit_area"] = [Polygon(c["contour"]).area for c in cellvit["cells"]]

# HoVer-Net at 20x.
hovernet = {
    "mag": 20,
    "nuc": {
        str(i + 1): {
            "bbox": c["bbox"], "centroid": c["centroid"], "contour": c["contour"],
            "type_prob": c["type_prob"], "type": i % 6 if i < 6 else None,
        }
        for i, c in enumerate(cellvit["cells"])
    },
}
(here / "hovernet.json").write_text(json.dumps(hovernet))

# Labels: one with a piece apart, one that touches another, one with a hole, one at the edge.
labels = np.zeros((40, 50), np.int32)
labels[2:8, 3:9] = 5
labels[12:14, 3:5] = 5
labels[8:15, 9:20] = 70000
yy, xx = np.mgrid[:40, :50]
labels[(yy - 28) ** 2 + (xx - 30) ** 2 <= 64] = 9
labels[27:30, 29:32] = 0
labels[30:40, 45:50] = 12
tifffile.imwrite(here / "labels32.tif", labels.astype(np.uint32), compression="zlib")
small = np.where(labels == 70000, 7, labels)
Image.fromarray(small.astype(np.uint16)).save(here / "labels16.png")
np.save(here / "labels.npy", labels)
np.save(here / "labels_fortran.npy", np.asfortranarray(small.astype(">u2")))
expected["labels"] = {
    str(p.label): {"x": p.centroid[1] + 0.5, "y": p.centroid[0] + 0.5, "area": p.area, "pieces": int(label_of(labels == p.label).max())}
    for p in regionprops(labels)
}

# Xenium: um; string ids, and a cell with two nuclei as from version 3.0.
mpp = 0.2125
names = ["aaaa-1", "aaab-1", "aaab-1", "aaac-1"]
rows = [
    (name, (x * mpp), (y * mpp), k + 1)
    for k, name in enumerate(names)
    for x, y in rings[k] + rings[k][:1]
]
corners = pa.table(
    {
        "cell_id": pa.array([r[0] for r in rows], pa.large_string()),
        "vertex_x": pa.array([r[1] for r in rows], pa.float32()),
        "vertex_y": pa.array([r[2] for r in rows], pa.float32()),
        "label_id": pa.array([r[3] for r in rows], pa.uint32()),
    }
)
pq.write_table(corners, here / "xenium_nucleus_boundaries.parquet", compression="snappy")
with gzip.GzipFile(here / "xenium_cell_boundaries.csv.gz", "wb", mtime=0) as f:
    f.write(b'"cell_id","vertex_x","vertex_y"\n')
    for name, x, y, k in rows:
        f.write(f"{k},{x:.4f},{y:.4f}\n".encode())
pq.write_table(
    pa.table(
        {
            "cell_id": ["aaaa-1", "aaac-1"],
            "x_centroid": [polygons[0].centroid.x * mpp, Polygon(rings[3]).centroid.x * mpp],
            "y_centroid": [polygons[0].centroid.y * mpp, Polygon(rings[3]).centroid.y * mpp],
            "transcript_counts": pa.array([3, 4], pa.int64()),
            "cell_area": [50.0, 60.0],
            "nucleus_area": [20.0, None],
        }
    ),
    here / "xenium_cells.parquet",
)
# The H&E picture is turned by a quarter and has another pixel size: H&E pixels to morphology pixels.
(here / "xenium_imagealignment.csv").write_text("0,1.25,100\n-1.25,0,900\n0,0,1\n")

(here / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
