"""Strangers' methods, one file each, which know nothing of ours but ``thalweg``.

Each file is trained with, sampled from and checked by commands in processes of their own.
"""

import ast
import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from run_processes import ONE_THREAD
from thalweg.config import to_toml
from tiny_runs import TINY, TRAINING
from warm_process import Warm, warm

HERE = Path(__file__).parent
LONGEST = 60
FOREIGN = {"attrs", "collections", "math", "scipy", "thalweg", "torch"}


@attrs.frozen
class Stranger:
    """A file, and how a recipe uses it."""

    file: str
    kind: str
    name: str
    overrides: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is."""
        return HERE / self.file


STRANGERS = (
    Stranger("growing_guidance.py", "guidance", "growing", ("sampling.guidance=growing",)),
    Stranger("weak_to_strong.py", "objective", "led_away", ("objectives={led_away={}}",)),
    Stranger("layer_sync.py", "objective", "leaning", ("objectives.leaning={}", "backbone.depth=4")),
    Stranger("dispersive.py", "objective", "apart", ("objectives.apart={}",)),
    Stranger("transport.py", "planner", "transport", ("plan=transport", "objectives.acceleration=none")),
    Stranger("told_gate.py", "refiner", "told_gate", ("refiner=told_gate", "objectives.acceleration=none")),
)
by_file = pytest.mark.parametrize("stranger", STRANGERS, ids=lambda one: one.file)


@pytest.fixture(scope="module")
def process() -> Iterator[Warm]:
    """Runs each command in a process of its own."""
    with warm(ONE_THREAD) as one:
        yield one


def told(process: Warm, stranger: Stranger, *command: str | Path) -> None:
    """A command that is given the file."""
    code, printed = process.run(["thalweg", "-p", str(stranger.path), *map(str, command)], HERE)
    assert code == 0, printed


@by_file
def test_a_stranger_is_short_and_imports_thalweg_alone(stranger: Stranger) -> None:
    text = stranger.path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    imported = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.Import | ast.ImportFrom)]
    names = {
        name
        for one in imported
        for name in ([one.module] if isinstance(one, ast.ImportFrom) else [alias.name for alias in one.names])
    }
    assert {str(name).partition(".")[0] for name in names} <= FOREIGN
    # No inner room of ours: what a stranger needs stands at the door.
    assert not any(str(name).startswith("thalweg.") for name in names)


@by_file
def test_a_stranger_trains_is_sampled_and_comes_back(
    stranger: Stranger, process: Warm, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(to_toml({**TINY, "training": {**TRAINING, "steps": 30, "checkpoint_every": 30}}))
    run = tmp_path / "run"
    told(process, stranger, "train", recipe, *stranger.overrides, "--run-dir", run, "--quiet")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 30
    assert lines[-1]["velocity" if stranger.name != "led_away" else "led_away"] < 10
    if stranger.kind == "objective":
        assert stranger.name in lines[-1]
    digest = hashlib.sha256(stranger.path.read_bytes()).hexdigest()
    recorded = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))["plugin_files"]
    assert recorded[stranger.file]["sha256"] == digest
    assert recorded[stranger.file]["components"] == [f"{stranger.kind} {stranger.name}"]
    told(process, stranger, "sample", run, tmp_path / "drawn", "count=4")
    described = json.loads((run / "model" / "model.json").read_text())
    if stranger.kind == "refiner":
        assert described["composition"]["refiner"]["type"] == stranger.name
    # Without the file it is said which one is missing; a network that has no part of it needs none.
    again = ["thalweg", "train", str(run / "config.toml"), "--run-dir", str(tmp_path / "other")]
    code, said = process.run(again, tmp_path)
    assert code in (2, 3)
    assert stranger.file in said


@by_file
def test_a_stranger_keeps_the_rules_of_its_kind(stranger: Stranger, process: Warm) -> None:
    told(process, stranger, "plugins", "check", stranger.kind, stranger.name)
