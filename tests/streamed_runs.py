"""Runs that stream tar files from a server, one of them killed on the way; started by
test_sources_streamed.py.

``python streamed_runs.py FOLDER URL`` trains one run without interruption, then another that is killed by
SIGKILL within its fourth step and resumed by a process whose cache is empty. Prints how they ended, as JSON.
Processes are forked, so none imports torch again.
"""

import json
import os
import signal
import sys
from pathlib import Path

from killed_runs import ended, started
from thalweg.training.trainer import Trainer
from tiny_runs import tiny

STEPS, KILLED_IN = 6, 4
BATCH = 16
"""Of 28 samples that are trained on, so that the run sees three epochs and a half."""


def trainer(run_dir: Path, url: str) -> Trainer:
    source = {"type": "tar", "url": url, "stream": True, "classes": 3}
    data = {"type": "images", "source": source, "size": 8, "flip": True, "validation": 0.12}
    config = tiny(top={"data": data}, steps=STEPS, batch_size=BATCH, checkpoint_every=1, accumulate=2)
    return Trainer(config, run_dir, accelerator="cpu", quiet=True)


def killed(run_dir: Path, url: str) -> None:
    run = trainer(run_dir, url)
    velocity, calls = run.components.objectives["velocity"], 0

    class Kills:
        weight = velocity.weight

        def __call__(self, *arguments):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            if calls == 2 * KILLED_IN:
                os.kill(os.getpid(), signal.SIGKILL)
            return velocity(*arguments)

    run.components.objectives["velocity"] = Kills()  # type: ignore[index]
    run.train()


def main(folder: Path, url: str) -> list[int]:
    ends = []
    for number, task in enumerate(
        (
            lambda: trainer(folder / "whole", url).train(),
            lambda: killed(folder / "killed", url),
            lambda: trainer(folder / "killed", url).train(),
        )
    ):
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{number}")
        ends.append(ended(started(task)))
    return ends


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
