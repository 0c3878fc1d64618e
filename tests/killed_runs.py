"""Runs in processes of their own that are killed on the way; started by test_resume.py.

``python killed_runs.py FOLDER STEP FILE`` trains one run without interruption (whole), and one (killed)
that is killed in the middle of step STEP, then again while the FILE-th file of a checkpoint is written,
and then goes on to its end. Prints how each process ended, as JSON.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from thalweg.training import checkpoint
from thalweg.training.loop import Trainer
from tiny_runs import tiny

STEPS = 30


def trainer(run_dir: Path) -> Trainer:
    config = tiny(
        steps=STEPS, accumulate=2, log_every=4, validate_every=6, checkpoint_every=5, precision="32-true"
    )
    return Trainer(config, run_dir, accelerator="cpu", quiet=True)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_step(run_dir: Path, step: int) -> None:
    run = trainer(run_dir)
    velocity, calls = run.parts.objectives["velocity"], 0

    class Killer:
        weight = velocity.weight

        def __call__(self, *arguments):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += arguments[1].velocities[0].requires_grad
            if calls == 2 * step:  # between the two halves of an accumulated step
                die()
            return velocity(*arguments)

    run.parts.objectives["velocity"] = Killer()  # type: ignore[index]
    run.train()


def killed_in_checkpoint(run_dir: Path, file: int) -> None:
    digest, calls = checkpoint.sha256, 0

    def dying(path: Path) -> str:
        nonlocal calls
        calls += ".partial-" in str(path)  # those that are written, not those that are verified
        if calls == file:
            die()
        return digest(path)

    checkpoint.sha256 = dying
    trainer(run_dir).train()


def process(task: Callable[[], object]) -> int:
    """Fork; 0 if the task came to its end, else minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    folder, step, file = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    print(
        json.dumps(
            {
                "whole": process(lambda: trainer(folder / "whole").train()),
                "in step": process(lambda: killed_in_step(folder / "killed", step)),
                "in checkpoint": process(lambda: killed_in_checkpoint(folder / "killed", file)),
                "end": process(lambda: trainer(folder / "killed").train()),
            }
        )
    )
