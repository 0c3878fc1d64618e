"""DDP on two processes of one thread each: at least 0.9 of the samples that two independent ones train on."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = 0.9


def child(run_dir: Path, size: str, batch: int, steps: int, devices: int) -> None:
    from training_runs import trainer

    run = trainer(run_dir, size, devices, batch_size=batch * devices, steps=steps, prefetch=0)
    run.train()


def rates(run_dir: Path) -> float:
    """Samples per second in the run's second half, when everything is warm."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    half = [line["images_per_second"] for line in lines[len(lines) // 2 :]]
    return len(half) / sum(1 / rate for rate in half)


def started(run_dir: Path, size: str, batch: int, steps: int, devices: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--size", size, "--batch", str(batch), "--steps", str(steps)]
    return subprocess.Popen(
        [*command, "--devices", str(devices), "--run-dir", str(run_dir)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="S", choices=["S", "small"])
    parser.add_argument("--batch", type=int, default=8, help="samples per process")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--devices", type=int)
    parser.add_argument("--run-dir", type=Path)
    given = parser.parse_args()
    shape = (given.size, given.batch, given.steps)
    if given.run_dir is not None:
        child(given.run_dir, *shape, given.devices)
        return
    from common import Verdict

    verdict, ratios = Verdict(), []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.rounds):
            pair = [Path(folder, f"alone-{turn}-{number}") for number in (0, 1)]
            for process in [started(place, *shape, 1) for place in pair]:
                assert process.wait() == 0
            together = Path(folder, f"together-{turn}")
            assert started(together, *shape, 2).wait() == 0
            alone, both = sum(rates(place) for place in pair), rates(together)
            ratios.append(both / alone)
            print(f"two alone {alone:.2f} samples/s, DDP {both:.2f}", flush=True)
    verdict.at_least("rate of DDP over two independent processes", sorted(ratios)[len(ratios) // 2], TARGET)
    verdict.exit()


if __name__ == "__main__":
    main()
