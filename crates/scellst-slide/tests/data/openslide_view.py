"""What OpenSlide makes of the slides given on the command line, one JSON object a line.

Run by tests/dialects.rs with the Python that SCELLST_PEER_PYTHON names
(openslide-python 1.4.7, openslide-bin 4.0.1, pillow 13.0.0).
Pixels are RGB over white, as hexadecimal.
"""

import json
import sys

import openslide
from PIL import Image


def rgb(image):
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB").tobytes().hex()


for path in sys.argv[1:]:
    slide = openslide.OpenSlide(path)
    properties = slide.properties
    print(json.dumps({
        "vendor": properties["openslide.vendor"],
        "mpp": [float(properties.get(f"openslide.mpp-{axis}", "nan")) for axis in "xy"],
        "power": float(properties.get("openslide.objective-power", "0")),
        "levels": [
            {"size": size, "rgb": rgb(slide.read_region((0, 0), i, size))}
            for i, size in enumerate(slide.level_dimensions)
        ],
        "associated": {
            name: {"size": image.size, "rgb": rgb(image)} for name, image in slide.associated_images.items()
        },
    }))
