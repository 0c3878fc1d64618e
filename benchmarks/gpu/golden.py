"""The reference outputs under tests/golden, on the device: in float32 within tolerances, and in bfloat16."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
from benchmarks.gpu.bench import Bench
from torch import Tensor

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
    exact = {name: exact_gradient(name) for name in WITH_LOSSES}
    for kind, error in errors(bench, exact, mixed=False).items():
        bench.check(kind, error)
    for kind, error in errors(bench, exact, mixed=True).items():
        bench.figure(f"largest relative error of {kind}, bfloat16 autocast", error)


def errors(bench: Bench, exact: Mapping[str, Tensor], *, mixed: bool) -> dict[str, float]:
    """The largest relative error of each kind of output."""
    found: dict[str, float] = defaultdict(float)
    with torch.autocast(bench.device, torch.bfloat16, enabled=mixed):
        for check in CHECKS.values():
            for actual, expected in check(bench.device).values():
                found[check.kind] = max(found[check.kind], relative_error(actual.cpu(), expected.cpu()))
        for name in WITH_LOSSES:
            ours = gradient(*imported("deepflow", name, bench.device)).cpu()
            found["gradients"] = max(found["gradients"], relative_error(ours, exact[name]))
    return dict(found)


def exact_gradient(name: str) -> Tensor:
    """The gradient of a file's losses, on the CPU in float64."""
    file, network = imported("deepflow", name)
    tensors = {key: one.double() if one.is_floating_point() else one for key, one in file.tensors.items()}
    return gradient(attrs.evolve(file, tensors=tensors), network.double())


def gradient(file: Golden, network: FlowNetwork) -> Tensor:
    """The gradient of velocity's and acceleration's mean losses by all weights, in one vector."""
    sum(loss.mean() for loss in losses(file, network, "lognormal").values()).backward()
    return torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])
