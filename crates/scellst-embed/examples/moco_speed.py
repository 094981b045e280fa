"""Crops a second of a step of MoCo v3 in PyTorch, beside moco_speed.rs: ResNet-18 on 48 px, projector and predictor of 4096
and 256, AdamW, views already made (ours makes them within the step).

python moco_speed.py [STEPS [BATCH [THREADS]]]; torch 2.13, torchvision 0.28.
"""
import copy, statistics, sys, time
import torch, torchvision

steps, batch, threads = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((1, 5), (2, 128), (3, 2)))
torch.set_num_threads(threads)


def mlp(*widths):
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        last = i + 2 == len(widths)
        layers += [torch.nn.Linear(a, b, bias=False), torch.nn.BatchNorm1d(b, affine=not last)] + ([] if last else [torch.nn.ReLU(inplace=True)])
    return torch.nn.Sequential(*layers)


net = torchvision.models.resnet18()
net.fc = mlp(512, 4096, 256)
net = net.to(memory_format=torch.channels_last).train()
slow = copy.deepcopy(net)
predictor = mlp(256, 4096, 256).train()
optimiser = torch.optim.AdamW(list(net.parameters()) + list(predictor.parameters()), lr=1e-3, weight_decay=1e-6)
views = [torch.randn(batch, 3, 48, 48).to(memory_format=torch.channels_last) for _ in range(2)]


def nce(q, k):
    q, k = (torch.nn.functional.normalize(v, dim=1) for v in (q, k))
    return 2 * torch.nn.functional.cross_entropy(q @ k.T, torch.arange(batch))


def step():
    q = [predictor(net(v)) for v in views]
    with torch.no_grad():
        for a, b in zip(slow.parameters(), net.parameters()):
            a.lerp_(b, 0.01)
        k = [slow(v) for v in views]
    loss = nce(q[0], k[1]) + nce(q[1], k[0])
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item()


step()
times = []
for _ in range(steps):
    begin = time.perf_counter()
    step()
    times.append(time.perf_counter() - begin)
print(f"{batch / statistics.median(times):.1f} crops/s, median of {steps} steps of {batch}")
