"""The reference outputs under tests/golden, on the device: in float32 within tolerances, in bfloat16 as it is."""

import sys
from collections import defaultdict
from pathlib import Path

import attrs
import torch
from torch import Tensor

from benchmarks.gpu.bench import Bench

_TESTS = str(Path(__file__).parents[2] / "tests")
if _TESTS not in sys.path:
    sys.path.append(_TESTS)

from golden_checks import CHECKS, imported, losses
from golden_files import Golden, relative_error
from thalweg.network import FlowNetwork

WITH_LOSSES = ("deepflow_2t", "deepflow_3t_align")


def run(bench: Bench) -> None:
    """Compare everything in both precisions."""
    torch.set_float32_matmul_precision("highest")  # which is TF32 off
    torch.backends.cudnn.allow_tf32 = False
    for kind, error in errors(bench, mixed=False).items():
        bench.check(kind, error)
    for kind, error in errors(bench, mixed=True).items():
        bench.figure(f"largest relative error of {kind}, bfloat16 autocast", error)


def errors(bench: Bench, *, mixed: bool) -> dict[str, float]:
    """The largest relative error of each kind of output."""
    found: dict[str, float] = defaultdict(float)
    with torch.autocast(bench.device, torch.bfloat16, enabled=mixed):
        for check in CHECKS.values():
            for actual, expected in check(bench.device).values():
                found[check.kind] = max(found[check.kind], relative_error(actual.cpu(), expected.cpu()))
        ours = {name: gradient(*imported("deepflow", name, bench.device)) for name in WITH_LOSSES}
    for name in WITH_LOSSES:
        file, network = imported("deepflow", name)
        exact = gradient(
            attrs.evolve(file, tensors={key: _double(one) for key, one in file.tensors.items()}),
            network.double(),
        )
        found["gradients"] = max(found["gradients"], relative_error(ours[name].cpu(), exact))
    return dict(found)


def gradient(file: Golden, network: FlowNetwork) -> Tensor:
    """The gradient of velocity's and acceleration's mean losses by all weights, in one vector."""
    sum(loss.mean() for loss in losses(file, network, "lognormal").values()).backward()
    return torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
