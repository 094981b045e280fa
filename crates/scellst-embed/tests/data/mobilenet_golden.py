"""What PyTorch computes for MobileNetV1 with the shared weights on crops made by a formula.

Made with torch 2.13.0, safetensors 0.8.0, numpy 2.4 on Python 3.11:
    python mobilenet_golden.py ../../../../../shared/data/weights/mobilenet_v1_imagenet_block11.safetensors
Writes mobilenet_golden.json beside itself: for each crop size the first 64 features of each crop, and the sum of
all 512. The crops are `crop(n, size)` below and in ../golden.rs: no picture needs to be stored.
"""
import json, pathlib, sys
import numpy as np, torch, torch.nn.functional as F
from safetensors.torch import load_file

weights = {k: v.double() for k, v in load_file(sys.argv[1]).items()}  # f64: the golden values are exact to print


def crop(n, size):
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return ((x * (3 + n) + y * (7 + 2 * n) + c * 50 + (x * y) // (4 + n)) % 256).astype(np.uint8)


def bn(x, n):
    return F.batch_norm(x, weights[n + ".running_mean"], weights[n + ".running_var"], weights[n + ".weight"], weights[n + ".bias"], False, 0, 1e-3)


def mobilenet(x):
    x = F.relu6(bn(F.conv2d(F.pad(x, (0, 1, 0, 1)), weights["conv1.weight"], stride=2), "conv1_bn"))
    for i, s in enumerate([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1], 1):
        w = weights[f"conv_dw_{i}.weight"]
        x = F.conv2d(F.pad(x, (0, 1, 0, 1)), w, stride=2, groups=len(w)) if s == 2 else F.conv2d(x, w, padding=1, groups=len(w))
        x = F.relu6(bn(F.conv2d(F.relu6(bn(x, f"conv_dw_{i}_bn")), weights[f"conv_pw_{i}.weight"]), f"conv_pw_{i}_bn"))
    return x.mean((2, 3))


out = {}
for size in (48, 37, 72):
    x = np.stack([crop(n, size) for n in range(3)])
    f = mobilenet(torch.from_numpy(x).permute(0, 3, 1, 2).double() / 127.5 - 1)
    out[str(size)] = {"first": [[round(v, 7) for v in r[:64].tolist()] for r in f], "sum": f.sum(1).tolist(), "max": f.max().item()}
json.dump(out, open(pathlib.Path(__file__).with_suffix(".json"), "w"))
