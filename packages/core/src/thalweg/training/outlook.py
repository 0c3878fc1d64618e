"""What is about to be trained, in words, before it begins."""

import math

from thalweg.config import TrainingConfig
from thalweg.protocols import Average
from thalweg.summary import FLOAT_BYTES, bytes_per_parameter
from thalweg.training import checkpoint
from thalweg.training.data_lines import data_lines
from thalweg.training.loop import Trainer


def outlook(trainer: Trainer) -> dict[str, str]:
    """Lines about a run by title; nothing is read but the names of its checkpoints."""
    config, network = trainer.config, trainer.parts.network
    training, samples = config.training, len(trainer.parts.dataset.train)
    parameters = _parameters(trainer)
    epochs = training.steps * training.batch_size / samples
    length = f"{training.steps:,} steps of {training.batch_size} samples"
    return {
        "run": f"{config.name} in {trainer.run.where}",
        "network": f"{parameters:,} parameters, {network.branches} "
        + ("branch" if network.branches == 1 else "branches"),
        **data_lines(config, trainer.parts.dataset),
        "length": f"{length}, {epochs:.{_digits(epochs)}f} epochs",
        "batch": _shares(training, trainer.world),
        "averages": _averages(trainer.parts.average, training.steps),
        "devices": f"{trainer.devices}{_strategy(trainer)}, precision {training.precision}, "
        + ("compiled" if trainer.compiled else "not compiled"),
        "memory": f"{gib(state_bytes(trainer))} for weights, gradients, optimiser and averages on each "
        f"device, without activations",
        "saving": f"the next checkpoint at step {next_checkpoint(training, done(trainer)):,}, "
        f"{gib(saved_bytes(trainer))} each, "
        f"{'in the background' if training.async_checkpoints else 'while training waits'}",
    }


def shown(lines: dict[str, str]) -> str:
    """Lines below each other, their titles aligned."""
    width = max(map(len, lines)) + 1
    return "\n".join(f"{name + ':':<{width}} {text}" for name, text in lines.items())


def done(trainer: Trainer) -> int:
    """The step that the newest checkpoint's name states; 0 if there is none."""
    run = trainer.run
    if run.mirror is not None:
        return run.mirror.step()
    saved = checkpoint.checkpoints(run.checkpoints)
    return checkpoint.step_of(saved[-1]) if saved else 0


def next_checkpoint(training: TrainingConfig, step: int) -> int:
    """The first step after ``step`` whose state is saved."""
    every = training.checkpoint_every or training.steps
    return min(training.steps, (step // every + 1) * every)


def state_bytes(trainer: Trainer) -> int:
    """What a device holds through the whole run."""
    return (saved_bytes(trainer) + FLOAT_BYTES * _parameters(trainer)) // (
        trainer.world if trainer.sharded else 1
    )


def saved_bytes(trainer: Trainer) -> int:
    """Of a checkpoint in float32: weights, averaged weights, the optimiser's state; all but the gradient."""
    per_weight = getattr(trainer.parts.optimizer, "state_per_weight", 2.0)
    count = bytes_per_parameter(per_weight, len(trainer.parts.average.names)) - FLOAT_BYTES
    return count * _parameters(trainer)


def gib(count: int) -> str:
    """A number of bytes, to read."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 / 100 else f"{count / 2**20:.2f} MiB"


def _shares(training: TrainingConfig, world: int) -> str:
    share = training.batch_size // (world * training.accumulate)
    parts = [f"{world} {'processes' if world > 1 else 'process'}"]
    if training.accumulate > 1:
        parts.append(f"{training.accumulate} parts accumulated")
    return f"{training.batch_size} = {' x '.join([*parts, f'{share} samples'])}"


def _averages(average: Average, steps: int) -> str:
    described = getattr(average, "described", None)
    return ", ".join(average.names) if described is None else str(described(steps))


def _parameters(trainer: Trainer) -> int:
    return sum(parameter.numel() for parameter in trainer.parts.network.parameters())


def _strategy(trainer: Trainer) -> str:
    if trainer.world == 1:
        return ""
    return ", sharded (FSDP2)" if trainer.sharded else ", data-parallel (DDP)"


def _digits(number: float) -> int:
    return max(0, 1 - math.floor(math.log10(number))) if number < 10 else 0
