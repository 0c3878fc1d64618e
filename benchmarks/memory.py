"""Peak memory of training DeepFlow-S/2-2T: at most 1.3 times (20 bytes a parameter + saved activations)."""

from training_runs import trainer  # isort: skip

import argparse
import tempfile
from pathlib import Path

from common import Verdict

from thalweg.summary import summarise

TARGET = 1.3


def status(entry: str) -> int:
    """Bytes that the kernel states for this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def peak(size: str, batch: int, precision: str) -> tuple[int, int]:
    """Bytes that a run takes at most beyond what was there before it, and those of state and activations."""
    with tempfile.TemporaryDirectory() as folder:
        # One small run first: libraries allocate their own things once.
        trainer(Path(folder, "warm"), "small", batch_size=2, precision=precision).train()
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
        before = status("VmRSS")
        run = trainer(
            Path(folder, "run"), size, batch_size=batch, precision=precision, async_checkpoints=False
        )
        run.train()
        counted = summarise(run.components.network, batch_size=batch, precision=precision).training_bytes
    return status("VmHWM") - before, counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="S", choices=["S", "small"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", default="bf16-mixed", choices=["bf16-mixed", "32-true"])
    given = parser.parse_args()
    taken, counted = peak(given.size, given.batch, given.precision)
    print(f"peak {taken / 2**20:.0f} MiB; state and saved activations {counted / 2**20:.0f} MiB")
    verdict = Verdict()
    verdict.at_most("peak memory over state and saved activations", taken / counted, TARGET)
    verdict.exit()


if __name__ == "__main__":
    main()
