"""``python tests/torture [SCENARIO...] [--seed N] [--count N] [--out FOLDER]``."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # the package is torture, and beside it lie the makers of small things
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.pycache_prefix = None

from torture.scenarios import SCENARIOS  # noqa: E402
from torture.table import Outcome, write  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/torture", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, help="how many things to try, of scenarios that have a count")
    parser.add_argument("--workers", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/thalweg-torture"))
    parser.add_argument("--out", type=Path, help="folder that gets torture.json and torture.md")
    parser.add_argument(
        "--only", default="", help="only commands, kinds of file or trials whose name holds this"
    )
    parser.add_argument("--verbose", action="store_true", help="print every finding, not the bad ones alone")
    asked = parser.parse_args()
    unknown = [name for name in asked.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")
    from torture import common, workshop

    common.only = asked.only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    workshop.preload()
    scratch = asked.scratch / f"{os.getpid()}"
    template = workshop.make(scratch / "template")
    outcomes = []
    try:
        for name in asked.scenarios or SCENARIOS:
            begun = time.monotonic()
            place = scratch / name
            place.mkdir(parents=True)
            found = SCENARIOS[name].load()(template, place, asked.seed, asked.count, asked.workers)
            outcome = Outcome(name, SCENARIOS[name].what, found, time.monotonic() - begun)
            outcomes.append(outcome)
            print(outcome.text(asked.verbose), flush=True)
            if asked.out:
                write(asked.out, outcomes, asked.seed, sys.argv[1:])
    finally:
        from torture.devices import unmount_below

        unmount_below(scratch)
        common.remove(scratch)
    return int(any(outcome.bad for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
