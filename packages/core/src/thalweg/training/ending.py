"""How a training that a signal ended is told by what goes on with it."""

from thalweg.errors import InterruptionError, PreemptionError, ThalwegError
from thalweg.training.result import TrainingResult


def interruption(trained: TrainingResult, name: str) -> ThalwegError:
    """The error that says that a training ended before its last step, with the exit code of its signal."""
    kind = PreemptionError if trained.preempted else InterruptionError
    how = "pre-empted" if trained.preempted else "interrupted"
    return kind(f"{how} and saved at step {trained.step} of {name}; the same command goes on from there")
