"""Files as PyTorch saves them, good and bad, for `src/weights/tests.rs`.

Made with torch 2.13.0 on Python 3.11:
    python make.py
"""
import argparse, collections, os, pathlib, pickle
import torch

here = pathlib.Path(__file__).parent
base = torch.arange(24, dtype=torch.float32) / 4 - 2
tensors = collections.OrderedDict(
    f32=base.reshape(2, 3, 4),
    f16=base.reshape(4, 6).half(),
    bf16=base.reshape(24).bfloat16(),
    f64=base.reshape(6, 4).double(),
    steps=torch.tensor(7),
    part=base[4:10],
    transposed=base.reshape(4, 6).t(),
    channels_last=base.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
    parameter=torch.nn.Parameter(base[:3].clone()),
    empty=torch.zeros(0, 5),
    expanded=base[:1].expand(1000),
)
torch.save(tensors, here / "plain.pth")
torch.save({"epoch": 3, "arch": "resnet18", "state_dict": tensors, "best": 0.5, "optimizer": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}}, here / "checkpoint.pth")
torch.save(tensors, here / "protocol4.pth", pickle_protocol=4)
torch.save(tensors, here / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"state_dict": tensors, "args": argparse.Namespace(lr=0.1)}, here / "namespace.pth")
torch.save([1, 2, 3], here / "list.pth")
torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(here / "script.pth"))


class Runs:
    def __reduce__(self):
        return os.system, ("touch scellst-pickle-was-run",)


torch.save({"weight": base, "extra": Runs()}, here / "code.pth")
(here / "bare.pkl").write_bytes(pickle.dumps({"a": 1}))
