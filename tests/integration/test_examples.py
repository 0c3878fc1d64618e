"""The plugin under examples/, installed as a stranger's would be.

``.ci/examples`` checks every rule of it, runs its own tests and trains it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg_eval.ablation.config import read_ablation

ROOT = Path(__file__).parents[2]
ABLATION = ROOT / "recipes" / "ablations" / "examples-digits.toml"
COMPONENTS = {"backbone": "uvit", "sampler": "adams_bashforth"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One in which it is installed, and nothing of ours but what it may use."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    example = str(ROOT / "examples" / "thalweg-uvit")
    subprocess.run([*pip, str(site), example], check=True, capture_output=True)
    path = os.pathsep.join([str(site), *sys.path])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def thalweg(environment, *words):
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", *words], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_components_are_listed_and_keep_the_quick_rules(environment):
    listed = json.loads(thalweg(environment, "plugins", "list", "--json"))
    assert listed["faults"] == []
    ours = {
        one["kind"]: one["name"]
        for one in listed["components"]
        if one["module"].startswith("thalweg_") and one["distribution"] == "thalweg-uvit"
    }
    assert ours == COMPONENTS
    rules = [
        "its_plugin_module_is_light",
        "the_process_is_left_alone",
        "its_config_survives_being_written_and_read",
    ]
    words = [word for rule in rules for word in ("--rule", rule)]
    found = json.loads(thalweg(environment, "plugins", "check", "thalweg-uvit", *words, "--json"))
    assert [one["result"] for one in found] == 6 * ["kept"]


def test_the_ablation_compares_what_is_trained_with_vera():
    cells = read_ablation(ABLATION).cells
    stated = " ".join(override for cell in cells for override in cell.overrides)
    assert cells[0].name == "VeRA"
    # A sampler is not trained, and the protocol samples all networks by its own.
    assert all(name in stated for name in (COMPONENTS["backbone"], "refiner=gated"))


def test_it_needs_core_alone_and_nothing_needs_it():
    for file in (ROOT / "examples" / "thalweg-uvit" / "src").rglob("*.py"):
        for sibling in ("backbones", "refiners", "samplers", "eval", "authoring"):
            assert f"thalweg_{sibling}" not in file.read_text(), file
    for file in [*(ROOT / "packages").rglob("*.py"), *(ROOT / "packages").rglob("*.toml")]:
        assert "uvit" not in file.read_text(), file
