"""Packages that ``thalweg plugins new`` writes: they install, pass their own tests and are listed at once."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from plugin_makers import site_at
from thalweg.cli.main import cli
from thalweg.errors import ConfigError
from thalweg.plugins import KINDS
from thalweg_authoring.scaffold import new_plugin, template_kinds
from warm_process import warm


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


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """One of each kind, installed together; where they are, and the environment that sees them."""
    parent = tmp_path_factory.mktemp("packages")
    return parent, installed(parent, template_kinds())


def test_all_of_them_are_listed(packages):
    _, environment = packages
    listing = [sys.executable, "-m", "thalweg", "plugins", "list", "--json"]
    done = subprocess.run(listing, capture_output=True, text=True, env=environment, check=True)
    said = json.loads(done.stdout)
    assert said["faults"] == []
    assert {(one["kind"], one["name"]) for one in said["components"]} >= {
        (kind, name_of(kind)) for kind in template_kinds()
    }


def commands_of(readme):
    """The commands that a package's README names, in its order."""
    return [line.strip() for line in re.findall(r"^    (?! ).*$", readme.read_text(), re.MULTILINE)]


@pytest.fixture(scope="module")
def typed(packages):
    """Types a command in a folder, in the environment that sees all of them."""
    environment = {**packages[1], "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    with warm(environment, "-W", "error") as process:
        yield lambda command, folder: process.run(shlex.split(command), folder)


@pytest.mark.parametrize("kind", template_kinds())
def test_what_its_readme_names_runs(kind, packages, typed):
    """As an author types it, but for the installation, which the fixture has made without a network."""
    parent, _ = packages
    folder = parent / f"thalweg-{name_of(kind).replace('_', '-')}"
    install, *commands = commands_of(folder / "README.md")
    assert install == 'pip install -e ".[test]"'
    extras = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "test"
    ]
    for one in map(Requirement, extras):
        assert one.specifier.contains(version(one.name)), f"{one} is not what the tests run with"
    assert {command.split()[0] for command in commands} == {"thalweg", "pytest"}
    for command in commands:
        # pytest goes through all rules; the check, which would do so again, builds the component for one.
        one_rule = " --rule its_config_is_frozen_and_hashable" if " plugins check " in command else ""
        code, printed = typed(command + one_rule, folder)
        assert code == 0, f"{command}\n{printed[-6000:]}"


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
        ("mine", "spoon", "known: autoencoder, average, backbone"),
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
