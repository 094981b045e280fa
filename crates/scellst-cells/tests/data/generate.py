"""Golden values for scellst-cells. Run from this folder: /opt/pyref/bin/python generate.py
numpy, scikit-image and Pillow as printed into golden.json ("versions").

hed: skimage.color.rgb2hed of some pixels.
crops: Pillow's resize(BILINEAR, box=) of windows of one picture, whose pixels both sides make by the same formula.
"""
import json

import numpy as np
import PIL
import skimage
from PIL import Image
from skimage.color import rgb2hed

rng = np.random.default_rng(2)
pixels = rng.integers(1, 256, (40, 3))
pixels[:4] = [[255, 255, 255], [80, 60, 140], [230, 120, 170], [1, 1, 1]]
hed = rgb2hed(pixels[None].astype(np.uint8))[0]

W, H = 90, 70
y, x = np.mgrid[:H, :W]
picture = np.stack([(x * 37 + y * 91 + x * y * 13 + c * 57) % 251 for c in range(3)], -1).astype(np.uint8)
image = Image.fromarray(picture)
crops = []
# mpp of the picture, centre, size and resolution of the crop: enlarging, as it is, shrinking; all inside.
for mpp, cx, cy, size, want in [(0.686, 45.3, 35.8, 72, 0.25), (0.25, 40.0, 36.0, 30, 0.25), (0.25, 40.6, 33.1, 30, 0.25), (0.2, 44.2, 34.9, 24, 0.5)]:
    half = size * want / mpp / 2
    crop = image.resize((size, size), Image.BILINEAR, box=(cx - half, cy - half, cx + half, cy + half))
    crops.append({"mpp": mpp, "x": cx, "y": cy, "size": size, "want": want, "pixels": np.asarray(crop).ravel().tolist()})

json.dump(
    {
        "versions": {"numpy": np.__version__, "skimage": skimage.__version__, "pillow": PIL.__version__},
        "rgb": pixels.tolist(),
        "hed": hed.tolist(),
        "width": W,
        "height": H,
        "crops": crops,
    },
    open("golden.json", "w"),
    separators=(",", ":"),
)
