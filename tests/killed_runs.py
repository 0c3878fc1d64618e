"""Runs in processes of their own that are killed on the way; started by test_resume.py.

``python killed_runs.py FOLDER KILLS SEED`` trains one run without interruption (whole), and others that are
killed KILLS times in all, each time at a random moment, and resumed until they are complete. Then one run
gets SIGTERM twice. Prints what happened, as JSON. Processes are forked, so none imports torch again.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from thalweg.data.digits import DigitsConfig
from thalweg.training.trainer import Trainer
from tiny_runs import tiny

STEPS = 20
DIGITS = DigitsConfig().build()


def trainer(run_dir: Path) -> Trainer:
    config = tiny(steps=STEPS, accumulate=2, log_every=4, validate_every=6, checkpoint_every=3)
    return Trainer(config, run_dir, dataset=DIGITS, accelerator="cpu", quiet=True)


def terminated_twice(run_dir: Path) -> None:
    run = trainer(run_dir)
    velocity, calls = run.components.objectives["velocity"], 0

    class Terminates:
        weight = velocity.weight

        def __call__(self, *arguments):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls == 5:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            return velocity(*arguments)

    run.components.objectives["velocity"] = Terminates()  # type: ignore[index]
    run.train()


def started(task: Callable[[], object]) -> int:
    """Fork; the process that does the task."""
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """0 if the task came to its end, else minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(run_dir: Path, moment: float) -> int:
    child = started(lambda: trainer(run_dir).train())
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return ended(child)


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    draws, begun = random.Random(seed), time.monotonic()
    ends = {"whole": ended(started(lambda: trainer(folder / "whole").train()))}
    span = time.monotonic() - begun
    runs, left = 1, kills
    while left:
        end = killed(folder / f"killed-{runs}", draws.uniform(0.0, span))
        if end == -signal.SIGKILL:
            left -= 1
        elif end == 0:
            runs += 1
        else:
            return {**ends, "failed": end}
    ends["last"] = ended(started(lambda: trainer(folder / f"killed-{runs}").train()))
    ends["twice"] = ended(started(lambda: terminated_twice(folder / "twice")))
    return {**ends, "runs": runs}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
