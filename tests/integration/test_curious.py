"""An objective of a stranger that asks the network again in every way, where networks are hard to ask."""

from pathlib import Path

import pytest

from run_processes import TESTS, THALWEG, ended, start
from tiny_runs import lines, recipe, tensor_files, weights_differ

CURIOUS = [*THALWEG, "-p", str(TESTS / "curious_objective.py"), "train"]
QUICK = ["objectives.curious.weight=0.3", "training.optimizer.lr=0.003", "--device", "cpu"]
"""Fast enough for derivatives to be worth a comparison."""

BFLOAT16 = "training.precision=bf16-mixed"
COMPILED = "training.compile=on"
CHECKPOINTING = "backbone.checkpointing=true"


def trained(*arguments: str | Path) -> str:
    """Train; what was said."""
    code, _, said = ended(start([*CURIOUS, *map(str, arguments)]), timeout=300)
    assert code == 0, said
    assert "arning" not in said
    return said


@pytest.mark.parametrize(
    ("strategy", "more", "close"),
    [
        ("ddp", [], 1e-5),
        ("fsdp", [BFLOAT16, CHECKPOINTING], 1e-3),
        ("fsdp", [COMPILED], 1e-4),
    ],
)
def test_two_processes_that_ask_again_train_like_one(
    tmp_path: Path, strategy: str, more: list[str], close: float
) -> None:
    path = recipe(tmp_path, steps=5, max_grad_norm=0.3)
    trained(path, *QUICK, *more, "--devices", "2", "--strategy", strategy, "--run-dir", tmp_path / "two")
    trained(path, *QUICK, *more, "training.accumulate=2", "--run-dir", tmp_path / "one")
    for two, one in zip(lines(tmp_path / "two"), lines(tmp_path / "one"), strict=True):
        assert two == pytest.approx(one, rel=10 * close, abs=close)
    assert lines(tmp_path / "one")[-1]["curious/tangent"] > 1e-6
    assert lines(tmp_path / "one")[-1]["curious/averaged"] > 1e-6
    assert weights_differ(tmp_path / "two", tmp_path / "one") < close


@pytest.mark.parametrize("more", [[BFLOAT16], [COMPILED, CHECKPOINTING]], ids=" ".join)
def test_a_run_that_asks_again_resumes_to_the_bit(tmp_path: Path, more: list[str]) -> None:
    path, whole, halves = recipe(tmp_path, steps=5), tmp_path / "whole", tmp_path / "halves"
    trained(path, *QUICK, *more, "--run-dir", whole)
    trained(path, *QUICK, *more, "training.steps=2", "--run-dir", halves)
    trained(path, *QUICK, *more, "--run-dir", halves)
    assert tensor_files(whole) == tensor_files(halves)
    assert lines(whole)[2:] == [line for line in lines(halves) if line["step"] > 2]
