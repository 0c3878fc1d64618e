"""Callers in Python get a sentence too: which argument, what was given, what is expected; nothing is left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from argument_mistakes import mistakes, rights

TESTS = Path(__file__).parents[1]
RECIPE = TESTS.parent / "recipes" / "digits-deepflow-2t.toml"


def place(folder):
    (folder / "recipe.toml").write_text(f'base = "{RECIPE.as_posix()}"\n', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def came(tmp_path_factory):
    """What came of each mistake and of each right, by its name."""
    folder = place(tmp_path_factory.mktemp("arguments"))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    script = [sys.executable, "-m", "argument_mistakes", str(folder)]
    done = subprocess.run(script, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        what: {name: rest for kind, name, *rest in lines if kind == what} for what in ("mistake", "right")
    }


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = place(tmp_path_factory.mktemp("names"))
    return [one.name for one in mistakes(folder)], list(rights(folder))


def test_every_mistake_is_told_in_one_sentence(came, names):
    assert len(names[0]) == len(set(names[0])) >= 35
    assert list(came["mistake"]) == names[0]
    faults = []
    for name, (kind, said, parts, left) in came["mistake"].items():
        if kind != "ThalwegError" or "\n" in said or left or any(part not in said for part in parts):
            faults.append(f"{name}: {kind or 'nothing is raised'}: {said!r}, expected {parts}, left {left}")
    assert not faults, "\n".join(faults)


def test_what_is_no_mistake_is_let_through(came, names):
    assert came["right"] == {name: ["True"] for name in names[1]}
