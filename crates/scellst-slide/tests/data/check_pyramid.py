"""Opens a pyramid that `PyramidWriter` or `convert` wrote with tifffile, Pillow and OpenSlide, and checks its levels.

By hand, with tifffile 2026.3.3, imagecodecs 2026.3.6, pillow 13.0.0, openslide-python 1.4.7, openslide-bin 4.0.1.2:

    python check_pyramid.py WRITTEN.tif SOURCE

SOURCE is what was written: any file whose first page tifffile or Pillow reads. Prints the levels, the resolution
and the largest and mean difference of level 0 from the source; fails where the readers do not agree on what there is.
"""
import sys
import numpy as np, openslide, tifffile
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
written, source = sys.argv[1:]
try:
    expected = tifffile.imread(source, key=0)
except tifffile.TiffFileError:
    expected = np.asarray(Image.open(source).convert("RGB"))
with tifffile.TiffFile(written) as tif:
    series = tif.series[0]
    print("BigTIFF" if tif.is_bigtiff else "TIFF", "levels", [level.shape for level in series.levels])
    page = tif.pages[0]
    mpp = [1e4 * d / n for n, d in (page.tags[t].value for t in (282, 283) if t in page.tags)]
    print("compression", page.compression.name, page.photometric.name, "tile", page.tile, "um/px", mpp)
    count = len(series.levels)
    assert [p.subfiletype for p in tif.pages[:count]] == [0] + [1] * (count - 1)
    for beside, page in zip(tif.series[1:], tif.pages[count:], strict=True):
        assert page.subfiletype == 0 and not page.is_tiled and beside.levels[0].shape == page.shape
        print("beside", page.description, page.shape)
        with Image.open(written) as image:
            image.seek(page.index)
            assert (np.asarray(image) == page.asarray()).all()
    levels = [level.asarray() for level in series.levels]
# Pillow (libtiff) sees the same.
with Image.open(written) as image:
    for i, level in enumerate(levels):
        image.seek(i)
        other = np.asarray(image.convert("RGB"))
        print("level", i, "tifffile - Pillow: at most", np.abs(level.astype(int) - other).max())
# And so does OpenSlide; of coarser levels whose downsampling is no whole number it reads mixed pixels.
with openslide.OpenSlide(written) as slide:
    seen = slide.properties
    found = [float(seen[f"openslide.mpp-{axis}"]) for axis in "xy" if f"openslide.mpp-{axis}" in seen]
    print("OpenSlide", openslide.__library_version__, seen["openslide.vendor"], slide.level_dimensions, "um/px", found)
    assert seen["openslide.vendor"] == "generic-tiff" and np.allclose(found, mpp, rtol=1e-6)
    assert [size[::-1] for size in slide.level_dimensions] == [level.shape[:2] for level in levels]
    for i, level in enumerate(levels):
        h, w = min(level.shape[0], 1000), min(level.shape[1], 1000)
        corner = (0, 0) if i else ((level.shape[1] - w) // 2, (level.shape[0] - h) // 2)
        other = np.asarray(slide.read_region(corner, i, (w, h)).convert("RGB")).astype(int)
        part = level[corner[1]:corner[1] + h, corner[0]:corner[0] + w]
        print("level", i, "tifffile - OpenSlide: mean", np.abs(part - other).mean())
difference = np.abs(levels[0].astype(int) - expected)
print("level 0 - source: at most", difference.max(), "mean", difference.mean())
for fine, coarse in zip(levels, levels[1:]):
    h, w = (coarse.shape[0] - 1) * 2, (coarse.shape[1] - 1) * 2
    mean = fine[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3))
    print("coarser level - mean of 2 x 2: at most", np.abs(coarse[:h // 2, :w // 2] - mean).max())
