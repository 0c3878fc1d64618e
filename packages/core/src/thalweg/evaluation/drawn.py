"""Samples of a network as files: drawn by this process or by several, from the beginning or going on."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from thalweg.config import structure
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.blocks import Block, Drawing, Form, blocks, done, remove, spent_on
from thalweg.evaluation.formats import Writer, write_folder, write_npz, write_pngs, write_tar
from thalweg.evaluation.models import model_at
from thalweg.evaluation.notes import write_note
from thalweg.evaluation.processes import check_alone, divided, shared_work
from thalweg.evaluation.ranges import Range
from thalweg.evaluation.recorders import work
from thalweg.evaluation.sets import NetworkSet, images_at
from thalweg.evaluation.settings import SamplesConfig
from thalweg.evaluation.surroundings import check_writable
from thalweg.evaluation.tasks import DrawTask, resolved, to_plain
from thalweg.evaluation.workplace import claimed, digest
from thalweg.files import disk
from thalweg.storage import redacted


def draw(
    model: Path | str,
    out: Path,
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
    ``OUT.json``, says how they were drawn, which passports take up.

    Args:
        model: a saved network, or a run that holds one; a path or a URL.
        out: ``.npz`` and ``.tar`` get images; any other name is a new folder, of tensors.
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
        ConfigError: an argument does not fit the network, or ``out`` exists.
        DataError: the network, or what its captions need, is missing or damaged.
        ThalwegError: a sample is not finite, or a file cannot be written.
    """
    check_alone()
    if first < 0 or devices < 1:
        raise ConfigError(f"start is {first} and devices is {devices}; they must be at least 0 and 1")
    if out.exists():
        raise ConfigError(f"{out} exists; choose a name that does not")
    check_writable(out)
    form, write = _form(out, pngs)
    place = resolved(device)
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
    if form == "images":
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
    folder = out.with_name(f"{out.name}.unfinished-{digest({**drawn, 'form': form})[:8]}")
    with claimed(folder):
        left = spans.without([(0, config.count)], done(folder))
        reached = config.count - spans.size(left)

        def advanced(more: int) -> None:
            nonlocal reached
            reached += more
            progress(reached, config.count)

        def own(ranges: Sequence[Range], told: Callable[[int], None]) -> None:
            work(Drawing(source, decoder, folder, first), ranges, config.batch_size, told)

        if left and devices == 1:
            own(left, advanced)
        elif left:
            task = DrawTask(network, form, first, place, config.batch_size)
            shared_work(folder, to_plain(task), divided(left, devices), own, advanced)
        if spans.without([(0, config.count)], done(folder)):
            raise ThalwegError("not all samples were drawn; the same command goes on from there")
        words = source.captions(range(first, first + config.count))
        spent = spent_on(folder)
        drawn["evaluations"] = spent.evaluated / config.count
        drawn["seconds"] = round(spent.seconds, 3)
        _put(out, blocks(folder), write, drawn if words is None else {**drawn, "captions": words})
        remove(folder)
    if form == "images":
        write_note(out, images_at(out, None).open(place).identity, sampling, words)
    return drawn


def _form(out: Path, pngs: bool) -> tuple[Form, Writer]:
    if out.suffix == ".npz":
        return "images", write_npz
    if out.suffix == ".tar":
        return "images", write_tar
    return ("images", write_pngs) if pngs else ("tensors", write_folder)


def _put(out: Path, found: Iterator[Block], write: Writer, drawn: Mapping[str, Any]) -> None:
    """Write beside the place, then move there: what stands at ``out`` is whole."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            whole = Path(scratch) / out.name
            write(whole, found, drawn)
            disk.move(whole, out)
    except OSError as error:
        raise ThalwegError(
            f"cannot write {out}: {error.strerror or error}; make room, and the same command goes on"
        ) from error
