"""Whether what the README, the five minutes and the tutorials say can be typed as it stands.

    python3 .ci/docs.py VENV [PAGE]...

VENV is the environment that the README makes (`make venv`) and nothing more. Each page is worked through in
order, in a folder of its own: files are written, commands run in a shell in which VENV is active, Python runs
in one interpreter a page and must print what it says. What does not run as it stands is in the tables below
with the reason; an entry that no page has is a fault, and so is a command in a block that nobody runs. What a
page installs is taken out again.
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

SKIPPED = {
    "make quickstart": "as 'thalweg quickstart', in an environment that make makes",
    "make test": "this is run beside it",
    "python3 -m venv .venv": "VENV was made so",
    ". .venv/bin/activate": "VENV is active",
    "pip install -r requirements.txt": "VENV was made so",
    "uv sync": "needs uv",
    "uv run thalweg quickstart": "needs uv",
    "thalweg train project/recipe.toml --devices 8": "needs eight accelerators",
    "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint host-1:29400 "
    "-m thalweg train project/recipe.toml --strategy fsdp --run-dir /shared/runs/project": "needs machines",
    "thalweg evaluate runs/deepflow-xl --protocol sit-sde-250 "
    "--reference VIRTUAL_imagenet256_labeled.npz --devices 8": "needs ADM's file and eight accelerators",
}

SHORTENED = {
    "thalweg quickstart": "--steps 4 --samples 20 --sampler-steps 4",
    "thalweg train recipes/digits-deepflow-2t.toml refiner.residual=true training.steps=900 "
    "--run-dir runs/residual": "training.steps=4 training.validate_every=0 training.sample_every=0",
    "thalweg -p fading.py train recipes/digits-deepflow-2t.toml sampling.guidance=fading "
    "--run-dir runs/fading": (
        "training.steps=4 training.validate_every=0 sampling.count=4 sampling.sampler.steps=4"
    ),
    "thalweg sample runs/residual samples/residual guidance=cfg guidance.scale=1.8": (
        "count=4 sampler.steps=4"
    ),
}
"""Commands that take minutes, and what is added so that they take seconds."""

ELSEWHERE = {"s3://pictures": "pictures"}
"""Places that are not here, and what stands in for them; tests/integration/test_tutorials.py has a bucket."""

TYPED = {"thalweg", "pip", "python", "python3", "make", "uv", "torchrun", "srun", "sbatch", "."}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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

    def __init__(self, page: str, venv: Path, folder: Path, met: set[str]) -> None:
        self.page, self.folder, self.met = page, folder, met
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "VIRTUAL_ENV": str(venv),
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "OMP_NUM_THREADS": "1",  # as many pages are read at once as there are processors
        }
        self.python: subprocess.Popen[str] | None = None
        (folder / "recipes").symlink_to(ROOT / "recipes")
        if page in PREPARED:
            self.run(["python", "-c", PREPARED[page], str(ROOT)], "what it takes for granted")

    def read(self) -> None:
        """All blocks in order."""
        text = (ROOT / self.page).read_text(encoding="utf-8")
        for old, new in ELSEWHERE.items():
            if old in text:
                self.met.add(old)
                text = text.replace(old, new)
        try:
            for language, block in BLOCK.findall(text):
                named = FILE.match(block)
                if named:
                    path = self.folder / named[1]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(block, encoding="utf-8")
                elif language in ("sh", "bash"):
                    for line in block.replace("\\\n", " ").splitlines():
                        self.type(shlex.join(shlex.split(line, comments=True)), line.split("  #")[0].strip())
                elif language == "python":
                    self.ask(block)
                elif any(line.split()[:1] and line.split()[0] in TYPED for line in block.splitlines()):
                    raise FaultError(f"a block of {language} holds commands, which nobody runs:\n{block}")
        finally:
            if self.python is not None:
                self.python.communicate(timeout=60)

    def type(self, words: str, line: str) -> None:
        """One command."""
        plain = " ".join(line.split())
        if plain in SKIPPED:
            self.met.add(plain)
            return
        if plain in SHORTENED:
            self.met.add(plain)
            line = f"{line} {SHORTENED[plain]}"
        if words:
            self.run(["bash", "-euo", "pipefail", "-c", line], line)

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
        printed, said = json.loads(lines[-1]).splitlines(), SAID.findall(block)
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
        self.tell(begun, what)

    def tell(self, begun: float, what: str) -> None:
        """Progress."""
        print(f"{time.monotonic() - begun:6.1f} s  {self.page}: {what}", flush=True)


def installed(venv: Path) -> dict[str, str]:
    """Versions of all distributions there."""
    listing = [str(venv / "bin/python"), "-m", "pip", "list", "--format=json"]
    done = subprocess.run(listing, capture_output=True, text=True, check=True)
    return {one["name"]: one["version"] for one in json.loads(done.stdout)}


def installs(page: str) -> bool:
    """Whether it changes the environment, which is then for nobody else meanwhile."""
    blocks = "".join(block for _, block in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")))
    return any(line.startswith("pip install") and line not in SKIPPED for line in blocks.splitlines())


def main(venv: Path, pages: list[str]) -> int:
    """Work through these pages, or all; the exit code."""
    met: set[str] = set()
    faults: list[str] = []
    before = installed(venv)

    def work(page: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                Reader(page, venv, Path(folder), met).read()
            except (FaultError, subprocess.TimeoutExpired) as fault:
                faults.append(f"{page}: {fault}")

    with ThreadPoolExecutor(os.cpu_count() or 1) as several:
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
    stale = set() if pages else (SKIPPED.keys() | SHORTENED.keys() | ELSEWHERE.keys()) - met
    faults += [f"no page has '{one}'; take it out of the tables" for one in sorted(stale)]
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    print(f"{len(pages or PAGES)} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), sys.argv[2:]))
