"""What the time of a run is spent on, by a clock that moves only where the test moves it."""

import json

import pytest

from thalweg.cli.main import main
from thalweg.training import loop, progress
from thalweg.training.checkpointing import CheckpointWriter
from thalweg.training.progress import BESIDE, TRAINING, Clock, times_in_words
from thalweg.training.step import TrainingStep
from thalweg.training.trainer import Trainer
from thalweg.training.validation import SampleGrid, Validation
from tiny_runs import recipe, tiny

COSTS = {TrainingStep: 1.0, Validation: 100.0, SampleGrid: 1_000.0}
SAVING = 10_000.0


class Time:
    """Stands still unless it is moved on."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    """A step takes 1 s, a validation 100, a grid 1,000, a save 10,000, and everything else nothing."""
    moved = Time()
    for module in (progress, loop):
        monkeypatch.setattr(module, "time", moved)
    for cls, cost in COSTS.items():
        monkeypatch.setattr(cls, "__call__", _dearer(moved, cls.__call__, cost))
    monkeypatch.setattr(CheckpointWriter, "save", _dearer(moved, CheckpointWriter.save, SAVING))
    return moved


def _dearer(time, known, cost):
    def called(self, *arguments, **named):
        time.now += cost
        return known(self, *arguments, **named)

    return called


def train(folder, **training):
    return Trainer(tiny(**training), folder, accelerator="cpu", quiet=True).train()


def newest(folder):
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


def saved(folder, step):
    return json.loads((folder / f"checkpoints/step-{step:08d}/state.json").read_text())["seconds"]


EVENTS = {"validate_every": 4, "sample_every": 3, "checkpoint_every": 2, "async_checkpoints": False}


def test_seconds_of_training_are_of_steps_alone_and_the_rest_is_told_by_name(time, tmp_path):
    result = train(tmp_path / "run", **EVENTS)
    assert result.seconds == 6.0
    assert result.beside["validation"] == 200.0  # after steps 4 and 6
    assert result.beside["samples"] == 2_000.0  # after steps 3 and 6
    assert result.beside["checkpoints"] == 3 * SAVING
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in lines] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert {line["images_per_second"] for line in lines} == {16.0}, "of training, as the seconds are"
    # A line is written when the validation and the grid of its step are done, and before its checkpoint.
    assert (lines[-1]["seconds/validation"], lines[-1]["seconds/samples"]) == (200.0, 2_000.0)
    assert lines[-1]["seconds/checkpoints"] == 2 * SAVING
    assert {f"seconds/{what}" for what in BESIDE} <= lines[-1].keys()


def test_seconds_resume_where_the_checkpoint_was_whatever_was_lost(time, tmp_path, monkeypatch):
    stepped = TrainingStep.__call__

    def killed(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return stepped(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", **EVENTS)
    assert saved(tmp_path / "run", 4)["training"] == 4.0
    assert newest(tmp_path / "run")["seconds"] == 5.0
    time.now += 500.0  # nobody trains meanwhile
    result = train(tmp_path / "run", **EVENTS)
    assert (result.seconds, newest(tmp_path / "run")["seconds"]) == (6.0, 6.0)
    assert result.beside["validation"] == 200.0
    assert train(tmp_path / "run", **EVENTS).seconds == 6.0, "a run that is complete costs no more"


def test_a_first_step_that_compiles_is_starting_up(time, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_pays", lambda *_: True)
    monkeypatch.setattr("thalweg.network.FlowNetwork.compile_regions", lambda _: None)
    result = train(tmp_path / "run", sample_every=0, validate_every=0)
    assert (result.seconds, result.beside["start_up"]) == (5.0, 1.0)
    assert "images_per_second" not in json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])


def test_what_stands_within_something_else_is_counted_once(monkeypatch):
    time = Time()
    monkeypatch.setattr(progress, "time", time)
    found = Clock({TRAINING: 7.0})
    with found.on(TRAINING):
        time.now += 1.0
        with found.on("checkpoints"):
            time.now += 20.0
        time.now += 2.0
    time.now += 0.5
    found.add("start_up", 4.0)
    spent = found.spent
    assert spent.pop(TRAINING) == 10.0
    assert spent == {"start_up": 4.0, "checkpoints": 20.0, "logging": 0.5, "validation": 0.0, "samples": 0.0}


def test_an_error_inside_ends_what_was_counted(monkeypatch):
    time = Time()
    monkeypatch.setattr(progress, "time", time)
    found = Clock({})

    def fails():
        with found.on(TRAINING):
            time.now += 1.0
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fails()
    time.now += 1.0
    assert found.spent[TRAINING] == 1.0


def test_in_words():
    assert times_in_words({TRAINING: 16.0, "samples": 224.3, "validation": 1.25, "logging": 0.01}) == (
        "16.0 s for training, besides 224 s for sample grids, 1.2 s for validation"
    )
    assert times_in_words({TRAINING: 3.0}) == "3.0 s for training"


def test_the_command_says_what_the_time_went_to(tmp_path, capsys):
    assert main(["train", str(recipe(tmp_path)), "--run-dir", str(tmp_path / "run")]) == 0
    assert "s for training" in capsys.readouterr().err


def test_loggers_get_the_same_seconds(tmp_path):
    config = tiny(top={"loggers": {"csv": {}}})
    Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    told = (tmp_path / "run/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"seconds", "seconds/samples", "seconds/checkpoints"} <= set(told)
