"""Writes small files of features as other programs leave them, packed as the other fixtures are.

Layouts: HEST-Benchmark's embeddings (`embeddings`, `barcodes`, `coords`), TRIDENT's features (a first dimension of one,
side of the patch as an attribute), sCellST's (a middle dimension of one, f16, exact `centroid`s). Row i of every table is
i, i + 0.5, i + 1.

Made with: python 3.11, h5py 3.16.0, numpy 2.4.6; run `python make_embeddings.py`.
"""

import gzip
import pathlib
import tempfile

import h5py
import numpy as np

SCRATCH = pathlib.Path(tempfile.mkdtemp())
ROWS = np.arange(4)[:, None] + np.array([0, 0.5, 1.0])[None]
CORNERS = np.array([[0, 0], [100, 40], [200, 80], [300, 120]])

with h5py.File(SCRATCH / "emb_hest.h5", "w") as f:
    f["embeddings"] = ROWS.astype(np.float32)
    f["coords"] = CORNERS.astype(np.int64)
    f.create_dataset("barcodes", data=[f"spot_{i}" for i in range(4)], dtype=h5py.string_dtype())

with h5py.File(SCRATCH / "emb_trident.h5", "w") as f:
    f.create_dataset("features", data=ROWS[None].astype(np.float32), compression="gzip")
    f["coords"] = CORNERS[None].astype(np.int64)
    f["coords"].attrs["patch_size_level0"] = np.int64(64)

with h5py.File(SCRATCH / "emb_scellst.h5", "w") as f:
    f["embedding"] = ROWS[:, None].astype(np.float16)
    f["barcode"] = np.array([[f"c{i}".encode()] for i in range(4)])
    f["centroid"] = CORNERS + 0.25

with h5py.File(SCRATCH / "emb_bad_rows.h5", "w") as f:
    f["embeddings"] = ROWS.astype(np.float32)
    f["centroid"] = CORNERS[:3].astype(np.float64)

with h5py.File(SCRATCH / "emb_bad_nan.h5", "w") as f:
    f["embeddings"] = ROWS.astype(np.float32)
    f["centroid"] = np.where(np.arange(8).reshape(4, 2) == 5, np.nan, CORNERS)

with h5py.File(SCRATCH / "emb_bad_shape.h5", "w") as f:
    f["embeddings"] = ROWS[None, None].astype(np.float32)

with h5py.File(SCRATCH / "emb_bad_none.h5", "w") as f:
    f["img"] = np.zeros((2, 3, 3, 3), np.uint8)

for path in SCRATCH.glob("*.h5"):
    with gzip.GzipFile(pathlib.Path(__file__).parent / f"{path.name}.gz", "wb", mtime=0) as out:
        out.write(path.read_bytes())
