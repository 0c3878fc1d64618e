"""Wheels and source distributions of the six packages, built once, and environments that hold them alone."""

import contextlib
import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "backbones", "refiners", "samplers", "eval", "authoring")


def build(folder: Path, kind: type, target: Path) -> Path:
    """Build a package's wheel or source distribution as pip would, without an environment of its own."""
    with contextlib.redirect_stdout(io.StringIO()):
        return Path(next(iter(kind(str(folder)).build(directory=str(target), versions=["standard"]))))


def build_all(target: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Wheels and source distributions by package."""
    folders = {name: ROOT / "packages" / name for name in PACKAGES}
    wheels = {name: build(folder, WheelBuilder, target) for name, folder in folders.items()}
    return wheels, {name: build(folder, SdistBuilder, target) for name, folder in folders.items()}


def rebuilt(sdist: Path, target: Path) -> Path:
    """The wheel that is built of a source distribution."""
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")
    return build(next(target.iterdir()), WheelBuilder, target)


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel, without the list of their hashes."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


def others(folder: Path) -> Path:
    """A folder with links to everything that is installed here, but for Thalweg."""
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "thalweg" not in path.name and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


class Environment:
    """A fresh virtual environment that sees other packages but no Thalweg."""

    def __init__(self, folder: Path, others: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "others.pth").write_text(f"{others}\n")
        self.bin = folder / "bin"

    def run(self, *command: str) -> str:
        """What a command of the environment prints."""
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "THALWEG"))
        }
        # Nothing of the checkout may be found by being where we stand.
        words = [str(self.bin / command[0]), *command[1:]]
        done = subprocess.run(words, env=clean, cwd=self.bin, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *what: str) -> None:
        """Install with pip, from files alone."""
        self.run("python", "-m", "pip", "-q", "install", "--no-index", *what)
