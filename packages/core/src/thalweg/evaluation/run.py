"""An evaluation from beginning to end."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import attrs

from thalweg.arguments import check_texts
from thalweg.config import dump
from thalweg.evaluation.bench import Bench
from thalweg.evaluation.choosing import chosen
from thalweg.evaluation.given import check_given
from thalweg.evaluation.held import HeldNetwork
from thalweg.evaluation.judging import Judging, reference_of
from thalweg.evaluation.models import Model
from thalweg.evaluation.outputs import check_outputs, passport_files
from thalweg.evaluation.own import Own, settings_in_words
from thalweg.evaluation.passport import Passport
from thalweg.evaluation.passports import Passports
from thalweg.evaluation.processes import check_alone
from thalweg.evaluation.protocol import check_protocol, read_protocol
from thalweg.evaluation.recorders import SAVE_SECONDS
from thalweg.evaluation.recording import check_named
from thalweg.evaluation.seeing import Means, Progress
from thalweg.evaluation.settings import EvaluationConfig
from thalweg.evaluation.subjects import (
    Named,
    Subject,
    as_images,
    brought,
    check_drawn,
    check_shared,
    network_of,
    open_network,
    open_reference,
    open_subject,
)
from thalweg.evaluation.surroundings import check_writable, default_work
from thalweg.evaluation.tasks import resolved
from thalweg.evaluation.ways import ways_of
from thalweg.integers import AT_ONCE, PROCESSES
from thalweg.saved_network import load
from thalweg.storage.places import local_path, plain_place


class _Options(TypedDict, total=False):
    """What both forms of :func:`evaluate` take."""

    reference: Named | None
    metrics: Sequence[str | Mapping[str, Any]]
    extractor: str | Mapping[str, Any] | None
    protocol: str | Path | None
    settings: Sequence[str]
    sampling: Mapping[str, Any] | None
    out: str | Path | None
    save_reference: str | Path | None
    devices: int
    device: str
    batch_size: int
    work: str | Path | None
    save_seconds: float
    progress: Progress | None
    say: Callable[[str], None]
    data: Any


@overload
def evaluate(subject: Named, *, compare: None = None, **options: Unpack[_Options]) -> Passport: ...


@overload
def evaluate(
    subject: Named,
    *,
    compare: Mapping[str, Mapping[str, Any] | Sequence[str]],
    **options: Unpack[_Options],
) -> Passports: ...


def evaluate(
    subject: Named,
    *,
    reference: Named | None = None,
    metrics: Sequence[str | Mapping[str, Any]] = (),
    extractor: str | Mapping[str, Any] | None = None,
    protocol: str | Path | None = None,
    settings: Sequence[str] = (),
    sampling: Mapping[str, Any] | None = None,
    compare: Mapping[str, Mapping[str, Any] | Sequence[str]] | None = None,
    out: str | Path | None = None,
    save_reference: str | Path | None = None,
    devices: int = 1,
    device: str = "auto",
    batch_size: int = 64,
    work: str | Path | None = None,
    save_seconds: float = SAVE_SECONDS,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    data: Any = None,
) -> Passport | Passports:
    """Judge a network's samples, or images, and say how the numbers were made.

    Interrupted, it goes on when it is called again alike: what was seen is kept under ``work``, and
    nothing is counted twice. Statistics of the reference are kept there too.

    A run, or a network that was saved with its settings, is drawn from by its own sampler, guidance and seed,
    wherever neither the protocol, ``settings`` nor ``sampling`` state them; the passport says what was taken
    from where. So is a network in memory that :func:`thalweg.load` has found such settings with.

    Args:
        subject: a run's folder or a saved network, from which samples are drawn on the spot; or a folder,
            tar file, ``.npz`` or other source of images. In memory: a network, as :func:`thalweg.compose`
            makes it or anything that has ``facts`` and ``velocity``; a uint8 tensor of N x channels x height
            x width; or :class:`thalweg.TensorImages`, which has labels and captions besides, and any other
            :class:`thalweg.evaluation.images.Images`.
        reference: images in any of these forms; a recipe or run, whose training data are meant
            (``:validation`` behind it means the others); statistics that ``save_reference`` wrote; an
            ``.npz`` with ``mu`` and ``sigma``. By default what the protocol says.
        metrics: which, instead of the protocol's: see :func:`thalweg.evaluation.choosing.chosen`.
        extractor: whose features they read, where they name none.
        protocol: a shipped protocol's name or a TOML file.
        settings: ``key=value`` changes of the protocol, or settings where there is none, such as
            ``count=10000`` or ``sampling.sampler.steps=50``.
        sampling: how a network is drawn from, each key as a whole instead of what else says it, such as
            ``{"sampler": {"type": "euler", "steps": 50}, "guidance": None}``: a name, a table or a config.
        compare: several ways to draw from one network, by name. Each is such a table of ``sampler``,
            ``guidance`` and ``precision``, or a list of settings, such as ``["sampling.guidance.scale=2"]``.
            All begin at the same noise and labels, and the reference is seen once.
        out: where to write the passport; with ``compare`` a folder that gets one of each way.
        save_reference: where to write the reference's statistics.
        devices: processes that share the work; on accelerators one each. What is in memory is judged by this
            process alone.
        device: where networks run; ``auto`` takes an accelerator where there is one. A network in memory is
            moved there, and stays where it is with ``auto``.
        batch_size: images at a time; numbers do not depend on it beyond rounding inside networks.
        work: the folder for unfinished work and reference statistics; by default the cache's.
        save_seconds: how often unfinished work is put on disk.
        progress: called with ``samples`` or ``reference``, how many are done, and how many there are.
        say: told in words, before anything is drawn, how a network is drawn from.
        data: the data set of the subject's run, as a config or in plain values, instead of the one that its
            config names, which was written down without credentials. A network in memory has no run: give
            what it was trained on, unless the settings name a reference and an autoencoder.

    Returns:
        The passport; with ``compare`` those of all ways by name, whose text is a table of their numbers.

    Raises:
        ConfigError: settings are wrong or do not go together.
        DataError: images, weights or a checkpoint are missing or damaged; before anything is drawn where
            it can be known before.
        PluginError: a component cannot be imported.
        ThalwegError: samples are not finite, or a file cannot be written.
    """
    check_alone()
    check_given(
        subject,
        reference,
        metrics,
        extractor,
        protocol,
        out,
        save_reference,
        work,
        save_seconds,
        progress,
        say,
    )
    settings = check_texts("settings", settings, "['count=10']")
    ways = ways_of(compare, sampling)
    devices, batch_size = PROCESSES.check("devices", devices), AT_ONCE.check("batch_size", batch_size)
    check_shared(devices, subject=subject, reference=reference)
    begun = time.perf_counter()
    subject, reference = _placed("subject", subject), _placed("reference", reference)
    judges = chosen(metrics, extractor) if metrics else None
    for way in ways:
        check_protocol(protocol, (*settings, *way.settings), judges, way.sampling)
    place = resolved(device)
    work = default_work() if work is None else local_path(work, "work", "name a folder for unfinished work")
    means = Means(work, place, devices, batch_size, save_seconds, progress or (lambda *_: None))
    out = None if out is None else local_path(out, "out")
    save_reference = None if save_reference is None else local_path(save_reference, "save_reference")
    files = passport_files(out, ways)
    check_outputs(files, save_reference, (subject, reference, protocol))
    check_writable(*files, *([] if save_reference is None else [save_reference]))
    with contextlib.ExitStack() as copies:
        ours_at, theirs_at = brought(subject, copies), brought(reference, copies)
        network = network_of(ours_at)
        check_drawn(network, compare, sampling)
        if isinstance(network, HeldNetwork) and device == "auto":
            means = attrs.evolve(means, device=network.home)
        own = Own if network is None else network.own
        read = [
            read_protocol(protocol, (*settings, *way.settings), judges, own, way.sampling) for way in ways
        ]
        for one in read:
            check_named(devices, dump(one.config.sampling))
        opened = _opened(ours_at, network, [one.config for one in read], means.device, data)
        theirs = open_reference(theirs_at, opened[0], read[0].config, means.device)
        bench = Bench(read[0].config, opened[0].side.images, theirs, means)
        judgings = [Judging(bench, *one) for one in zip(read, opened, strict=True)]
        for way, one in zip(ways, read, strict=True):
            if network is not None:
                told = f"{way.name}: " if way.name else ""
                say(f"{told}drawing with {settings_in_words(one.config.sampling, one.origins)}")
        seen = reference_of(bench, opened[0], judgings, save_reference)
        passports = []
        for number, judging in enumerate(judgings):
            passport = judging.passport(subject, seen, means, begun)
            begun = time.perf_counter()
            if files:
                passport.write(files[number])
            passports.append(passport)
    for judging in judgings:
        # All at the end, so that whoever is interrupted at the last sees nothing of the others again.
        judging.forget()
    return (
        passports[0]
        if compare is None
        else Passports({str(way.name): one for way, one in zip(ways, passports, strict=True)})
    )


def _placed(name: str, what: Any) -> Any:
    """A path without what it may be written with, and a tensor as images."""
    return plain_place(what) if isinstance(what, str | Path) else as_images(name, what)


def _opened(
    what: Named,
    network: Model | HeldNetwork | None,
    configs: Sequence[EvaluationConfig],
    device: str,
    data: Any,
) -> list[Subject]:
    """What is judged, in each of the ways; a network is loaded once."""
    if network is None:
        return [open_subject(what, configs[0], device)]
    ready = network.network if isinstance(network, HeldNetwork) else load(network.path, device=device)
    return [open_network(network, config, device, data, ready) for config in configs]
