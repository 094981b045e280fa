"""What torchvision computes for ResNets with weights made by a formula, on crops made by a formula.

Made with torch 2.13.0, torchvision 0.28.0, numpy 2.4 on Python 3.11:
    python resnet_golden.py
Writes resnet_golden.json beside itself: for each network and crop size the first 48 features of each crop, the sum of
all and the largest; of crops of 48 px the same of the stages before the last (`stage1` to `stage3`). Neither weights nor pictures are stored: both are `value(tensor, index)` and `crop(n, size)`, here
and in ../formula/mod.rs. Batch norms have statistics far from 0 and 1.
"""
import json, pathlib, zlib
import numpy as np, torch, torchvision


def uniform(name, count):
    """In -1..1: 24 bits of a mix of the name's CRC-32 and the index (splitmix64's last steps)."""
    z = np.arange(count, dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def value(name, shape):
    u = uniform(name, int(np.prod(shape)))
    if len(shape) > 1:  # He's variance, for what a unit gets
        v = u * np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith("running_var"):
        v = 1.2 + 0.8 * u
    elif name.endswith("running_mean"):
        v = 0.3 * u
    elif name.endswith("weight"):  # the last of a block small, or sixteen residuals add up to too much
        v = (0.3 if name.endswith(("bn3.weight", "bn2.weight")) and "layer" in name else 0.9) * (1 + 0.4 * u)
    else:
        v = 0.2 * u
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def crop(n, size):
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    return ((x * (3 + n) + y * (7 + 2 * n) + c * 50 + (x * y) // (4 + n)) % 256).astype(np.uint8)


def filled(net):
    state = {k: v if k.endswith("tracked") else value(k, v.shape) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return net.eval()


def facts(f):
    return {"first": [[round(v, 7) for v in r[:48].tolist()] for r in f], "sum": f.sum(1).tolist(), "max": f.abs().max().item()}


if __name__ == "__main__":
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    out = {}
    for name in ("resnet18", "resnet34", "resnet50"):
        net = filled(getattr(torchvision.models, name)()).double()  # f64: the golden values are exact to print
        net.fc = torch.nn.Identity()
        out[name] = {}
        for size in (48, 72, 33, 224):
            x = torch.from_numpy(np.stack([crop(n, size) for n in range(2)])).permute(0, 3, 1, 2).double() / 255
            with torch.inference_mode():
                f = net((x - mean) / std)
            print(name, size, f.abs().max().item(), f.mean().item(), f.std().item())
            out[name][str(size)] = facts(f)
        x = torch.from_numpy(np.stack([crop(n, 48) for n in range(2)])).permute(0, 3, 1, 2).double() / 255
        with torch.inference_mode():
            x = net.maxpool(net.relu(net.bn1(net.conv1((x - mean) / std))))
            for stage in (1, 2, 3):
                x = getattr(net, f"layer{stage}")(x)
                out[name][f"stage{stage}"] = facts(x.mean((2, 3)))
    json.dump(out, open(pathlib.Path(__file__).with_suffix(".json"), "w"))
