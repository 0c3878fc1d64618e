"""Before a run: its summary, and the dry run, which tries all that can fail before the first step."""

import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from thalweg import checkpoint, files
from thalweg.composition import composition_of, without_memory
from thalweg.config import RunConfig, dump
from thalweg.data.words import UNCONDITIONAL, classes_in_words
from thalweg.objects import OBJECT
from thalweg.plugins import build_component
from thalweg.protocols import Dataset
from thalweg.storage.redaction import redacted_plain
from thalweg.summary import FLOAT_BYTES, bytes_per_parameter, summarise
from thalweg.training.run_directory import Resume, RunDirectory
from thalweg.training.trainer import Trainer

_SOURCES = ("source", "validation_source")
_PLACES = ("url", "hub")


def dry_run(
    config: RunConfig,
    run_dir: Path | str,
    *,
    resume: Resume = "auto",
    accept_changed_data: bool = False,
    accept_changed_files: bool = False,
    **devices: Any,
) -> dict[str, str]:
    """Try a run: components, one batch, the run directory, which is as it was afterwards.

    The network is built without memory. Arguments are as of :class:`Trainer` and :meth:`Trainer.train`. What
    is returned says by title what is about to be trained.

    Raises:
        ThalwegError: whatever would stop the run before its first step.
    """
    dataset = build_component(config.data)
    network = without_memory(composition_of(config), dataset.facts)
    trainer = Trainer(config, run_dir, network=network, dataset=dataset, **devices)
    # It was given for the network's sake, and is the config's own all the same.
    trainer.config = attrs.evolve(trainer.config, data=config.data)
    plain = trainer.record()
    with (
        _nothing_left(trainer.run),
        trainer.run.locked(
            plain, resume, accept_changed_files=accept_changed_files, trial=True, fixed=trainer.fixed
        ),
    ):
        trainer.run.try_writing()
        start = trainer.newest()
        if start is not None:
            trainer.data.check(accept=accept_changed_data, step=checkpoint.step_of(start), write=False)
        for logger in config.loggers.values():
            build_component(logger, trainer.run.path)
        free = shutil.disk_usage(trainer.run.path).free
    lines = run_summary(trainer)
    lines["memory"] = _memory(trainer)
    lines["disk"] = _disk(trainer, free)
    lines["reading"] = _reading(trainer)
    return lines


@contextmanager
def _nothing_left(run: RunDirectory) -> Iterator[None]:
    """Remove afterwards the folders that were not there before."""
    made = [one for one in (run.path, *run.path.parents) if not os.path.lexists(one)]
    try:
        yield
    finally:
        with suppress(OSError):  # a folder that could not be made, or has got files meanwhile
            for folder in made:
                files.disk.remove_folder(folder)


def run_summary(trainer: Trainer) -> dict[str, str]:
    """Lines about a run by title; nothing is read but the names of its checkpoints."""
    config, components, world = trainer.config, trainer.components, trainer.world
    training, network, count = config.training, components.network, _parameters(trainer)
    epochs = training.steps * training.batch_size / len(components.dataset.train)
    digits = max(0, 1 - math.floor(math.log10(epochs))) if epochs < 10 else 0
    split = [f"{world} {'processes' if world > 1 else 'process'}"]
    if training.accumulate > 1:
        split.append(f"{training.accumulate} micro-batches accumulated")
    split.append(f"{training.batch_size // (world * training.accumulate)} samples")
    strategy = ", sharded (FSDP2)" if trainer.sharded else ", data-parallel (DDP)" if world > 1 else ""
    ema = getattr(components.average, "described", lambda _: ", ".join(components.average.names))
    every = training.checkpoint_every or training.steps
    following = min(training.steps, (_steps_done(trainer) // every + 1) * every)
    return {
        "run": f"{config.name} in {trainer.run.where}",
        "network": f"{count:,} parameters, {network.branches} "
        + ("branch" if network.branches == 1 else "branches"),
        **_data(config, components.dataset),
        "length": f"{training.steps:,} steps of {training.batch_size} samples, {epochs:.{digits}f} epochs",
        "batch": f"{training.batch_size} = {' x '.join(split)}",
        "EMA weights": str(ema(training.steps)),
        "devices": f"{trainer.devices}{strategy}, precision {training.precision}, "
        + ("compiled" if trainer.compiled else "not compiled"),
        "memory": f"{_gib(_state_bytes(trainer))} for weights, gradients, optimiser and EMA on each "
        f"device, without activations",
        "saving": f"the next checkpoint at step {following:,}, {_gib(_checkpoint_bytes(trainer))} each, "
        f"{'in the background' if training.async_checkpoints else 'while training waits'}",
    }


def as_text(lines: Mapping[str, str]) -> str:
    """Lines below each other, their titles aligned."""
    width = max(map(len, lines)) + 1
    return "\n".join(f"{name + ':':<{width}} {text}" for name, text in lines.items())


def _data(config: RunConfig, dataset: Dataset) -> dict[str, str]:
    """Lines about the data by title; nothing of them is read."""
    facts, data = dataset.facts, redacted_plain(dump(config)["data"])
    shape, count, held = "x".join(map(str, facts.shape)), len(dataset.train), len(dataset.validation)
    # Where they are stored, as the recipe has it, without secrets.
    sources = [data[key] for key in _SOURCES if isinstance(data.get(key), Mapping)] or [data]
    origin = " and ".join(map(_origin, sources))
    if facts.classes is not None:
        classes = classes_in_words(facts.classes, getattr(dataset, "class_names", ()))
    else:
        classes = UNCONDITIONAL if facts.text is None else "none, captions alone"
    captions = "none"
    if facts.text is not None:
        captions = f"of {facts.text[0]} tokens of width {facts.text[1]}, on which the network is conditioned"
    elif getattr(dataset, "captioned", False):
        captions = "there, and not used; data.text names what encodes them"
    return {
        "data": f"{count:,} samples of shape {shape} and {held:,} held out, from {origin}",
        "classes": classes,
        "captions": captions,
    }


def _origin(source: Mapping[str, Any]) -> str:
    """What a source or data set is called, and where it is, if it says so."""
    places = [source[key] for key in _PLACES if source.get(key) not in (None, "none")]
    return " ".join(map(str, [source.get("type", source.get(OBJECT)), *places[:1]]))


def _memory(trainer: Trainer) -> str:
    training = trainer.config.training
    share = training.batch_size // (trainer.world * training.accumulate)
    precision = "32-true" if training.precision == "32-true" else "bf16-mixed"
    activations = summarise(trainer.components.network, None, share, precision).activation_bytes
    state = _state_bytes(trainer)
    return (
        f"{_gib(state + activations)} on each device: {_gib(state)} for weights, gradients, optimiser and "
        f"EMA, {_gib(activations)} for activations, uncompiled"
    )


def _disk(trainer: Trainer, free: int) -> str:
    training = trainer.config.training
    # One is written before the oldest makes room.
    kept = training.keep + 1
    if training.keep_every:
        kept += training.steps // training.keep_every
    needed = _checkpoint_bytes(trainer) * kept
    warning = "; that is not enough" if needed > free else ""
    return f"{_gib(needed)} for up to {kept} checkpoints, {_gib(free)} free{warning}"


def _reading(trainer: Trainer) -> str:
    batches = trainer.components.batches(trainer.config, trainer.world)
    begun = time.perf_counter()
    batch = batches.read(min(_steps_done(trainer), trainer.config.training.steps - 1), 0)
    seconds = time.perf_counter() - begun
    batches.plan(batch, 0, 0)
    return f"a batch of {len(batch.clean)} samples in {seconds:.3f} s"


def _steps_done(trainer: Trainer) -> int:
    """The step that the newest checkpoint's name states; 0 if there is none."""
    if trainer.run.remote is not None:
        return trainer.run.remote.step()
    saved = checkpoint.checkpoints(trainer.run.checkpoints)
    return checkpoint.step_of(saved[-1]) if saved else 0


def _state_bytes(trainer: Trainer) -> int:
    """What a device holds through the whole run."""
    everything = _checkpoint_bytes(trainer) + FLOAT_BYTES * _parameters(trainer)
    return everything // (trainer.world if trainer.sharded else 1)


def _checkpoint_bytes(trainer: Trainer) -> int:
    """Of a checkpoint in float32: weights, EMA weights, the optimiser's state; all but the gradient."""
    per_weight = getattr(trainer.components.optimizer, "state_per_weight", 2.0)
    count = bytes_per_parameter(per_weight, len(trainer.components.average.names)) - FLOAT_BYTES
    return count * _parameters(trainer)


def _parameters(trainer: Trainer) -> int:
    return sum(parameter.numel() for parameter in trainer.components.network.parameters())


def _gib(count: int) -> str:
    """A number of bytes, to read."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 / 100 else f"{count / 2**20:.2f} MiB"
