"""Schedules of the learning rate: their values, the rates that runs log, and resumed runs."""

import math
from pathlib import Path

import pytest
import torch

from thalweg import Trainer
from thalweg.config import FaultyConfigError, component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.schedules.constant import Constant
from thalweg.schedules.cosine import CosineDecay
from thalweg.schedules.linear import LinearDecay
from thalweg.schedules.warmup import Warmup
from tiny_runs import lines, tensor_files, tiny


def train(folder: Path, **training: object) -> Path:
    Trainer(tiny(**training), folder, accelerator="cpu", quiet=True).train()
    return folder


def test_values() -> None:
    assert [Constant()(step, 9) for step in range(9)] == [1.0] * 9
    assert [Warmup(4)(step, 9) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    linear = LinearDecay(2, 0.2)
    assert [linear(step, 10) for step in range(10)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    )
    cosine = CosineDecay(2, 0.2)
    assert [cosine(step, 10) for step in (0, 1, 2, 6, 10)] == pytest.approx([0.5, 1.0, 1.0, 0.6, 0.2])
    assert cosine(4, 10) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    # Beyond the end, and where warm-up takes all of a run.
    assert (cosine(99, 10), linear(99, 10)) == (pytest.approx(0.2), pytest.approx(0.2))
    assert [CosineDecay(20, 0.0)(step, 10) for step in (0, 9)] == pytest.approx([0.05, 0.5])


@pytest.mark.parametrize("total", [1, 7, 100])
def test_the_cosine_is_torchs(total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total, eta_min=0.1)
    for step in range(total):
        assert CosineDecay(0, 0.1)(step, total) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"type": "warmup", "steps": 0}, "steps"),
        ({"type": "cosine", "final": 1.5}, "final"),
        ({"type": "linear", "warmup": -1}, "warmup"),
        ({"type": "cosine", "warmup": 2.5}, "warmup"),
        ("cosin", "did you mean 'cosine'"),
    ],
)
def test_bad_schedules_are_refused(table: object, said: str) -> None:
    with pytest.raises(FaultyConfigError, match=said):
        component("schedule", table)


def test_the_rate_of_each_step_is_logged_and_used(tmp_path: Path) -> None:
    train(tmp_path, schedule={"type": "linear", "warmup": 2, "final": 0.5}, validate_every=0)
    schedule = component("schedule", {"type": "linear", "warmup": 2, "final": 0.5}).build(
        Facts(shape=(1, 8, 8))
    )
    found = [line["lr"] for line in lines(tmp_path)]
    assert found == [0.001 * schedule(step, 6) for step in range(6)]


def test_a_constant_factor_is_the_optimisers_own_rate(tmp_path: Path) -> None:
    train(tmp_path / "half", schedule={"type": "cosine", "final": 1.0}, optimizer={"lr": 0.0005})
    train(tmp_path / "constant", optimizer={"lr": 0.0005})
    assert tensor_files(tmp_path / "half") == tensor_files(tmp_path / "constant")


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "warmup", "steps": 5},
        {"type": "cosine", "warmup": 2, "final": 0.1},
        {"type": "linear", "warmup": 1},
    ],
    ids=["warmup", "cosine", "linear"],
)
@pytest.mark.parametrize("optimizer", [{"lr": 0.01}, {"type": "muon"}], ids=["adamw", "muon"])
def test_a_resumed_run_is_the_uninterrupted_one(
    tmp_path: Path, schedule: dict[str, object], optimizer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"schedule": schedule, "optimizer": optimizer, "checkpoint_every": 3}
    train(tmp_path / "once", **settings)

    def stopped(path: Path) -> None:
        from thalweg.training.loop import TrainingLoop

        advance = TrainingLoop._report

        def report(self: TrainingLoop) -> object:
            found = advance(self)
            if self._state.step == 4:
                raise KeyboardInterrupt
            return found

        with monkeypatch.context() as patched:
            patched.setattr(TrainingLoop, "_report", report)
            with pytest.raises(KeyboardInterrupt):
                train(path, **settings)

    stopped(tmp_path / "twice")
    assert not (tmp_path / "twice" / "model").exists()
    train(tmp_path / "twice", **settings)
    assert tensor_files(tmp_path / "twice") == tensor_files(tmp_path / "once")
    assert lines(tmp_path / "twice") == lines(tmp_path / "once")


@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_a_schedule_of_the_length_binds_it(tmp_path: Path, kind: str) -> None:
    train(tmp_path, steps=4, schedule=kind)
    with pytest.raises(
        ConfigError,
        match=rf"training.steps is 8 and was 4, and the learning rates of training.schedule '{kind}' dep",
    ):
        train(tmp_path, steps=8, schedule=kind)
    assert train(tmp_path, steps=4, schedule=kind, log_every=3)


def test_a_schedule_of_the_step_alone_lets_a_run_grow(tmp_path: Path) -> None:
    schedule = {"type": "warmup", "steps": 5}
    train(tmp_path / "grown", steps=4, schedule=schedule, validate_every=0)
    train(tmp_path / "grown", steps=6, schedule=schedule, validate_every=0)
    train(tmp_path / "once", steps=6, schedule=schedule, validate_every=0)
    assert tensor_files(tmp_path / "grown") == tensor_files(tmp_path / "once")


def test_a_plain_function_is_a_schedule():
    def halved(step, total):
        return 0.5

    assert component("schedule", halved) is halved
