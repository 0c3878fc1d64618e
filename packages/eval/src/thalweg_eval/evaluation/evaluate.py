"""An evaluation from beginning to end: numbers of samples, with their provenance."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import attrs
from torch import Tensor

from thalweg.arguments import AT_ONCE, check_texts
from thalweg.config import dump
from thalweg.devices import devices_of
from thalweg.folders import check_writable
from thalweg.generation.recording import check_named
from thalweg.inherited import Inherited, origin_in_words, settings_in_words
from thalweg.jobs.pool import check_alone
from thalweg.jobs.tasks import Progress
from thalweg.passport import Passport
from thalweg.storage import cache_folder
from thalweg.storage.places import local_path, plain_place
from thalweg_eval.evaluation.accumulate import SAVE_SECONDS, Execution
from thalweg_eval.evaluation.arguments import (
    check_drawn,
    check_outputs,
    check_shared,
    check_types,
    passport_files,
)
from thalweg_eval.evaluation.compare import Passports
from thalweg_eval.evaluation.evaluator import Evaluator
from thalweg_eval.evaluation.image_sets.tensor import TensorImages
from thalweg_eval.evaluation.protocol import check_protocol, features_for, read_protocol
from thalweg_eval.evaluation.subject import Named, NetworkInMemory, local, network_of
from thalweg_eval.evaluation.variants import variants_of

_WORK = "name a folder for unfinished work"


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
    devices: int | str
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
    devices: int | str = 1,
    device: str = "auto",
    batch_size: int = 64,
    work: str | Path | None = None,
    save_seconds: float = SAVE_SECONDS,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
    data: Any = None,
) -> Passport | Passports:
    """Compute metrics of a network's samples, or of images, and say how the numbers were made.

    Interrupted, it is resumed when it is called again alike: statistics are kept under ``work``, and nothing
    is counted twice. Statistics of the reference are kept there too.

    A run, or a network that was saved with its settings, is sampled by its own sampler, guidance and seed,
    wherever neither the protocol, ``settings`` nor ``sampling`` state them; the passport says what was taken
    from where. So is a network in memory that :func:`thalweg.load` has found such settings with.

    Args:
        subject: a run's folder or a saved network, from which samples are generated on the spot; or a folder,
            tar file, ``.npz`` or other source of images. In memory: a network, as :func:`thalweg.compose`
            makes it or anything that has ``facts`` and ``velocity``; a uint8 tensor of N x channels x height
            x width; :class:`thalweg_eval.TensorImages`, which has labels and captions besides; and any other
            :class:`thalweg.image_sets.images.Images`.
        reference: images in any of these forms; a recipe or run, whose training data are meant
            (``:validation`` behind it means the others); statistics that ``save_reference`` wrote; an
            ``.npz`` with ``mu`` and ``sigma``. By default what the protocol says.
        metrics: which, instead of the protocol's: see
            :func:`thalweg_eval.evaluation.protocol.features_for`.
        extractor: whose features they take, where they name none.
        protocol: a shipped protocol's name or a TOML file.
        settings: ``key=value`` changes of the protocol, or settings where there is none, such as
            ``count=10000`` or ``sampling.sampler.steps=50``.
        sampling: how a network is sampled, each key as a whole instead of what else says it, such as
            ``{"sampler": {"type": "euler", "steps": 50}, "guidance": None}``: a name, a table or a config.
        compare: several variants of sampling one network, by name. Each is such a table of ``sampler``,
            ``guidance`` and ``precision``, or a list of settings, such as ``["sampling.guidance.scale=2"]``.
            All begin at the same noise and labels, and the reference is read once.
        out: where to write the passport; with ``compare`` a folder that gets one of each variant.
        save_reference: where to write the reference's statistics.
        devices: processes that share the work, or ``auto``; on accelerators one each. What is in memory is
            evaluated by this process alone.
        device: where networks run; ``auto`` takes an accelerator where there is one. A network in memory is
            moved there, and stays where it is with ``auto``.
        batch_size: images at a time; numbers do not depend on it beyond rounding inside networks.
        work: the folder for unfinished work and reference statistics; by default the cache's.
        save_seconds: how often unfinished work is put on disk.
        progress: called with ``samples`` or ``reference``, how many are done, and how many there are.
        say: called, before anything is sampled, how a network is sampled.
        data: the data set of the subject's run, as a config or in plain values, instead of the one that its
            config names, which was written down without credentials. A network in memory has no run: give
            what it was trained on, unless the settings name a reference and an autoencoder.

    Returns:
        The passport; with ``compare`` those of all variants by name, whose text is a table of their numbers.

    Raises:
        ConfigError: settings are wrong or do not go together.
        DataError: images, weights or a checkpoint are missing or damaged; before anything is sampled where
            it can be known before.
        PluginError: a component cannot be imported.
        ThalwegError: samples are not finite, or a file cannot be written.
    """
    check_alone()
    check_types(
        subject=subject,
        reference=reference,
        metrics=metrics,
        extractor=extractor,
        protocol=protocol,
        paths={"out": out, "save_reference": save_reference, "work": work},
        functions={"say": say, "progress": _silent if progress is None else progress},
        save_seconds=save_seconds,
    )
    settings = check_texts("settings", settings, "['count=10']")
    variants = variants_of(compare, sampling)
    batch_size, places = AT_ONCE.check("batch_size", batch_size), devices_of(device, devices)
    check_shared(len(places), subject=subject, reference=reference)
    begun = time.perf_counter()
    subject, reference = _placed("subject", subject), _placed("reference", reference)
    features = features_for(metrics, extractor) if metrics else None
    for variant in variants:
        check_protocol(protocol, (*settings, *variant.settings), features, variant.sampling)
    work = cache_folder() / "evaluation" if work is None else local_path(work, "work", _WORK)
    execution = Execution(work, places, batch_size, save_seconds, progress or _silent)
    files = passport_files(None if out is None else local_path(out, "out"), variants)
    save_reference = None if save_reference is None else local_path(save_reference, "save_reference")
    check_outputs(files, save_reference, (subject, reference, protocol))
    check_writable(*files, *([] if save_reference is None else [save_reference]))
    with contextlib.ExitStack() as copies:
        samples_at, reference_at = local(subject, copies), local(reference, copies)
        network = network_of(samples_at)
        check_drawn(network, compare=compare, sampling=sampling)
        if isinstance(network, NetworkInMemory) and device == "auto":
            execution = attrs.evolve(execution, devices=[network.home])
        inherited = Inherited if network is None else network.inherited
        protocols = [
            read_protocol(protocol, (*settings, *one.settings), features, inherited, one.sampling)
            for one in variants
        ]
        for read in protocols:
            check_named(len(places), dump(read.config.sampling))
        evaluator = Evaluator(subject, samples_at, network, reference_at, protocols, execution, data)
        if network is not None:
            for variant, read in zip(variants, protocols, strict=True):
                words = settings_in_words(read.config.sampling, read.origins, network.identity.get("step"))
                words = f"{words}, count {read.config.count} ({origin_in_words(read.counted)})"
                say(f"{variant.name}: {words}" if variant.name else words)
        evaluator.prepare(save_reference)
        passports = []
        for number, one in enumerate(evaluator.ways):
            passports.append(evaluator.score(one, begun))
            begun = time.perf_counter()
            if files:
                passports[-1].write(files[number])
    for one in evaluator.ways:
        # All at the end, so that an interruption during the last costs nothing of the others.
        evaluator.remove(one)
    if compare is None:
        return passports[0]
    return Passports({str(one.name): passport for one, passport in zip(variants, passports, strict=True)})


def _placed(name: str, what: Any) -> Any:
    """A path without what it may be written with, and a tensor as images."""
    if isinstance(what, Tensor):
        return TensorImages(what, name=name)
    return plain_place(what) if isinstance(what, str | Path) else what


def _silent(*_: Any) -> None:
    """No progress is shown."""
