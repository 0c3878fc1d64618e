"""What came of a run."""

from collections.abc import Mapping
from pathlib import Path

import attrs


@attrs.frozen(eq=False)
class TrainingResult:
    """What came of a run.

    Attributes:
        run_dir: its folder.
        step: steps done.
        interrupted: whether a signal ended it before its last step; the same call goes on.
        preempted: whether that was SIGTERM or SIGUSR1, and not Ctrl-C.
        seconds: spent in training over all sessions, and in nothing else.
        beside: seconds that went to anything else, by what: see :class:`thalweg.training.clock.Clock`.
        numbers: the newest line of metrics.jsonl; empty if none was due yet.
        model: folder of the averaged network, for :func:`thalweg.load`; None if interrupted.
        leads: whether this process is the first one, which speaks for all.
    """

    run_dir: Path
    step: int
    interrupted: bool
    seconds: float
    beside: Mapping[str, float]
    numbers: Mapping[str, float]
    model: Path | None
    preempted: bool = False
    leads: bool = True
