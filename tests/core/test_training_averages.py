"""EMA weights of whole runs: their warm-up, what is said before it starts, and how it resumes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import thalweg
from thalweg import Trainer
from thalweg.averages.ema import decay_at
from thalweg.cli.main import main
from tiny_runs import lines, recipe, tensor_files, tiny


def train(folder: Path, **training: object) -> Path:
    result = Trainer(tiny(**training), folder, accelerator="cpu", quiet=True).train()
    assert result.model is not None
    return result.model


def weights(path: Path) -> dict[str, torch.Tensor]:
    return thalweg.load(path).state_dict()


def relative(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    squares = [
        (float((one[name] - other[name]).square().sum()), float(other[name].square().sum())) for name in one
    ]
    differences, sizes = map(sum, zip(*squares, strict=True))
    return float((differences / sizes) ** 0.5)


def test_by_default_the_average_of_a_short_run_follows_its_weights(tmp_path: Path) -> None:
    # Trained weights, averages with warm-up, and with the constant decay of runs a thousand times as long.
    settings = {
        "steps": 30,
        "optimizer": {"lr": 0.01},
        "average": {"decay": 0.9999},
        "validate_every": 0,
        "log_every": 10,
    }
    untrained = Trainer(tiny(**settings), tmp_path / "no", accelerator="cpu").components.network.state_dict()
    trained = weights(train(tmp_path / "weights", **{**settings, "average": {"decay": 0.0}}))
    default = weights(train(tmp_path / "default", **settings))
    constant = weights(
        train(tmp_path / "constant", **{**settings, "average": {"decay": 0.9999, "warmup": False}})
    )
    whole = relative(untrained, trained)
    assert relative(default, trained) < 0.25 * whole
    assert relative(constant, trained) > 0.95 * whole


def test_warm_up_is_that_of_the_step_also_when_a_run_resumes_and_accumulates(tmp_path: Path) -> None:
    settings = {"average": {"decay": 0.9999}, "checkpoint_every": 2}
    once = train(tmp_path / "once", steps=6, **settings)
    train(tmp_path / "twice", steps=3, **settings)
    train(tmp_path / "twice", steps=6, **settings)
    assert tensor_files(tmp_path / "twice") == tensor_files(tmp_path / "once")
    assert lines(tmp_path / "twice")[-1] == lines(tmp_path / "once")[-1]
    in_parts = train(tmp_path / "parts", steps=6, **settings, accumulate=2, optimizer={"lr": 1e-9})
    whole = train(tmp_path / "whole", steps=6, **settings, optimizer={"lr": 1e-9})
    for name, one in weights(in_parts).items():
        # Weights that hardly move, so that only the decay could tell the two apart.
        torch.testing.assert_close(one, weights(whole)[name], rtol=0, atol=1e-7)
    assert once.is_dir()


def test_the_weight_of_each_step_is_that_of_its_number(tmp_path: Path) -> None:
    def state(step: int, group: str) -> dict[str, torch.Tensor]:
        return load_file(tmp_path / "checkpoints" / f"step-{step:08d}" / f"{group}.safetensors")

    train(tmp_path, steps=4, average={"decay": 0.9999}, checkpoint_every=1, keep=4)
    for step in (1, 2, 3):
        before, after, weight = state(step, "ema"), state(step + 1, "ema"), state(step + 1, "network")
        decay = decay_at(step, 0.9999, warmup=True)
        assert decay == (1 + step) / (10 + step)
        for name, one in after.items():
            torch.testing.assert_close(one, decay * before[name] + (1 - decay) * weight[name])


@pytest.mark.parametrize(
    ("settings", "said", "warned"),
    [
        (
            ["training.average.decay=0.9999"],
            "over about the last 2 steps (decay 0.9999, with warm-up)",
            False,
        ),
        (
            ["training.average.decay=0.9999", "training.average.warmup=false"],
            "over about the last 10,000 steps (decay 0.9999)",
            True,
        ),
        (
            ["training.average.decay=0.2", "training.average.warmup=false"],
            "over about the last step (decay 0.2)",
            False,
        ),
        (["training.average.decay=0"], "none, the weights themselves", False),
    ],
    ids=["warm-up", "constant", "fitting", "none"],
)
def test_what_is_averaged_is_said_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], said: str, warned: bool
) -> None:
    command = ["train", str(recipe(tmp_path)), "--device", "cpu", "--run-dir", str(tmp_path / "run")]
    assert main([*command, *settings, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert said in printed.out
    warning = "warning: after 6 steps 100% of the EMA weights"
    assert (warning in printed.err) == warned
    assert not (tmp_path / "run").exists()
