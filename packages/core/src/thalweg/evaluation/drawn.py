"""Samples of a network as files: drawn by this process or by several, from the beginning or going on."""

import glob
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.config import structure
from thalweg.errors import DataError, ThalwegError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.blocks import Blocks, DamagedBlockError, Drawing
from thalweg.evaluation.models import model_at
from thalweg.evaluation.notes import note_of
from thalweg.evaluation.placing import target_of
from thalweg.evaluation.processes import check_alone, divided, shared_work
from thalweg.evaluation.ranges import Range
from thalweg.evaluation.recorders import work
from thalweg.evaluation.sets import NetworkSet
from thalweg.evaluation.settings import SamplesConfig
from thalweg.evaluation.surroundings import check_writable
from thalweg.evaluation.tasks import DrawTask, resolved, to_plain
from thalweg.evaluation.workplace import claimed, digest, sweep
from thalweg.integers import INDEX, PROCESSES, Integers
from thalweg.storage import redacted
from thalweg.storage.places import local_path, plain_place

_ATTEMPTS = 3  # on a disk that damages what was just written

_log = logging.getLogger("thalweg")


def draw(
    model: Path | str,
    out: Path | str,
    config: SamplesConfig,
    *,
    classes: Sequence[int] | None = None,
    first: int = 0,
    pngs: bool = False,
    devices: int = 1,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Draw samples of a network into files; interrupted, the same call goes on.

    Sample i depends on (seed, i) alone. What is drawn lies beside ``out``, in a folder whose name begins
    like it, until all of it is there; ``out`` appears whole or not at all. Beside images a note,
    ``OUT.json``, says how they were drawn, which passports take up. Where ``out`` has been drawn by the same
    call before, nothing is done.

    Args:
        model: a saved network, or a run that holds one; a path or a URL.
        out: a path; ``.npz`` and ``.tar`` get images, any other name is a new folder, of tensors, and may
            not be called like a file.
        config: how, and how many.
        classes: those to draw; all by default.
        first: index of the first sample.
        pngs: make the folder one of images.
        devices: processes that share the work.
        device: where networks run.
        progress: called with how many are drawn and how many there will be.

    Returns:
        How they were drawn, in plain values.

    Raises:
        ConfigError: an argument does not fit the network, or something else stands at ``out``, or at the
            note's place.
        DataError: the network, or what its captions need, is missing or damaged.
        ThalwegError: a sample is not finite, or a file cannot be written.
    """
    check_alone()
    Integers(0, INDEX.high - config.count).check("start", first)
    PROCESSES.check("devices", devices)
    model, out = plain_place(model), local_path(out, "out")
    place = resolved(device)
    target = target_of(out, place, pngs=pngs)
    target.check()
    check_writable(out, note_of(out))
    saved = model_at(model)
    if saved is None:
        raise DataError(f"{redacted(str(model))} holds no network; give a saved one, a run or a checkpoint")
    network = structure(
        NetworkSet,
        {
            "model": saved.path,
            "count": config.count,
            "drawing": config.drawing,
            "classes": None if classes is None else list(classes),
            "data": saved.data,
            "autoencoder": config.autoencoder,
        },
    )
    source = network.source(place)
    sampling = dict(source.drawing)
    decoder = None
    if target.form == "images":
        decoder = network.decoder(place)
        decoder(torch.zeros(1, *source.facts.shape))  # whether it can, before hours of drawing
        sampling["autoencoder"] = decoder.autoencoder
    drawn = {
        "model": redacted(str(model)),
        "checkpoint": saved.sha256,
        "sampling": {**sampling, "count": config.count},
        "start": first,
        "precision": sampling["precision"],
    }
    request = digest({**drawn, "form": target.form})
    folder = out.with_name(f"{out.name}.unfinished-{request[:8]}")
    sweep(out.parent.glob(f"{glob.escape(out.name)}.unfinished-????????"))
    cost = target.finished(request)
    if cost is not None:
        _log.warning("%s is complete already; nothing was drawn", out)
        _clear(folder)
        return {**drawn, **cost}
    words = source.captions(range(first, first + config.count))
    with claimed(folder):
        blocks = Blocks(folder)
        blocks.sift()

        def own(ranges: Sequence[Range], told: Callable[[int], None]) -> None:
            work(Drawing(source, decoder, folder, first), ranges, config.batch_size, told)

        for _ in range(_ATTEMPTS):
            left = spans.without([(0, config.count)], blocks.done())
            reached = config.count - spans.size(left)

            def advanced(more: int) -> None:
                nonlocal reached
                reached += more
                progress(reached, config.count)

            if left and devices == 1:
                own(left, advanced)
            elif left:
                task = DrawTask(network, target.form, first, place, config.batch_size)
                shared_work(folder, to_plain(task), divided(left, devices), own, advanced)
            if spans.without([(0, config.count)], blocks.done()):
                raise ThalwegError("not all samples were drawn; the same command goes on from there")
            try:
                cost = target.put(folder, blocks, drawn, words, request)
            except DamagedBlockError:
                continue  # which was said, and those samples are drawn anew
            blocks.remove()
            return {**drawn, **cost}
    raise ThalwegError(f"what is written to {folder} is damaged again and again; choose another disk")


def _clear(folder: Path) -> None:
    """Remove what was left of a drawing that is complete."""
    if folder.exists():
        with claimed(folder):
            Blocks(folder).remove()
