"""Writes TIFFs into a folder with tifffile, and says what is in them, one JSON object a line.

Run by tests/dialects.rs with the Python that SCELLST_PEER_PYTHON names
(tifffile 2026.3.3, numpy, pillow 13.0.0, imagecodecs).
Pixels are RGB as hexadecimal: those that were written; of grey and palette, those that Pillow reads.
"""

import json
import pathlib
import sys

import numpy as np
import tifffile
from PIL import Image

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(1)
full = rng.integers(0, 256, (140, 180, 3), dtype=np.uint8)
levels = [full, full[::2, ::2], full[::4, ::4]]
planes = [np.ascontiguousarray(level.transpose(2, 0, 1)) for level in levels]


def say(file, images):
    print(json.dumps({
        "file": file,
        "levels": [
            {"size": image.shape[1::-1], "rgb": np.ascontiguousarray(image).tobytes().hex()} for image in images
        ],
    }))


def pyramid(file, images, axes, options, extra=None):
    with tifffile.TiffWriter(folder / file) as writer:
        writer.write(images[0], subifds=len(images) - 1, metadata={"axes": axes, **(extra or {})}, **options)
        for image in images[1:]:
            writer.write(image, subfiletype=1, **options)
        if file == "pyramid.ome.tif":
            writer.write(full[:30, :20], photometric="rgb", metadata={"axes": "YXS", "Name": "Label"})
    say(file, levels[: len(images)])


tiles = {"tile": (64, 64)}
pyramid("pyramid.ome.tif", levels, "YXS", {"photometric": "rgb", "compression": "lzw", "predictor": True, **tiles})
pyramid(
    "planar.ome.tif", planes[:2], "SYX",
    {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "predictor": True, **tiles},
)
pyramid(
    "channels.ome.tif", planes, "CYX", {"photometric": "minisblack", **tiles},
    {"Channel": {"Name": ["Red", "Green", "Blue"]}},
)
stack = np.stack([full, 255 - full])
tifffile.imwrite(folder / "stack.ome.tif", stack, photometric="rgb", metadata={"axes": "ZYXS"})
say("stack.ome.tif", [full])

colours = rng.integers(0, 65536, (3, 256), dtype=np.uint16)
for file, options in [
    ("grey.tif", {"photometric": "minisblack", **tiles}),
    ("inverted.tif", {"photometric": "miniswhite", "compression": "lzw"}),
    ("palette.tif", {"photometric": "palette", "colormap": colours, "compression": "zlib"}),
]:
    tifffile.imwrite(folder / file, full[..., 0], **options)
    say(file, [np.asarray(Image.open(folder / file).convert("RGB"))])
