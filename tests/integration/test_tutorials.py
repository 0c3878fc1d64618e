"""The tutorials and the five minutes do what they say: every block is run, in order, as a reader would."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import thalweg.plugins
from fault_server import make_bucket, s3_server
from golden_files import golden
from plugin_makers import site_at
from thalweg.cli.main import main
from thalweg.storage import Location

ROOT = Path(__file__).parents[2]
PAGES = {
    path.stem: path for path in [ROOT / "docs/start.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.(?:toml|py))\n")

# What the environment of these tests has already; .ci/docs.py types it all in the environment of the README.
THERE = {
    "python3 -m venv .venv", ". .venv/bin/activate", "pip install -r requirements.txt", "thalweg quickstart",
    "pip install 'thalweg-core[s3]'",
}  # fmt: skip

# botocore's own date handling, on some versions of Python.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")


class Reader:
    """Somebody who works through a page in a folder of their own."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self.site, self.names = folder, site, {"__name__": "tutorial"}

    def python(self, text: str) -> None:
        """Write the file that the block names, or run it and compare what it prints with what it says."""
        if self._written(text):
            return
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "tutorial", "exec"), self.names)
        said = re.findall(r"^print\(.*\)  # (.*)$", text, re.MULTILINE)
        assert not said or printed.getvalue().splitlines() == said

    def toml(self, text: str) -> None:
        """Every one is a file."""
        assert self._written(text), text

    def sh(self, text: str) -> None:
        """Run each line: thalweg in this process, unless it starts others, and the rest as it stands."""
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if line in THERE:
                continue
            if words[0] == "thalweg" and not {">", "--devices"} & set(words):
                assert main(words[1:]) == 0, line
            elif words[:3] == ["pip", "install", "-e"]:
                apart = ["--no-deps", "--no-build-isolation", "--target", str(self.site)]  # without a network
                self._run([sys.executable, "-m", "pip", "-q", "install", *apart, words[3]])
                thalweg.plugins.block()  # looks for plugins anew
            elif words[0] == "python":
                self._run([sys.executable, *words[1:]])
            else:
                assert words[0] == "thalweg", line
                self._run(["bash", "-c", f"{shlex.quote(sys.executable)} -m {line}"])

    def bash(self, text: str) -> None:
        """For clusters: only what can be checked anywhere, that it is a script."""
        self._run(["bash", "-n", "-c", text])

    def text(self, _: str) -> None:
        """Something to look at."""

    def _run(self, command: list[str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def _written(self, text: str) -> bool:
        named = FILE.match(text)
        if named:
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return bool(named)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    folder, site = tmp_path / "work", tmp_path / "site"
    folder.mkdir()
    site.mkdir()
    (folder / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with site_at(site):
        yield Reader(folder, site)
    thalweg.plugins.block()


@pytest.fixture
def surroundings(request, reader, monkeypatch):
    """What a page takes for granted."""
    if request.param == "import":
        save_file(golden("deepflow_2t").weights, reader.folder / "deepflow.safetensors")
    if request.param != "own-images":
        yield
        return
    with s3_server() as port:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "AKIATESTTEST", "AWS_SECRET_ACCESS_KEY": "sesame-open-now",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        draws = np.random.default_rng(0)
        make_bucket(f"http://127.0.0.1:{port}", "pictures")
        bucket = Location("s3://pictures")
        for number in range(24):
            pixels = io.BytesIO()
            Image.fromarray(draws.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(pixels, "png")
            kind = ("apple", "pear")[number % 2]
            (bucket / "fruit" / kind / f"{number:04}.png").write(pixels.getvalue())
        yield


@pytest.mark.parametrize(
    ("page", "surroundings"), [(name, name) for name in PAGES], indirect=["surroundings"]
)
def test_a_reader_gets_to_the_end(page, surroundings, reader):
    blocks = BLOCK.findall(PAGES[page].read_text())
    assert blocks
    for language, text in blocks:
        getattr(reader, language)(text)


def test_the_nav_of_the_site_knows_every_tutorial():
    nav = (ROOT / "mkdocs.yml").read_text()
    for name in PAGES:
        assert f"{name}.md\n" in nav
