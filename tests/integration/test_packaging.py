"""What is stated twice agrees, and what is there is packed."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

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
