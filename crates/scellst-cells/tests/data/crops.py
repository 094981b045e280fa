"""Golden crops: Pillow 13.0.0's resize(BILINEAR, box=) of windows of one picture, numpy's pad beyond its edge.

    pip install numpy==2.4.6 pillow==13.0.0; python crops.py > crops.json

Both sides make the picture by the same formula. mirror: numpy.pad(mode="symmetric"); white: a constant 255.
header: what numpy.save puts before an array of 5 crops of 7 px.
"""
import io
import json
import numpy as np
from PIL import Image

W, H, PAD = 90, 70, 60
y, x = np.mgrid[:H, :W]
picture = np.stack([(x * 37 + y * 91 + x * y * 13 + c * 57) % 251 for c in range(3)], -1).astype(np.uint8)
padded = {
    "mirror": Image.fromarray(np.pad(picture, ((PAD, PAD), (PAD, PAD), (0, 0)), mode="symmetric")),
    "white": Image.fromarray(np.pad(picture, ((PAD, PAD), (PAD, PAD), (0, 0)), constant_values=255)),
}
crops = []
# um/px of the picture, centre, side and um/px of the crop, border.
for mpp, cx, cy, size, want, border in [
    (0.1, 44.25, 35.5, 10, 0.55, "mirror"),  # shrinks 5.5 times
    (1.0, 44.3, 35.9, 24, 0.25, "mirror"),  # enlarges 4 times
    (0.25, 2.3, 3.4, 20, 0.25, "mirror"),
    (0.25, 2.3, 3.4, 20, 0.25, "white"),
    (0.686, 88.9, 69.2, 24, 0.25, "mirror"),
    (0.686, 88.9, 69.2, 24, 0.25, "white"),
    (0.2, 3.1, 66.6, 16, 0.5, "mirror"),
    (0.2, 3.1, 66.6, 16, 0.5, "white"),
]:
    half = size * want / mpp / 2
    box = (cx - half + PAD, cy - half + PAD, cx + half + PAD, cy + half + PAD)
    crop = padded[border].resize((size, size), Image.BILINEAR, box=box)
    crops.append({"mpp": mpp, "x": cx, "y": cy, "size": size, "want": want, "border": border,
                  "pixels": np.asarray(crop).tobytes().hex()})
file = io.BytesIO()
np.save(file, np.zeros((5, 7, 7, 3), np.uint8))
header = file.getvalue()[:-5 * 7 * 7 * 3].hex()
print(json.dumps({"width": W, "height": H, "crops": crops, "header": header}, separators=(",", ":")))
