"""What timm computes for vision transformers with weights made by a formula, on crops made by a formula.

Made with torch 2.13.0, timm 1.0.31, numpy 2.4 on Python 3.11:
    python vit_golden.py
Writes vit_golden.json beside itself: for each network its tensors' names and shapes, and for each crop size the first 48
features of each crop, the sum of all and the largest. `value` is here and in ../formula/mod.rs.
"""
import json, pathlib
import numpy as np, torch
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from resnet_golden import crop, uniform


def value(name, shape):
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("gamma"):  # layer scale
        v = 0.5 + 0.4 * u
    elif name.startswith(("cls_token", "reg_token", "pos_embed")):
        v = 0.5 * u
    elif len(shape) > 1:
        v = u * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith("weight"):  # norms
        v = 1 + 0.5 * u
    else:
        v = 0.2 * u
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def vit(**options):
    torch.set_default_dtype(torch.float64)  # the golden values are exact to print
    net = VisionTransformer(num_classes=0, dynamic_img_size=True, **options)
    net.load_state_dict({k: value(k, v.shape) for k, v in net.state_dict().items()})
    return net.eval()


networks = {
    # ViT-S/16 of 224 px, as timm has it
    "small": (dict(img_size=224, patch_size=16, embed_dim=384, depth=12, num_heads=6), (48, 224, 96)),
    # DINOv2's and UNI2's parts: registers without positions, layer scale, SwiGLU, patch of 14
    "swiglu": (dict(img_size=70, patch_size=14, embed_dim=192, depth=3, num_heads=3, init_values=1e-5, reg_tokens=4, no_embed_class=True,
                    mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=5.33334), (70, 56, 98)),
    # registers with positions, no bias in qkv, heads of 32
    "registers": (dict(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=4, reg_tokens=3, qkv_bias=False), (32, 48)),
}

out = {}
mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
for name, (options, sizes) in networks.items():
    net = vit(**options)
    out[name] = {"shapes": {k: list(v.shape) for k, v in net.state_dict().items()}}
    for size in sizes:
        x = torch.from_numpy(np.stack([crop(n, size) for n in range(2)])).permute(0, 3, 1, 2).double() / 255
        with torch.inference_mode():
            tokens = net.forward_features((x - mean) / std)
        f = tokens[:, 0]
        pooled = tokens[:, net.num_prefix_tokens:].mean(1)
        print(name, size, f.abs().max().item(), f.std().item(), (f[0] - f[1]).abs().max().item())
        out[name][str(size)] = {k: {"first": [[round(v, 7) for v in r[:48].tolist()] for r in g], "sum": g.sum(1).tolist(), "max": g.abs().max().item()} for k, g in (("class", f), ("mean", pooled))}
json.dump(out, open(pathlib.Path(__file__).with_suffix(".json"), "w"))
