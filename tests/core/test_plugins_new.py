"""Packages that ``thalweg plugins new`` writes: they install, pass their own tests and are listed at once."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from plugin_makers import site_at
from thalweg.authoring.writing import new_plugin, template_kinds
from thalweg.cli.main import cli
from thalweg.errors import ConfigError
from thalweg.plugins import KINDS


def name_of(kind):
    return f"{kind}_of_mine"


def installed(parent, kinds):
    """Packages of these kinds, installed into a folder beside them; the environment that sees them."""
    site = parent / "site"
    site.mkdir()
    sources = []
    with site_at(site) as made:
        for kind in kinds:
            folder = new_plugin(name_of(kind), kind, parent)
            module = f"thalweg_{name_of(kind)}.plugin"
            metadata = f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0.1.0\n"
            made.dist_info(folder.name, f"[thalweg]\n{name_of(kind)} = {module}\n", metadata)
            sources.append(str(folder / "src"))
    path = os.pathsep.join([str(site), *sources, *sys.path])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def test_there_is_a_template_of_every_kind_that_is_used():
    assert set(template_kinds()) == set(KINDS)


def test_a_package_of_every_kind_passes_its_own_tests_and_is_listed(tmp_path):
    environment = installed(tmp_path, template_kinds())
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    folders = [
        str(tmp_path / f"thalweg-{name_of(kind).replace('_', '-')}" / "tests") for kind in template_kinds()
    ]
    # An ini file of its own, as the packages' would be another one each.
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    tested = subprocess.run(
        [*run, "-c", str(tmp_path / "pytest.ini"), *folders],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert tested.returncode == 0, tested.stdout[-6000:]
    listing = [sys.executable, "-m", "thalweg", "plugins", "list", "--json"]
    done = subprocess.run(listing, capture_output=True, text=True, env=environment, check=True)
    said = json.loads(done.stdout)
    assert said["faults"] == []
    assert {(one["kind"], one["name"]) for one in said["components"]} >= {
        (kind, name_of(kind)) for kind in template_kinds()
    }


def test_a_package_installs_with_pip_and_is_sound(tmp_path):
    folder = new_plugin("midway", "sampler", tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        "pyproject.toml",
        "README.md",
        ".gitignore",
        ".github",
        "src",
        "tests",
    }
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(target), str(folder)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), *sys.path])}
    check = [sys.executable, "-m", "thalweg", "plugins", "check", "midway", "--json"]
    done = subprocess.run(check, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {one["result"] for one in json.loads(done.stdout)} == {"kept"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Gated-LoRA", "such as 'gated_lora'"),
        ("thalweg-gated", "such as 'gated'"),
        ("2fast", "such as 'fast'"),
        ("class", "module's name"),
        ("none", "module's name"),
        ("a b", "such as 'a_b'"),
        ("../out", "such as 'out'"),
        ("", "module's name"),
        ("é", "module's name"),
    ],
)
def test_a_name_that_is_no_identifier_is_refused(name, hint, tmp_path):
    done = CliRunner().invoke(cli, ["plugins", "new", name, "--kind", "refiner", "--into", str(tmp_path)])
    assert isinstance(done.exception, ConfigError)
    assert hint in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("vera", "refiner", "registered by thalweg-refiners 0.1.0 already; choose another name"),
        ("refiners", "sampler", "a plugin 'refiners' is installed by thalweg-refiners 0.1.0 already"),
        ("mine", "refinre", "did you mean 'refiner'?"),
        ("mine", "spoon", "known: autoencoder, backbone"),
    ],
)
def test_what_is_taken_or_unknown_is_refused(name, kind, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason.replace("?", r"\?")):
        new_plugin(name, kind, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "thalweg-mine").mkdir()
    with pytest.raises(ConfigError, match="is there already; choose another name"):
        new_plugin("mine", "refiner", tmp_path)
    assert list((tmp_path / "thalweg-mine").iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="cannot be written"):
        new_plugin("mine", "refiner", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
