"""Samples of a network as files: drawn by this process or by several, from the beginning or going on."""

import glob
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.config import structure
from thalweg.errors import DataError, ThalwegError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.blocks import Blocks, DamagedBlockError, Drawing
from thalweg.evaluation.models import model_at
from thalweg.evaluation.notes import note_of
from thalweg.evaluation.own import settings_in_words
from thalweg.evaluation.placing import target_of
from thalweg.evaluation.processes import check_alone, divided, shared_work
from thalweg.evaluation.ranges import Range
from thalweg.evaluation.recorders import work
from thalweg.evaluation.sample_settings import check_sample_settings, sample_settings
from thalweg.evaluation.sets import NetworkSet
from thalweg.evaluation.surroundings import check_room, check_writable
from thalweg.evaluation.tasks import DrawTask, resolved, to_plain
from thalweg.evaluation.workplace import claimed, digest, sweep
from thalweg.integers import INDEX, PROCESSES, Integers
from thalweg.plugins.recording import with_files
from thalweg.storage import redacted
from thalweg.storage.places import local_path, plain_place

_ATTEMPTS = 3  # on a disk that damages what was just written

_log = logging.getLogger("thalweg")


def draw(
    model: Path | str,
    out: Path | str,
    stated: Mapping[str, Any] | None = None,
    *,
    settings: Iterable[str] = (),
    classes: Sequence[int] | None = None,
    first: int = 0,
    pngs: bool = False,
    devices: int = 1,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
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
        stated: how, and how many: fields of :class:`thalweg.evaluation.settings.SamplesConfig` in plain
            values. Sampler, guidance, seed, count and batch size are by default those of the network's run,
            or those that it was saved with.
        settings: ``key.path=value`` changes of all that.
        classes: those to draw; all by default.
        first: index of the first sample.
        pngs: make the folder one of images.
        devices: processes that share the work.
        device: where networks run.
        progress: called with how many are drawn and how many there will be.
        say: told in words, before anything is drawn, what is taken from where.

    Returns:
        How they were drawn, in plain values, and under ``origins`` where those settings are from.

    Raises:
        ConfigError: an argument does not fit the network, or something else stands at ``out``, or at the
            note's place.
        DataError: the network, or what its captions need, is missing or damaged.
        ThalwegError: a sample is not finite, or a file cannot be written.
    """
    check_alone()
    PROCESSES.check("devices", devices)
    INDEX.check("start", first)
    stated, settings = stated or {}, list(settings)
    check_sample_settings(stated, settings)
    model, out = plain_place(model), local_path(out, "out")
    place = resolved(device)
    target = target_of(out, place, pngs=pngs)
    target.check()
    check_writable(out, note_of(out))
    saved = model_at(model)
    if saved is None:
        raise DataError(f"{redacted(str(model))} holds no network; give a saved one, a run or a checkpoint")
    request = sample_settings(stated, settings, saved.own)
    config = request.config
    Integers(0, INDEX.high - config.count).check("start", first)
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
        decoded = decoder(torch.zeros(1, *source.facts.shape))  # whether it can, before hours of drawing
        sampling["autoencoder"] = decoder.autoencoder
    stated_of = {
        "model": redacted(str(model)),
        "checkpoint": saved.sha256,
        "sampling": {**sampling, "count": config.count},
        "start": first,
        "precision": sampling["precision"],
    }
    drawn = with_files(stated_of, source.network)
    wanted = digest({**drawn, "form": target.form})
    folder = out.with_name(f"{out.name}.unfinished-{wanted[:8]}")
    origins = {"origins": dict(request.origins)}
    sweep(out.parent.glob(f"{glob.escape(out.name)}.unfinished-????????"))
    cost = target.finished(wanted)
    if cost is not None:
        _log.warning("%s is complete already; nothing was drawn", out)
        _clear(folder)
        return {**drawn, **cost, **origins}
    say(f"drawing with {settings_in_words(config, request.origins)}")
    bytes_each = math.prod(source.facts.shape) * 4 if decoder is None else math.prod(decoded.shape[1:])
    # Blocks stay until what they are made into is on the disk; how small PNGs become, nobody knows.
    copies = 2 if decoder is None or out.suffix.lower() == ".npz" else 1
    check_room(folder, copies * config.count * bytes_each, "OUT")
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
                cost = target.put(folder, blocks, drawn, words, wanted)
            except DamagedBlockError:
                continue  # which was said, and those samples are drawn anew
            blocks.remove()
            return {**drawn, **cost, **origins}
    raise ThalwegError(f"what is written to {folder} is damaged again and again; choose another disk")


def _clear(folder: Path) -> None:
    """Remove what was left of a drawing that is complete."""
    if folder.exists():
        with claimed(folder):
            Blocks(folder).remove()
