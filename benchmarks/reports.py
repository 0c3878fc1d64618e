"""How long ``thalweg report`` takes for runs of up to a million lines, and how much memory."""

from common import Verdict  # isort: skip

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS, MEBIBYTES = 20.0, 500.0
LINES = (30_000, 100_000, 1_000_000)

# ru_maxrss would count the process that starts this one; the peak of its own memory is told by Linux alone.
CODE = """
import sys, time
from pathlib import Path
from thalweg.cli.main import main
assert main(["report", sys.argv[1], "--out", f"{sys.argv[1]}.html"]) == 0
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) / 1024)
"""

CONFIG = 'name = "long"\nseed = 0\n[training]\nsteps = 1\nbatch_size = 8\nprecision = "32-true"\n'


def write(folder: Path, lines: int) -> None:
    """A run with the numbers that training writes."""
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIG)
    noise = random.Random(0)
    names = ("loss", "velocity", "velocity/branch_1", "velocity/branch_2", "grad_norm", "images_per_second")
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, lines + 1):
            line = {"step": step, "seconds": step / 8, **{name: noise.random() for name in names}}
            if step % 20 == 0:
                line["validation/velocity/branch_2"] = noise.random()
            file.write(json.dumps(line) + "\n")


def main() -> None:
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as name:
        for lines in LINES:
            folder = Path(name, str(lines))
            write(folder, lines)
            begun = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", CODE, str(folder)], capture_output=True, text=True, check=True
            )
            seconds = time.perf_counter() - begun
            busy, peak = map(float, done.stdout.splitlines()[-1].split())
            print(f"{lines:,} lines: {seconds:.1f} s, {busy:.1f} s of a processor")
            verdict.at_most(f"seconds of {lines:,} lines", seconds, SECONDS)
            verdict.at_most(f"MiB of {lines:,} lines", peak, MEBIBYTES)
    verdict.exit()


if __name__ == "__main__":
    main()
