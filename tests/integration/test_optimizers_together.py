"""Two processes step, average and resume as one does, under DDP and FSDP2, with AdamW and with Muon."""

import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

import two_optimizers
from run_processes import TESTS, ended, start
from thalweg.training.components import build_components
from tiny_runs import lines, tensor_files, tiny

CLOSE = {"adamw": 1e-3, "muon": 0.25}
"""Share of the way that weights have gone. Muon rounds to bfloat16, and its iteration makes much of
small singular values: FSDP2 sums in other parts, and a gradient rounded once more differs as much."""


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return sum(float((tensor - other[name]).square().sum()) for name, tensor in one.items()) ** 0.5


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    two_optimizers.main(folder, "auto", accumulate=2)
    return folder


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_are_as_good_as_one(tmp_path: Path, alone: Path, strategy: str) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    code, _, said = ended(start([*torchrun, str(TESTS / "two_optimizers.py"), str(tmp_path), strategy]))
    assert code == 0, said
    initial = build_components(tiny()).network.state_dict()
    for name, close in CLOSE.items():
        whole, twice = tmp_path / f"{name}-whole", tmp_path / f"{name}-twice"
        assert tensor_files(whole) == tensor_files(twice)
        assert lines(whole) == lines(twice)
        for one, other in zip(lines(whole), lines(alone / f"{name}-whole"), strict=True):
            assert one == pytest.approx(other, rel=0.1 * close)
        for folder in ("model", "model-0.5"):
            first, second = (
                load_file(run / folder / "model.safetensors") for run in (whole, alone / f"{name}-whole")
            )
            moved, apart = distance(second, initial), distance(first, second)
            assert apart <= close * moved
