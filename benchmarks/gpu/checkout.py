"""A checkout's packages, importable with their plugins where nobody has installed them (no torch here)."""

import atexit
import os
import shutil
import sys
import tempfile
import tomllib
from importlib.metadata import distributions
from pathlib import Path


def make_importable(root: Path) -> None:
    """Put packages that are not installed on the path of this process and of those that it starts."""
    installed = {one.name for one in distributions()}
    missing = [one for one in sorted((root / "packages").iterdir()) if _project(one)["name"] not in installed]
    if not missing:
        return
    described = Path(tempfile.mkdtemp(prefix="thalweg-"))
    owner = os.getpid()
    # Forked processes end with the same list of things to do.
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(described, ignore_errors=True))
    describe(missing, described)
    paths = [*(str(one / "src") for one in missing), str(described)]
    sys.path[1:1] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH")]))


def describe(packages: list[Path], folder: Path) -> None:
    """Write what an installation would state of these packages: names, versions and entry points."""
    for package in packages:
        project = _project(package)
        name, version = project["name"], project["version"]
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        lines = [
            line
            for group, entries in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{key} = {value}" for key, value in entries.items()))
        ]
        info.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _project(package: Path) -> dict[str, str | dict[str, dict[str, str]]]:
    return tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
