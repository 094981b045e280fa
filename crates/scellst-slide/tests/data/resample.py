"""Golden values of resampling, as Pillow's `resize(size, BILINEAR, box=window)` computes them.

Run with pillow 13.0.0, numpy 2.4.6: python resample.py > resample.json
The source is made by the same formula in the test.
"""
import json
import numpy as np
from PIL import Image

W, H = 61, 47
y, x = np.mgrid[0:H, 0:W]
source = np.stack([(x * x * 7 + y * 13) % 256, (x * 31 + y * y * 3) % 256, np.where((x + y) % 2, 255, 0)], -1).astype(np.uint8)
image = Image.fromarray(source)
cases = [
    ((0, 0, 61, 47), (61, 47)), ((0, 0, 61, 47), (20, 16)), ((0, 0, 61, 47), (130, 90)), ((0, 0, 61, 47), (7, 5)),
    ((10.25, 8.5, 36.25, 34.5), (72, 72)), ((17.1, 3.7, 43.34, 29.94), (72, 72)), ((3.3, 4.4, 50.5, 40.1), (11, 30)),
    ((0, 0, 61, 47), (1, 1)), ((12, 7, 13, 8), (5, 5)), ((0, 0, 4.5, 4.5), (18, 18)), ((55.5, 40.25, 61, 47), (22, 27)),
]
out = [{"window": window, "width": w, "height": h,
        "rgb": image.resize((w, h), Image.Resampling.BILINEAR, box=window).tobytes().hex()} for window, (w, h) in cases]
print("[\n" + ",\n".join(json.dumps(o, separators=(",", ":")) for o in out) + "\n]")
