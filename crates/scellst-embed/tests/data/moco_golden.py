"""What PyTorch computes for a step of MoCo v3: loss, gradients through batch norms in training mode, running statistics,
and the steps of its AdamW and of LARS.

Made with torch 2.13.0, torchvision 0.28.0, numpy 2.4 on Python 3.11, in f64:
    python moco_golden.py
Writes moco_golden.json beside itself. Weights and pictures are those of resnet_golden.py's formulas, by the names that
src/moco gives them; the momentum encoder's are by the same formula of `momentum.<name>`.
"""
import copy, json, pathlib
import numpy as np, torch, torchvision
from resnet_golden import crop, value

HIDDEN, DIM, KEEP, T = 64, 32, 0.75, 0.5


def mlp(widths):
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        last = i + 2 == len(widths)
        layers += [torch.nn.Linear(a, b, bias=False), torch.nn.BatchNorm1d(b, affine=not last)] + ([] if last else [torch.nn.ReLU()])
    return torch.nn.Sequential(*layers)


def fill(module, prefix):
    state = module.state_dict()
    module.load_state_dict({k: v if k.endswith("tracked") else value(prefix + k, v.shape).to(v.dtype) for k, v in state.items()})


def towers(depth):
    net = getattr(torchvision.models, depth)()
    dim = net.fc.in_features
    net.fc = torch.nn.Identity()
    return net.double().train(), mlp([dim, HIDDEN, DIM]).double().train()


def nce(q, k):
    q, k = (torch.nn.functional.normalize(v, dim=1) for v in (q, k))
    logits = q @ k.T / T
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(q))) * 2 * T


def short(t):
    v = t.detach().double().flatten()
    return {"first": v[:24].tolist(), "norm": v.norm().item(), "sum": v.sum().item(), "max": v.abs().max().item()}


if __name__ == "__main__":
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    out = {}
    for depth in ("resnet18", "resnet50"):
        net, projector = towers(depth)
        slow_net, slow_projector = towers(depth)
        predictor = mlp([DIM, HIDDEN, DIM]).double().train()
        for module, prefix in ((net, ""), (projector, "projector."), (predictor, "predictor."), (slow_net, "momentum."), (slow_projector, "momentum.projector.")):
            fill(module, prefix)
        views = [(torch.from_numpy(np.stack([crop(n + 8 * v, 48) for n in range(8)])).permute(0, 3, 1, 2).double() / 255 - mean) / std for v in (0, 1)]
        q = [predictor(projector(net(v))) for v in views]
        with torch.no_grad():
            for slow, fast in ((slow_net, net), (slow_projector, projector)):
                for a, b in zip(slow.parameters(), fast.parameters()):
                    a.mul_(KEEP).add_(b, alpha=1 - KEEP)
            k = [slow_projector(slow_net(v)) for v in views]
        loss = nce(q[0], k[1]) + nce(q[1], k[0])
        loss.backward()
        named = dict(net.named_parameters()) | {f"projector.{n}": p for n, p in projector.named_parameters()} | {f"predictor.{n}": p for n, p in predictor.named_parameters()}
        wanted = ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer2.0.conv2.weight", "layer2.0.downsample.0.weight", "layer3.1.conv1.weight", "layer4.1.conv2.weight", "layer4.0.bn2.bias", "projector.0.weight", "projector.1.bias", "predictor.3.weight"]
        buffers = {n: b for n, b in net.named_buffers()} | {f"momentum.{n}": b for n, b in slow_net.named_buffers()}
        running = ["bn1.running_mean", "layer4.1.bn2.running_var", "momentum.layer2.0.downsample.1.running_mean"]
        out[depth] = {"loss": loss.item(), "gradients": {n: short(named[n].grad) for n in wanted}, "running": {n: short(buffers[n]) for n in running}}
        print(depth, loss.item(), named["conv1.weight"].grad.norm().item())

    # Three steps of each optimiser on a weight and a bias, gradients by the formula.
    steps = {}
    for kind in ("adamw", "lars"):
        p = [torch.nn.Parameter(value(f"p{i}", s).double()) for i, s in enumerate(((4, 3), (5,)))]
        decay, rate = 0.05, 0.02
        adamw = torch.optim.AdamW([{"params": [p[0]], "weight_decay": decay}, {"params": [p[1]], "weight_decay": 0.0}], lr=rate)
        velocity = [torch.zeros_like(v) for v in p]
        for step in range(3):
            for i, v in enumerate(p):
                v.grad = value(f"g{i}{step}", v.shape).double()
            if kind == "adamw":
                adamw.step()
                continue
            with torch.no_grad():  # You et al. 2017 as MoCo v3 uses it: weights only are decayed and measured
                for v, u in zip(p, velocity):
                    d = v.grad
                    if v.ndim > 1:
                        d = d + decay * v
                        d = d * (0.001 * v.norm() / d.norm())
                    u.mul_(0.9).add_(d)
                    v.sub_(rate * u)
        steps[kind] = [v.detach().flatten().tolist() for v in p]
    out["steps"] = steps
    json.dump(out, open(pathlib.Path(__file__).with_suffix(".json"), "w"))
