"""Small JPEG 2000 streams of every make that slides have, and what OpenJPEG decodes at reduced size.

Run with opj_compress and opj_decompress of OpenJPEG 2.5.0 on the path, numpy 2.4.6, pillow 13.0.0:

    python jpeg2000.py > jpeg2000.json

All hold the picture, or the three planes, that tests/jpeg2000.rs computes anew. Streams are hexadecimal; `reduced`
are the RGB pixels at the whole, half and a quarter of the size.
"""
import json, subprocess, tempfile
from pathlib import Path
import numpy as np
from PIL import Image

W, H = 48, 40
y, x = np.mgrid[:H, :W]
picture = np.stack([20 + 3 * x + y, 200 - 2 * x - y, 60 + ((x - 24) ** 2 + (y - 20) ** 2) // 8], 2).astype(np.uint8)


def planes(dx, dy):
    """Luma, and chroma at its own size."""
    v, u = np.mgrid[: -(-H // dy), : -(-W // dx)]
    return [20 + 3 * x + y, 100 + u + v // 2, 160 - u + v]


folder = Path(tempfile.mkdtemp())


def run(*command):
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)


def encode(*options, suffix="j2k", raw=None):
    out = folder / f"out.{suffix}"
    if raw is None:
        Image.fromarray(picture).save(folder / "in.ppm")
        run("opj_compress", "-i", folder / "in.ppm", "-o", out, *options)
    else:
        dx, dy = raw
        (folder / "in.raw").write_bytes(b"".join(p.astype(np.uint8).tobytes() for p in planes(dx, dy)))
        shape = f"{W},{H},3,8,u@1x1:{dx}x{dy}:{dx}x{dy}"
        run("opj_compress", "-i", folder / "in.raw", "-F", shape, "-o", out, "-mct", 0, *options)
    return out.read_bytes()


def reduced(stream, halvings):
    (folder / "r.j2k").write_bytes(stream)
    run("opj_decompress", "-i", folder / "r.j2k", "-o", folder / "r.ppm", "-r", halvings)
    return np.asarray(Image.open(folder / "r.ppm")).tobytes().hex()


cases = {
    "plain": encode(),
    "jp2": encode(suffix="jp2"),
    "no transform": encode("-mct", 0),
    "tiles": encode("-t", "32,16", "-n", 4),
    "layers": encode("-r", "20,5,1"),
    "markers": encode("-SOP", "-EPH", "-PLT", "-TLM", "-TP", "R", "-p", "RPCL"),
    "precincts": encode("-c", "[32,32],[16,16]", "-b", "16,16", "-p", "PCRL"),
    "one resolution": encode("-n", 1),
    "modes": encode("-M", 1 + 2 + 4 + 8 + 32, "-p", "CPRL"),
    "bypass": encode("-M", 1, "-p", "RLCP"),
    "irreversible": encode("-I", "-q", 50),
    "4:4:4": encode(raw=(1, 1)),
    "4:2:2": encode(raw=(2, 1)),
    "4:2:0": encode(raw=(2, 2)),
    "poc": encode("-n", 3, "-POC", "T1=0,0,1,2,3,RLCP/T1=2,0,1,3,3,LRCP"),
    "roi": encode("-ROI", "c=0,U=3"),
}
cases = {name: {"stream": stream.hex()} for name, stream in cases.items()}
for name in ("irreversible", "layers"):
    cases[name]["reduced"] = [reduced(bytes.fromhex(cases[name]["stream"]), n) for n in (0, 1, 2)]
print("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in cases.items()) + "\n}")
