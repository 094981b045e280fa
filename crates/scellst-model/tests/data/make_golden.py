"""Outputs, losses and gradients of the published network in PyTorch, for tests/golden.rs.

Run with torch==2.13.0, numpy==2.*, safetensors is not needed: python make_golden.py (in this folder).
Writes golden.json (the numbers), state_dict.ckpt (a Lightning-like checkpoint with the same weights).
Everything in f64 from f32 inputs, so that the numbers are those of the formulas and not of PyTorch's rounding.
"""
import json
import torch
from torch import nn

torch.manual_seed(7)
FEATURES, HIDDEN, GENES = 12, 16, 9
SIZES = [3, 1, 5, 2]
EPS = 1e-8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers, d = [], FEATURES
        for _ in range(3):
            layers += [nn.Linear(d, HIDDEN), nn.LeakyReLU(0.01), nn.Dropout(0.1)]
            d = HIDDEN
        self.instance = nn.Sequential(*layers, nn.Linear(d, GENES), nn.Softplus(beta=20))

    def forward(self, x):
        return self.instance(x)


net = Net().eval()
torch.save({"epoch": 3, "state_dict": {"model." + k: v for k, v in net.state_dict().items()}}, "state_dict.ckpt")
x = torch.randn(sum(SIZES), FEATURES)
counts = torch.poisson(torch.rand(len(SIZES), GENES) * 6)
scaled = torch.rand(len(SIZES), GENES) * 3
size_factor = torch.rand(len(SIZES)) + 0.5
parameter = torch.randn(GENES)
weights = {k: v.clone() for k, v in net.state_dict().items()}

net = net.double()
x64, sf = x.double(), size_factor.double()[:, None]
gene = nn.Parameter(parameter.double())


def bags():
    return torch.stack([part.mean(0) for part in net(x64).split(SIZES)])


def nb_mean(y, mu, theta):
    both = torch.log(theta + mu + EPS)
    return (theta * (torch.log(theta + EPS) - both) + y * (torch.log(mu + EPS) - both)
            + torch.lgamma(y + theta + EPS) - torch.lgamma(theta + EPS) - torch.lgamma(y + 1))


LOSSES = {
    "mse": lambda: nn.functional.mse_loss(bags(), scaled.double()),
    "nb-mean": lambda: -nb_mean(counts.double(), sf * bags(), gene.exp()).sum(1).mean(),
    "nb-total": lambda: -torch.distributions.NegativeBinomial(sf * bags(), logits=gene.expand(len(SIZES), -1))
    .log_prob(counts.double()).sum(1).mean(),
    "poisson": lambda: nn.functional.poisson_nll_loss(sf * bags(), counts.double(), log_input=False, full=False,
                                                      eps=EPS, reduction="none").sum(1).mean()
    + torch.lgamma(counts.double() + 1).sum(1).mean(),
}
names = [n for i in range(4) for n in (f"layers.{i}.weight", f"layers.{i}.bias")]
cases = {}
for name, loss in LOSSES.items():
    net.zero_grad()
    gene.grad = None
    value = loss()
    value.backward()
    gradients = {n: p.grad.flatten().tolist() for n, p in zip(names, net.parameters())}
    if gene.grad is not None:
        gradients["genes.parameters"] = gene.grad.tolist()
    cases[name] = {"loss": value.item(), "gradients": gradients}
# The other ways from cells to bags; their parameters are drawn last, so that the numbers above stay.
GATES = HIDDEN // 2
side = {"attention.tanh.weight": (GATES, HIDDEN), "attention.tanh.bias": (GATES,),
        "attention.sigmoid.weight": (GATES, HIDDEN), "attention.sigmoid.bias": (GATES,),
        "attention.score.weight": (1, GATES), "set.weight": (HIDDEN, HIDDEN)}
side = {name: nn.Parameter((torch.randn(dims) * 0.6).float().double()) for name, dims in side.items()}
linear = [m for m in net.instance if isinstance(m, nn.Linear)]


def forward(of_set):
    """Last hidden layer and cells; a deep set's second layer is one linear layer of [own, mean of the bag]."""
    h = nn.functional.leaky_relu(linear[0](x64), 0.01)
    joined, weight = h, linear[1].weight
    if of_set:
        means = torch.cat([part.mean(0, keepdim=True).expand_as(part) for part in h.split(SIZES)])
        joined, weight = torch.cat([h, means], 1), torch.cat([weight, side["set.weight"]], 1)
    h = nn.functional.leaky_relu(nn.functional.linear(joined, weight, linear[1].bias), 0.01)
    h = nn.functional.leaky_relu(linear[2](h), 0.01)
    return h, nn.functional.softplus(linear[3](h), beta=20)


def attention(h):
    gate = lambda name: nn.functional.linear(h, side[f"attention.{name}.weight"], side[f"attention.{name}.bias"])
    scores = nn.functional.linear(torch.tanh(gate("tanh")) * torch.sigmoid(gate("sigmoid")),
                                  side["attention.score.weight"])
    return torch.cat([part.softmax(0) for part in scores.split(SIZES)])


def pooled(pooling, of_counts):
    h, cells = forward(pooling == "deep-set")
    if pooling == "attention":
        cells = cells * attention(h)
    total = pooling == "attention" or (pooling == "sum" and of_counts)
    return torch.stack([part.sum(0) if total else part.mean(0) for part in cells.split(SIZES)])


def pooled_loss(pooling, loss):
    if loss == "nb-mean":
        return -nb_mean(counts.double(), sf * pooled(pooling, True), gene.exp()).sum(1).mean()
    errors = (pooled(pooling, False) - scaled.double()) ** 2
    if pooling != "sum":
        return errors.mean()
    n = torch.tensor(SIZES, dtype=torch.float64)[:, None]
    return (n * errors).sum() / (n.sum() * GENES)


pooling_cases = {}
for pooling in ["sum", "attention", "deep-set"]:
    for loss in ["mse", "nb-mean"]:
        net.zero_grad()
        gene.grad = None
        for p in side.values():
            p.grad = None
        value = pooled_loss(pooling, loss)
        value.backward()
        gradients = {n: p.grad.flatten().tolist() for n, p in zip(names, net.parameters())}
        gradients |= {n: p.grad.flatten().tolist() for n, p in side.items() if p.grad is not None}
        if gene.grad is not None:
            gradients["genes.parameters"] = gene.grad.tolist()
        pooling_cases[f"{pooling} {loss}"] = {"loss": value.item(), "gradients": gradients,
                                              "bags": pooled(pooling, loss != "mse").flatten().tolist()}
json.dump({
    "side": {n: p.float().flatten().tolist() for n, p in side.items()}, "pooling_cases": pooling_cases,
    "attention": attention(forward(False)[0]).flatten().tolist(), "deep_cells": forward(True)[1].flatten().tolist(),
    "torch": torch.__version__, "features": FEATURES, "hidden": HIDDEN, "genes": GENES, "sizes": SIZES,
    "weights": {n: w.flatten().tolist() for n, w in zip(names, weights.values())},
    "x": x.flatten().tolist(), "counts": counts.flatten().tolist(), "scaled": scaled.flatten().tolist(),
    "size_factors": size_factor.tolist(), "parameter": parameter.tolist(),
    "cells": net(x64).flatten().tolist(), "cases": cases,
}, open("golden.json", "w"))
