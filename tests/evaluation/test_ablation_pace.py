"""Equal seconds: what is measured, the steps that follow from it, and that they are kept."""

import json
import tempfile

import attrs
import pytest

from thalweg.config import to_toml
from thalweg.errors import ConfigError, DataError
from thalweg.training.loop import TrainingLoop
from thalweg.training.trainer import Trainer
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.measuring import ROUNDS, TIMED, WARM_UP, measure
from thalweg_eval.ablation.pace import Pace, PacedCell, Phase, paced_cell
from thalweg_eval.ablation.planning import plan
from thalweg_eval.ablation.running import run
from tiny_ablations import AXIS, PROTOCOL
from tiny_runs import recipe, tiny

TWO = Pace((Phase(0, 2.0, (1.0, 3.0)), Phase(10, 0.5, (0.4, 0.6))))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def simple(seconds):
    return Pace((Phase(0, seconds, (seconds, seconds)),))


@pytest.mark.parametrize(("steps", "seconds"), [(1, 2.0), (10, 20.0), (11, 20.5), (30, 30.0)])
def test_seconds_of_phases_add_up(steps, seconds):
    assert TWO.seconds(steps) == seconds
    assert TWO.steps(seconds) == steps


@pytest.mark.parametrize(("seconds", "steps"), [(0.1, 1), (3.9, 1), (19.9, 9), (20.4, 10), (20.99, 11)])
def test_as_many_steps_as_fit_and_at_least_one(seconds, steps):
    assert TWO.steps(seconds) == steps


@pytest.mark.parametrize("seconds", [0.1, 1 / 3, 0.0123])
def test_steps_of_the_same_seconds_are_as_many_whatever_the_rounding(seconds):
    for steps in (1, 7, 400, 99_999):
        assert simple(seconds).steps(simple(seconds).seconds(steps)) == steps


def test_what_was_measured_is_read_as_it_was_written():
    cell = PacedCell(TWO, 17, "a machine", "2026-11-29T10:00:00+00:00")
    assert paced_cell(json.loads(json.dumps(cell.plain()))) == cell
    for faulty in ({}, {**cell.plain(), "steps": 0}, {**cell.plain(), "pace": {"phases": []}}):
        with pytest.raises(DataError, match="seconds of a step is damaged"):
            paced_cell(faulty)


@pytest.fixture
def clockwork(monkeypatch):
    """Steps that take what a table says, by width of the network; who was timed, in order."""
    timed = []

    def time_steps(loop, first, count):
        width = loop._network.facts.width
        timed.append((width, first, count))
        return [99.0] * WARM_UP + [SECONDS[width] * SPEED[0]] * (count - WARM_UP)

    monkeypatch.setattr(TrainingLoop, "time_steps", time_steps)
    monkeypatch.setitem(SECONDS, 16, 0.1)
    SPEED[0] = 1.0
    return timed


SECONDS = {16: 0.1, 24: 0.25, 32: 0.04}
SPEED = [1.0]


def test_cells_are_visited_to_and_fro_and_warm_up_is_left_out(clockwork):
    wide = tiny(top={"backbone": {"type": "dit", "patch": 4, "width": 24, "depth": 2, "heads": 2}}, steps=40)
    found = measure([tiny(steps=40), wide], lambda _: None)
    assert [one.phases[0].seconds for one in found] == [0.1, 0.25]
    assert [width for width, *_ in clockwork] == [16, 24, 24, 16] * (ROUNDS // 2)
    assert {count for *_, count in clockwork} == {WARM_UP + TIMED}
    assert len({first for _, first, _ in clockwork}) > 1, "other data at every visit"


def test_a_run_has_a_phase_where_an_objective_stops(monkeypatch):
    class Stopping:
        weight, stop_after = 1.0, 30

        def __init__(self, inner):
            self._inner = inner

        def __call__(self, step):
            return self._inner(step)

    visits = []
    monkeypatch.setattr(
        TrainingLoop,
        "time_steps",
        lambda _, first, count: visits.append((first, count)) or [first + 1.0] * count,
    )
    build = Trainer.__init__

    def with_a_stop(self, *args, **more):
        build(self, *args, **more)
        objectives = dict(self.components.objectives)
        objectives["acceleration"] = Stopping(objectives["acceleration"])
        self.components = attrs.evolve(self.components, objectives=objectives)

    monkeypatch.setattr(Trainer, "__init__", with_a_stop)
    (found,) = measure([tiny(steps=32)], lambda _: None)
    assert [one.first for one in found.phases] == [0, 30]
    assert all(first + count <= 30 or (first, count) == (30, 2) for first, count in visits)


def test_real_steps_are_timed_and_nothing_of_the_run_is_kept(tmp_path):
    trainer = Trainer(tiny(steps=5), tmp_path, devices=1, quiet=True)
    weights = [one.detach().clone() for one in trainer.components.network.parameters()]
    with trainer.rehearsed() as loop:
        seconds = loop.time_steps(1, 3)
    assert len(seconds) == 3
    assert min(seconds) > 0
    assert any(
        (one != old).any() for one, old in zip(trainer.components.network.parameters(), weights, strict=True)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert not (tmp_path / "metrics.jsonl").read_text()


def asked(tmp_path, more="", **options):
    (tmp_path / "moment.toml").write_text(to_toml(PROTOCOL))
    recipe(tmp_path, steps=4, validate_every=0)
    file = tmp_path / "seconds.toml"
    file.write_text(
        f'recipe = "tiny.toml"\nseeds = 1\nequal = "seconds"\n'
        f'[evaluation]\nprotocol = "{tmp_path}/moment.toml"\n'
        f'[cells]\n"16" = []\n"24" = ["backbone.width=24"]\n"noise" = ["sampling.seed=5"]\n{more}'
    )
    return read_ablation(file, **options)


def test_cells_get_the_steps_that_fit_and_keep_them_when_resumed_and_extended(tmp_path, clockwork):
    out, said = tmp_path / "out", []
    found = run(asked(tmp_path), out, said.append)
    assert [cell["steps"] for cell in found["cells"]] == [4, 1, 4], "0.4 s are 1.6 steps of 0.25 s"
    assert {width for width, *_ in clockwork} == {16, 24}, (
        "cells that share a network share what was measured"
    )
    assert [cell["paced"]["pace"]["phases"][0]["seconds"] for cell in found["cells"]] == [0.1, 0.25, 0.1]
    assert [len(cell["runs"][0]["scored"]) for cell in found["cells"]] == [1, 1, 1]
    table = (out / "table.md").read_text()
    assert "Steps of each: 16: 4; 24: 1." in table
    assert "16: 0.1000 (0.1000 to 0.1000); 24: 0.2500 (0.2500 to 0.2500)" in table
    trained = {path: path.read_bytes() for path in out.rglob("metrics.jsonl")}

    clockwork.clear()
    SPEED[0] = 3.0  # another machine, three times slower: what is there already stays as it is
    assert run(asked(tmp_path), out, said.append)["cells"] == found["cells"]
    assert clockwork == []
    more = run(asked(tmp_path, '"32" = ["backbone.width=32"]'), out, said.append)
    assert {width for width, *_ in clockwork} == {16, 32}, "the new one is measured beside the first"
    assert [cell["steps"] for cell in more["cells"]] == [4, 1, 4, 10]
    assert more["cells"][3]["paced"]["pace"]["phases"][0]["seconds"] == pytest.approx(0.04)
    assert {path: path.read_bytes() for path in trained} == trained


def test_equal_seconds_train_as_equal_steps_of_the_same_number_do(tmp_path, clockwork, monkeypatch):
    monkeypatch.setitem(SECONDS, 16, 0.25)
    (tmp_path / "moment.toml").write_text(to_toml(PROTOCOL))
    one = recipe(tmp_path, steps=3, validate_every=0)
    options = {"axes": (AXIS,), "protocol": f"{tmp_path}/moment.toml", "seeds": 1}
    by = {
        equal: run(read_ablation(one, equal=equal, **options), tmp_path / equal, print)
        for equal in ("steps", "seconds")
    }
    for ours, theirs in zip(by["seconds"]["cells"], by["steps"]["cells"], strict=True):
        assert ours["steps"] == theirs["steps"] == 3
        assert ours["numbers"] == theirs["numbers"]
    assert by["steps"]["cells"][0]["paced"] is None


def test_cells_that_differ_in_steps_alone_are_alike(tmp_path):
    file = tmp_path / "alike.toml"
    recipe(tmp_path)
    file.write_text('recipe = "tiny.toml"\nequal = "seconds"\n[cells]\na = []\nb = ["training.steps=9"]\n')
    with pytest.raises(ConfigError, match="are trained and scored alike"):
        plan(read_ablation(file), tmp_path / "out")


def test_too_few_steps_for_all_evaluations_are_refused_before_any_training(tmp_path, clockwork):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="cell '24': a run of 1 steps cannot be scored 2 times"):
        run(asked(tmp_path, times=2), out, print)
    assert not list(out.rglob("metrics.jsonl"))
    assert len(json.loads((out / "ablation.json").read_text())["paced"]) == 3


def test_nothing_is_left_where_it_was_measured(tmp_path, clockwork, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    measure([tiny(steps=8)], lambda _: None)
    assert clockwork
    assert list(tmp_path.iterdir()) == []
