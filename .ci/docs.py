"""Whether what the README and the documentation say can be typed as it stands.

    python3 .ci/docs.py VENV [PAGE]...

VENV is the environment that the README makes (`make venv`) and nothing more. Each page is worked through in
order, in a folder of its own: files are written, commands run in a shell in which VENV is active, Python runs
in one interpreter a page and must print what it says, and a block of text must be what the command before it
printed, whatever its numbers. What a page installs is taken out again.

What does not run as it stands is marked in the page's source, on lines right before the block:

    <!-- not run: REASON -->                  none of the block; that a script can be parsed is checked
    <!-- not run `BEGINNING`: REASON -->      not the commands that begin so
    <!-- run with ARGUMENTS: REASON -->       with these added to each command
    <!-- run `BEGINNING` with ARGUMENTS: REASON -->
    <!-- first: COMMAND -->                   what the block takes for granted

A marker that is of no block or no command is a fault, and so is a command that nobody runs.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "docs/start.md", "docs/plugins.md", *sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs/tutorials").glob("*.md")
)]  # fmt: skip
# Python of these is run by tests/integration/test_docs.py.
COMMANDS_ALONE = sorted(
    name for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "packages").glob("*/README.md")]
    if (name := str(path.relative_to(ROOT))) not in PAGES
)  # fmt: skip
PAGES += COMMANDS_ALONE

ELSEWHERE = {"docs/tutorials/own-images.md": ("s3://pictures", "pictures")}
"""Places that are not here, and what stands in for them; tests/integration/test_tutorials.py has a bucket."""

AT_ONCE = 2
"""Pages that are read beside each other: each may take a gigabyte, whatever the processors are."""

TYPED = {"thalweg", "pip", "python", "python3", "make", "uv", "torchrun", "srun", "sbatch", "."}
MARKER = re.compile(r"<!-- (not run|run|first)(?: `([^`]+)`)?(?: with ([^:]+))?: (.+?) -->", re.DOTALL)
BLOCK = re.compile(r"((?:^<!--(?:(?!-->).)*-->\n)*)^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.(?:toml|py))\n")
SAID = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)

INTERPRETER = """
import contextlib, io, json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(json.loads(line), "the page", "exec"), names)
    print(json.dumps(printed.getvalue()), flush=True)
"""

PREPARED = {
    "docs/tutorials/import.md": """
import sys
sys.path.insert(0, sys.argv[1] + "/tests")
from golden_files import golden
from safetensors.torch import save_file
save_file(golden("deepflow_2t").weights, "deepflow.safetensors")
""",
    "docs/tutorials/own-images.md": """
import numpy as np
from pathlib import Path
from PIL import Image
draws = np.random.default_rng(0)
for number in range(24):
    path = Path("pictures/fruit", ("apple", "pear")[number % 2], f"{number:04}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draws.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
""",
}
"""What a page takes for granted: a released checkpoint, a bucket of images."""


class FaultError(Exception):
    """A page does not do what it says."""


class Reader:
    """Somebody who works through one page."""

    def __init__(self, page: str, venv: Path, folder: Path) -> None:
        self.page, self.folder = page, folder
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "VIRTUAL_ENV": str(venv),
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "OMP_NUM_THREADS": "1",  # several pages are read at once
        }
        self.python: subprocess.Popen[str] | None = None
        self.printed: str | None = None
        (folder / "recipes").symlink_to(ROOT / "recipes")
        if page in PREPARED:
            self.run(["python", "-c", PREPARED[page], str(ROOT)], "what it takes for granted")

    def read(self) -> None:
        """All blocks in order."""
        text = (ROOT / self.page).read_text(encoding="utf-8")
        if self.page in ELSEWHERE:
            text = text.replace(*ELSEWHERE[self.page])
        blocks = BLOCK.findall(text)
        if len(MARKER.findall(text)) != sum(len(MARKER.findall(markers)) for markers, _, _ in blocks):
            raise FaultError("a marker stands before no block")
        try:
            for markers, language, block in blocks:
                self.take(MARKER.findall(markers), language, block)
        finally:
            if self.python is not None:
                self.python.communicate(timeout=60)

    def take(self, markers: list[tuple[str, str, str, str]], language: str, block: str) -> None:
        """One block."""
        named = FILE.match(block)
        for kind, _, _, command in markers:
            if kind == "first":
                self.run(["bash", "-euo", "pipefail", "-c", command], command)
        if any(kind == "not run" and not beginning for kind, beginning, _, _ in markers):
            if language in ("sh", "bash"):
                self.run(["bash", "-n", "-c", block], "a script that is parsed alone")
        elif named:
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, encoding="utf-8")
        elif language in ("sh", "bash"):
            self.type(block, [(kind, *rest) for kind, *rest in markers if kind != "first"])
        elif language == "python" and self.page in COMMANDS_ALONE:
            self.printed = None
        elif language == "python":
            self.ask(block)
        elif any(line.split()[:1] and line.split()[0] in TYPED for line in block.splitlines()):
            raise FaultError(f"a block of {language} holds commands, which nobody runs:\n{block}")
        elif language == "text":
            self.compare(block)

    def type(self, block: str, markers: list[tuple[str, ...]]) -> None:
        """The commands of a block."""
        met = set()
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(line.split("  #")[0].split())
            if not shlex.split(line, comments=True):
                continue
            mine = [marker for marker in markers if command.startswith(marker[1])]
            met |= set(mine)
            if all(kind != "not run" for kind, *_ in mine):
                command = " ".join([line.split("  #")[0].strip(), *(added for _, _, added, _ in mine)])
                self.run(["bash", "-euo", "pipefail", "-c", command], command)
        for marker in set(markers) - met:
            raise FaultError(f"no command begins with '{marker[1]}'")

    def compare(self, block: str) -> None:
        """What the command before it printed, whatever its numbers; a line of dots is any lines."""
        if self.printed is None:
            raise FaultError(f"a block of text stands behind no command that is run:\n{block}")
        said = "".join(
            r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line) + r"\n" for line in masked(block)
        )
        if not re.search(f"^{said}", "".join(f"{line}\n" for line in masked(self.printed)), re.MULTILINE):
            raise FaultError(f"it says\n{block}\nand printed is\n{self.printed}")

    def ask(self, block: str) -> None:
        """Python, in the interpreter that the page's other blocks ran in."""
        begun = time.monotonic()
        if self.python is None:
            self.python = subprocess.Popen(
                ["python", "-c", INTERPRETER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, cwd=self.folder, env=self.environment,
            )  # fmt: skip
        assert self.python.stdin is not None
        assert self.python.stdout is not None
        print(json.dumps(block), file=self.python.stdin, flush=True)
        lines: list[str] = []
        for line in self.python.stdout:
            lines.append(line)
            if line.startswith('"'):
                break
        if not lines or not lines[-1].startswith('"'):
            raise FaultError(f"its Python ends with\n{''.join(lines)[-3000:]}")
        self.printed = json.loads(lines[-1])
        printed, said = self.printed.splitlines(), SAID.findall(block)
        if said and printed != said:
            raise FaultError(f"its Python prints {printed} and says {said}")
        self.tell(begun, f"Python of {len(block.splitlines())} lines")

    def run(self, command: list[str], what: str) -> None:
        """Run it in the page's folder."""
        begun = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr)[-3000:]
            raise FaultError(f"{what}\nends with {done.returncode}:\n{said}")
        self.printed = done.stdout + done.stderr
        self.tell(begun, what)

    def tell(self, begun: float, what: str) -> None:
        """Progress."""
        print(f"{time.monotonic() - begun:6.1f} s  {self.page}: {what}", flush=True)


def masked(text: str) -> list[str]:
    """The lines of a text, numbers and widths alike."""
    lines = (re.sub(r"\d[\d.,:]*(?:e[-+]\d+)?", "0", line) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines]


def installed(venv: Path) -> dict[str, str]:
    """Versions of all distributions there."""
    listing = [str(venv / "bin/python"), "-m", "pip", "list", "--format=json"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    return {one["name"]: one["version"] for one in json.loads(done.stdout)}


def installs(page: str) -> bool:
    """Whether it changes the environment, which is then for nobody else meanwhile."""
    return any(
        line.startswith("pip install") and not any(kind == "not run" for kind, *_ in MARKER.findall(markers))
        for markers, _, block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
        for line in block.splitlines()
    )


def main(venv: Path, pages: list[str]) -> int:
    """Work through these pages, or all; the exit code."""
    faults: list[str] = []
    before = installed(venv)

    def work(page: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                Reader(page, venv, Path(folder)).read()
            except (FaultError, subprocess.TimeoutExpired) as fault:
                faults.append(f"{page}: {fault}")

    with ThreadPoolExecutor(AT_ONCE) as several:
        list(several.map(work, [page for page in pages or PAGES if not installs(page)]))
    for page in filter(installs, pages or PAGES):
        work(page)
        after = installed(venv)
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                faults.append(f"{page}: it changes {name} {before[name]} to {after[name]}")
        new = sorted(after.keys() - before.keys())
        if new:
            subprocess.run([str(venv / "bin/python"), "-m", "pip", "-q", "uninstall", "-y", *new], check=True)
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    print(f"{len(pages or PAGES)} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
