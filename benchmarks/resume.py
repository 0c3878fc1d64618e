"""From the command to the end of the first step: a run that goes on against one that begins, at most 1.3."""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGET = 1.3


def child(run_dir: Path, size: str, batch: int, steps: int) -> None:
    from training_runs import trainer

    trainer(run_dir, size, batch_size=batch, steps=steps, checkpoint_every=1000).train()


def seconds(run_dir: Path, given: argparse.Namespace, beyond: int) -> float:
    """Until the first line beyond a step stands in metrics.jsonl; the run is killed then."""
    command = [sys.executable, __file__, "--size", given.size, "--batch", str(given.batch)]
    begun = time.perf_counter()
    process = subprocess.Popen([*command, "--run-dir", str(run_dir), "--steps", "1000"])
    metrics = run_dir / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") > beyond):
        assert process.poll() is None
        time.sleep(0.002)
    taken = time.perf_counter() - begun
    process.kill()
    process.wait()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="S", choices=["S", "small"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--run-dir", type=Path)
    given = parser.parse_args()
    if given.run_dir is not None:
        child(given.run_dir, given.size, given.batch, given.steps)
        return
    from common import Verdict

    cold, resumed = [], []
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "saved")
        child(saved, given.size, given.batch, 1)
        for turn in range(given.rounds):
            cold.append(seconds(Path(folder, f"cold-{turn}"), given, 0))
            again = Path(folder, f"again-{turn}")
            shutil.copytree(saved, again, symlinks=True)
            resumed.append(seconds(again, given, 1))
            shutil.rmtree(again)
    begin, go_on = statistics.median(cold), statistics.median(resumed)
    print(f"cold start {begin:.2f} s, resumed {go_on:.2f} s to the end of the first step")
    verdict = Verdict()
    verdict.at_most("resume to the first step over a cold start", go_on / begin, TARGET)
    verdict.exit()


if __name__ == "__main__":
    main()
