"""A run without training: everything that can fail before the first step is tried, and nothing is left."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from thalweg import files
from thalweg.composition import composition_of, without_memory
from thalweg.config import RunConfig
from thalweg.errors import ConfigError
from thalweg.files import PARTIAL, write_new
from thalweg.plugins import build_component
from thalweg.summary import summarise
from thalweg.training.batches import Batches
from thalweg.training.checkpoint import step_of
from thalweg.training.loop import Trainer
from thalweg.training.outlook import done, gib, outlook, saved_bytes, state_bytes
from thalweg.training.run_directory import Resume, RunDirectory


class _Trial(Trainer):
    """Never trains, so its network may be nowhere."""

    _computes = False


def dry_run(
    config: RunConfig,
    run_dir: Path | str,
    *,
    resume: Resume = "auto",
    accept_changed_data: bool = False,
    accept_changed_files: bool = False,
    accelerator: str = "auto",
    devices: int | str = "auto",
    nodes: int = 1,
    strategy: str = "auto",
) -> dict[str, str]:
    """Try a run: components, one batch, the run directory. The network is built without memory.

    Args:
        config: the run.
        run_dir: its folder; as it was afterwards.
        resume: as of :meth:`Trainer.train`.
        accept_changed_data: the same.
        accept_changed_files: the same.
        accelerator: as of :class:`Trainer`, and the others.
        devices: processes on a machine.
        nodes: machines.
        strategy: how they train together.

    Returns:
        What is about to be trained, by title.

    Raises:
        ThalwegError: whatever would stop the run before its first step.
    """
    dataset = build_component(config.data)
    network = without_memory(composition_of(config), dataset.facts)
    trainer = _Trial(
        config,
        run_dir,
        network=network,
        dataset=dataset,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
        strategy=strategy,
    )
    # It was given for the network's sake, and is the config's own all the same.
    trainer.config = attrs.evolve(trainer.config, data=config.data)
    plain = trainer.record()
    with (
        _nothing_left(trainer.run),
        trainer.run.mirrored(),
        trainer.run.claimed(
            plain,
            resume,
            accept_changed_files=accept_changed_files,
            trial=True,
            fixed=trainer.fixed,
        ),
    ):
        _write(trainer.run.path)
        if trainer.run.mirror is not None:
            trainer.run.mirror.try_writing()
        start = trainer.newest()
        if start is not None:
            trainer.data.check(accept=accept_changed_data, step=step_of(start), write=False)
        for logger in config.loggers.values():
            build_component(logger, trainer.run.path)
        free = shutil.disk_usage(trainer.run.path).free
    lines = outlook(trainer)
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


def _write(folder: Path) -> None:
    probe = folder / f".probe.{secrets.token_hex(4)}{PARTIAL}"
    try:
        write_new(probe, [b"thalweg"])
        files.disk.remove(probe)
    except OSError as error:
        raise ConfigError(
            f"cannot write in the run directory {folder} ({error.strerror or error}); "
            f"choose another --run-dir or change its permissions"
        ) from error


def _memory(trainer: Trainer) -> str:
    training = trainer.config.training
    share = training.batch_size // (trainer.world * training.accumulate)
    precision = "32-true" if training.precision == "32-true" else "bf16-mixed"
    activations = summarise(trainer.parts.network, None, share, precision).activation_bytes
    state = state_bytes(trainer)
    return (
        f"{gib(state + activations)} on each device: {gib(state)} for weights, gradients, optimiser and "
        f"averages, {gib(activations)} for activations, uncompiled"
    )


def _disk(trainer: Trainer, free: int) -> str:
    training = trainer.config.training
    # One is written before the oldest makes room.
    kept = training.keep + 1
    if training.keep_every:
        kept += training.steps // training.keep_every
    needed = saved_bytes(trainer) * kept
    warning = "; that is not enough" if needed > free else ""
    return f"{gib(needed)} for up to {kept} checkpoints, {gib(free)} free{warning}"


def _reading(trainer: Trainer) -> str:
    config, parts = trainer.config, trainer.parts
    shards = trainer.world * config.training.accumulate
    batches = Batches(
        parts.dataset.train,
        parts.network.facts,
        parts.planner,
        parts.network.interpolant,
        seed=config.seed,
        batch_size=config.training.batch_size,
        shards=shards,
        condition_dropout=config.training.condition_dropout,
    )
    begun = time.perf_counter()
    batch = batches.read(min(done(trainer), config.training.steps - 1), 0)
    seconds = time.perf_counter() - begun
    batches.plan(batch, 0, 0)
    return f"a batch of {len(batch.clean)} samples in {seconds:.3f} s"
