"""Opens a pyramid that `PyramidWriter` wrote with tifffile and Pillow, and checks its levels.

By hand, with tifffile 2026.3.3, imagecodecs 2026.3.6, pillow 13.0.0:

    python check_pyramid.py WRITTEN.tif SOURCE

SOURCE is what was written: any file whose first page tifffile or Pillow reads. Prints the levels, the resolution
and the largest and mean difference of level 0 from the source.
"""
import sys
import numpy as np, tifffile
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
written, source = sys.argv[1:]
try:
    expected = tifffile.imread(source, level=0)
except tifffile.TiffFileError:
    expected = np.asarray(Image.open(source).convert("RGB"))
with tifffile.TiffFile(written) as tif:
    series = tif.series[0]
    print("BigTIFF" if tif.is_bigtiff else "TIFF", "levels", [level.shape for level in series.levels])
    page = tif.pages[0]
    print("compression", page.compression.name, page.photometric.name, "tile", page.tile,
          "um/px", [1e4 * d / n for n, d in (page.tags[t].value for t in (282, 283) if t in page.tags)])
    assert all(p.subfiletype == (i > 0) for i, p in enumerate(tif.pages))
    levels = [level.asarray() for level in series.levels]
# Pillow (libtiff) sees the same.
with Image.open(written) as image:
    for i, level in enumerate(levels):
        image.seek(i)
        other = np.asarray(image.convert("RGB"))
        print("level", i, "tifffile - Pillow: at most", np.abs(level.astype(int) - other).max())
difference = np.abs(levels[0].astype(int) - expected)
print("level 0 - source: at most", difference.max(), "mean", difference.mean())
for fine, coarse in zip(levels, levels[1:]):
    h, w = (coarse.shape[0] - 1) * 2, (coarse.shape[1] - 1) * 2
    mean = fine[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3))
    print("coarser level - mean of 2 x 2: at most", np.abs(coarse[:h // 2, :w // 2] - mean).max())
