"""What is stated twice agrees, and what is there is packed."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import thalweg
from built_packages import PACKAGES, Environment, build_all, contents, others, rebuilt
from thalweg.cli.main import COMMANDS
from thalweg.plugins.distributions import BUILT_IN

ROOT = Path(__file__).parents[2]


def project(path):
    return tomllib.loads((path / "pyproject.toml").read_text())


def test_developers_requirements_agree():
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    group = project(ROOT)["dependency-groups"]["dev"]
    extra = project(ROOT / "packages/core")["project"]["optional-dependencies"]["tensorboard"]
    # requirements.txt brings the logger by its extra, uv's group by itself.
    assert set(lines) - {"-r requirements.txt"} == set(group) - set(extra)
    assert set(extra) <= set(group)


def test_all_packages_are_required_in_one_version():
    members = sorted((ROOT / "packages").iterdir())
    named = {
        line.split("/")[1].split("[")[0]
        for line in (ROOT / "requirements.txt").read_text().split("\n")
        if line
    }
    assert named == {member.name for member in members}
    versions = {project(member)["project"]["version"] for member in members}
    assert versions == {project(ROOT)["project"]["version"]}
    for member in members:
        dependencies = project(member)["project"]["dependencies"]
        assert member.name == "core" or f"thalweg-core=={versions.copy().pop()}" in dependencies


def test_no_source_file_is_ignored():
    # hatchling leaves out of wheels what .gitignore names.
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "packages"]
    ignored = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [path for path in ignored if "/src/" in path and "__pycache__" not in path] == []


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    return tmp_path_factory.mktemp("dist")


@pytest.fixture(scope="module")
def built(dist):
    return build_all(dist)


@pytest.fixture(scope="module")
def third_parties(tmp_path_factory):
    return others(tmp_path_factory.mktemp("others") / "site")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_the_package_and_nothing_else(built, name):
    files = contents(built[0][name])
    source = ROOT / "packages" / name / "src"
    there = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path for path in files if ".dist-info/" not in path} == there
    package = next(iter(there)).partition("/")[0]
    assert f"{package}/py.typed" in there
    assert not [path for path in files if {"tests", "examples"} & set(Path(path).parts)]
    assert any(path.endswith("licenses/LICENSE") for path in files)
    assert any(path.endswith("entry_points.txt") and b"[thalweg]" in text for path, text in files.items())


@pytest.mark.parametrize("name", PACKAGES)
def test_the_wheel_of_a_source_distribution_is_the_same(built, name, tmp_path):
    assert contents(rebuilt(built[1][name], tmp_path)) == contents(built[0][name])


def test_core_with_the_extra_all_is_the_whole_command_line(built, dist, third_parties, tmp_path):
    environment = Environment(tmp_path / "venv", third_parties)
    environment.install("--find-links", str(dist), "thalweg-core[all]")
    listed = json.loads(environment.run("thalweg", "plugins", "list", "--json"))
    assert listed["faults"] == []
    ours = sorted([one.kind, one.name] for one in thalweg.registry() if one.origin.distribution in BUILT_IN)
    assert sorted([one["kind"], one["name"]] for one in listed["components"]) == ours
    shown = environment.run("thalweg", "--help")
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    environment.run("thalweg", "init", str(tmp_path / "project"))
    environment.run("thalweg", "plugins", "new", "mine", "--kind", "sampler", "--into", str(tmp_path))
    assert (tmp_path / "thalweg-mine/src/thalweg_mine/sampler.py").is_file()
    assert "is valid" in environment.run(
        "thalweg", "config", "validate", str(tmp_path / "project/recipe.toml")
    )
    assert str(tmp_path) in environment.run("python", "-c", "import thalweg; print(thalweg.__file__)")


def test_packages_install_in_any_order_and_core_works_with_each_of_them_alone(built, third_parties, tmp_path):
    environment = Environment(tmp_path / "venv", third_parties)
    for name in reversed(PACKAGES):  # core comes last
        target = () if name == "core" else ("--target", str(tmp_path / name))
        environment.install("--no-deps", *target, str(built[0][name]))
    sets = [*([name] for name in PACKAGES[1:]), list(PACKAGES[1:])]
    # Each in a fork, before which torch alone is imported: it takes seconds.
    code = (
        "import os, sys, torch\n"
        f"for folders in {[[str(tmp_path / name) for name in together] for together in sets]}:\n"
        "    if os.fork():\n"
        "        assert os.wait()[1] == 0\n"
        "        continue\n"
        "    sys.path[:0] = folders\n"
        "    import thalweg\n"
        "    known = thalweg.registry()\n"
        "    assert not known.faults, known.faults\n"
        "    for one in known: known.config_class(one.kind, one.name)\n"
        "    print(*sorted({one.origin.distribution for one in known.plugins}))\n"
        "    sys.exit()"
    )
    found = environment.run("python", "-c", code).splitlines()
    for together, line in zip(sets, found, strict=True):
        assert line.split() == sorted(["thalweg-core", *(f"thalweg-{name}" for name in together)])


def test_the_oldest_versions_are_those_of_the_projects():
    pinned = subprocess.run(
        [sys.executable, ROOT / "release" / "oldest.py"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(pinned) == len(set(pinned))
    for line in project(ROOT / "packages/core")["project"]["dependencies"]:
        bound = re.match(r"([\w-]+)>=([\d.]+)", line)
        assert f"{bound[1]}=={bound[2]}" in pinned
