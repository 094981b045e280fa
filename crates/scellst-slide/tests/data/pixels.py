"""Golden pixels of the slides in shared/data, as tifffile and Pillow decode them.

Run with tifffile 2026.3.3, imagecodecs 2026.3.6, pillow 13.0.0, numpy 2.4.6:

    python pixels.py ../../../../../shared/data > pixels.json

Every level gives its size, the means of its three channels (in hundredths) over a grid of 8 x 8 cells, which
notices a tile out of place anywhere, and some blocks of 8 x 8 pixels; a lossless one also the CRC-32 of all its
pixels.
"""
import json, sys, zlib
import numpy as np, tifffile
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
root = sys.argv[1]
# File, and which of its pages are levels.
files = [(f"wsi/tiff-variants/{name}.tif", [0]) for name in (
    "BigTIFF", "BigTIFFLong", "BigTIFFMotorola", "quad-jpeg", "tiled-jpeg-rgb-u8", "tiled-jpeg-ycbcr",
    "tiled-rect-rgb-u8", "tiled-rgb-u8")]
files += [("wsi/boxes.tiff", range(4)), ("wsi/cmu-1-small-region.svs", [0]), ("wsi/small.svs", [0])]
files += [("wsi/tcga-cr-7395-01a-01-ts1.svs", [0, 2])]
files += [(f"hest/wsis/C{i}.tif", range(6)) for i in (2, 3, 4)] + [("hest/wsis/C5.jpg", [0])]


def level(pixels, lossless, rng):
    h, w, c = pixels.shape
    assert c == 3 and pixels.dtype == np.uint8
    cuts = lambda n: [i * n // 8 for i in range(9)]
    means = [round(100 * pixels[a:b, s:t, k].mean(dtype=np.float64)) for a, b in zip(cuts(h), cuts(h)[1:])
             for s, t in zip(cuts(w), cuts(w)[1:]) for k in range(3)]
    corners = [(0, 0), (w - 8, 0), (0, h - 8), (w - 8, h - 8)]
    inside = [(int(rng.integers(0, w - 7)), int(rng.integers(0, h - 7))) for _ in range(6)]
    blocks = [{"x": x, "y": y, "rgb": pixels[y:y + 8, x:x + 8].tobytes().hex()} for x, y in corners + inside]
    crc = zlib.crc32(np.ascontiguousarray(pixels).tobytes()) if lossless else None
    return {"width": w, "height": h, "crc32": crc, "means": means, "blocks": blocks}


out = []
for name, pages in files:
    rng = np.random.default_rng(0)
    levels = []
    if name.endswith(".jpg"):
        levels.append(level(np.asarray(Image.open(f"{root}/{name}")), False, rng))
    else:
        with tifffile.TiffFile(f"{root}/{name}") as tif:
            for page in pages:
                page = tif.pages[page]
                levels.append(level(page.asarray(), page.compression not in (7, 33005), rng))
    out.append({"file": name, "levels": levels})
print("[\n" + ",\n".join(json.dumps(o, separators=(",", ":")) for o in out) + "\n]")
