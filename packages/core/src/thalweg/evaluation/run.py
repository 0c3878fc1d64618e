"""An evaluation from beginning to end."""

import contextlib
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import attrs

from thalweg.arguments import check_texts
from thalweg.config import dump_component
from thalweg.errors import ConfigError
from thalweg.evaluation.choosing import chosen
from thalweg.evaluation.given import check_given
from thalweg.evaluation.judges import Judge, build_judges
from thalweg.evaluation.outputs import check_outputs
from thalweg.evaluation.own import Own, settings_in_words
from thalweg.evaluation.parts import Makers, Statistics
from thalweg.evaluation.passport import Passport
from thalweg.evaluation.processes import check_alone
from thalweg.evaluation.protocol import Protocol, check_protocol, read_protocol
from thalweg.evaluation.recorders import SAVE_SECONDS
from thalweg.evaluation.reference import Entry, ReferenceCache, stored_moments, write_reference
from thalweg.evaluation.rehearsal import rehearsed
from thalweg.evaluation.seeing import Means, Progress, Seen, Side, kept_in, see
from thalweg.evaluation.sets import opened_once
from thalweg.evaluation.subjects import (
    Named,
    Reference,
    Subject,
    brought,
    network_of,
    open_reference,
    open_subject,
)
from thalweg.evaluation.surroundings import check_room, check_writable, default_work, machine, software
from thalweg.evaluation.tasks import makers_of, resolved
from thalweg.facts import Facts
from thalweg.files import sha256
from thalweg.folders import refuse_links
from thalweg.integers import AT_ONCE, PROCESSES
from thalweg.protocols import Statistic
from thalweg.storage.places import local_path, plain_place

_MOST_CACHED = 8  # statistics of one reference


def evaluate(
    subject: Named,
    *,
    reference: Named | None = None,
    metrics: Sequence[str | Mapping[str, Any]] = (),
    extractor: str | Mapping[str, Any] | None = None,
    protocol: str | Path | None = None,
    settings: Sequence[str] = (),
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
) -> Passport:
    """Judge a network's samples, or images, and say how the numbers were made.

    Interrupted, it goes on when it is called again alike: what was seen is kept under ``work``, and
    nothing is counted twice. Statistics of the reference are kept there too.

    A run, or a network that was saved with its settings, is drawn from by its own sampler, guidance and seed,
    wherever neither the protocol nor ``settings`` state them; the passport says what was taken from where.

    Args:
        subject: a run's folder or a saved network, from which samples are drawn on the spot; or a folder,
            tar file, ``.npz`` or other source of images; or a :class:`thalweg.evaluation.images.Images`.
        reference: images in any of these forms; a recipe or run, whose training data are meant
            (``:validation`` behind it means the others); statistics that ``save_reference`` wrote; an
            ``.npz`` with ``mu`` and ``sigma``. By default what the protocol says.
        metrics: which, instead of the protocol's: see :func:`thalweg.evaluation.choosing.chosen`.
        extractor: whose features they read, where they name none.
        protocol: a shipped protocol's name or a TOML file.
        settings: ``key=value`` changes of the protocol, or settings where there is none, such as
            ``count=10000`` or ``sampling.sampler.steps=50``.
        out: where to write the passport.
        save_reference: where to write the reference's statistics.
        devices: processes that share the work; on accelerators one each.
        device: where networks run; ``auto`` takes an accelerator where there is one.
        batch_size: images at a time; numbers do not depend on it beyond rounding inside networks.
        work: the folder for unfinished work and reference statistics; by default the cache's.
        save_seconds: how often unfinished work is put on disk.
        progress: called with ``samples`` or ``reference``, how many are done, and how many there are.
        say: told in words, before anything is drawn, how a network is drawn from.
        data: the data set of the subject's run, as a config or in plain values, instead of the one that its
            config names, which was written down without credentials.

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
    devices, batch_size = PROCESSES.check("devices", devices), AT_ONCE.check("batch_size", batch_size)
    begun = time.perf_counter()
    subject = plain_place(subject) if isinstance(subject, str | Path) else subject
    reference = plain_place(reference) if isinstance(reference, str | Path) else reference
    judged = chosen(metrics, extractor) if metrics else None
    check_protocol(protocol, settings, judged)
    place = resolved(device)
    means = Means(
        default_work() if work is None else local_path(work, "work", "name a folder for unfinished work"),
        place,
        devices,
        batch_size,
        save_seconds,
        progress or (lambda *_: None),
    )
    out = None if out is None else local_path(out, "out")
    save_reference = None if save_reference is None else local_path(save_reference, "save_reference")
    check_outputs(out, save_reference, (subject, reference, protocol))
    check_writable(*(path for path in (out, save_reference) if path is not None))
    with contextlib.ExitStack() as copies:
        ours_at, theirs_at = brought(subject, copies), brought(reference, copies)
        network = network_of(ours_at)
        read = read_protocol(protocol, settings, judged, Own if network is None else network.own)
        ours = open_subject(ours_at, network, read.config, place, data)
        theirs = open_reference(theirs_at, ours, read.config, place)
        evaluation = _Evaluation(read, ours, theirs, means)
        if network is not None:
            say(f"drawing with {settings_in_words(read.config.sampling, read.origins)}")
        passport = Passport(
            numbers=evaluation.numbers(save_reference),
            conditions=evaluation.conditions(),
            subject=evaluation.subject(subject),
            protocol={
                "name": read.config.name,
                "version": read.config.version,
                "sha256": read.sha256,
                "changed": list(read.changed),
                "sampling": None if network is None else dict(read.origins),
            },
            software=software(),
            machine=machine(place, devices, time.perf_counter() - begun),
            made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
    if out is not None:
        passport.write(out)
    evaluation.forget()
    return passport


class _Evaluation:
    """Both sides, the judges, and what they find."""

    def __init__(self, protocol: Protocol, subject: Subject, reference: Reference, means: Means) -> None:
        self._config, self._subject, self._reference, self._means = protocol.config, subject, reference, means
        samples = subject.side.images
        teaching = None if reference.teaching is None else opened_once(reference.teaching, means.device)
        self._facts = Facts(shape=samples.shape, classes=samples.classes)
        try:
            self._judges = build_judges(self._config, self._facts, means.device, teaching)
        except ConfigError:
            # Perhaps for want of classes, which the real images may have. They are opened for nothing less.
            classes = None if samples.classes is not None or teaching is None else teaching().classes
            if classes is None:
                raise
            self._facts = attrs.evolve(self._facts, classes=classes)
            self._judges = build_judges(self._config, self._facts, means.device, teaching)
        self._samples = Seen({}, None)
        self._wanted = makers_of(self._judges, len(samples), reference=False)
        if self._reference_count:
            self._of_reference = makers_of(self._judges, self._reference_count, reference=True)
        else:
            self._of_reference = self._without_reference()

    @property
    def _reference_count(self) -> int:
        if self._reference.side is not None:
            return len(self._reference.side.images)
        # Stored moments do not say of how many images they are; every metric takes a large number.
        return self._reference.file.count if self._reference.file is not None else 0

    def numbers(self, save_reference: Path | None) -> dict[str, dict[str, Any]]:
        """All numbers; the reference first, as its faults should show before hours of drawing."""
        side = self._subject.side
        rehearsal = rehearsed(self._judges, side.images, self._wanted)
        stand_ins = rehearsal.statistics
        # Files are joined into one that is written before they go.
        check_room(self._kept_in(side, list(self._wanted)), 2 * rehearsal.size_of(len(side.images)), "--work")
        stored = self._stored_statistics()
        self._check(stand_ins, stored)
        reference = self._reference_statistics(stored, save_reference)
        if reference.keys() != stored.keys():
            self._check(stand_ins, reference)
        self._samples = self._see(side, list(self._wanted))
        found: dict[str, dict[str, Any]] = {}
        for judge in self._judges:
            for name, number in judge.numbers(self._samples.statistics, reference).items():
                written = f"{name} ({judge.name})" if name in found else name
                found[written] = {
                    "value": number.value,
                    "metric": number.metric,
                    "judge": judge.name,
                    "features": judge.extractor.name,
                    "better": number.better,
                }
        return found

    def conditions(self) -> dict[str, Any]:
        """All that numbers depend on, apart from what is judged."""
        config, reference = self._config, self._reference
        images: Any = "none"
        if reference.side is not None:
            images = {**reference.side.identity, "count": len(reference.side.images)}
        elif reference.file is not None:
            images = {**reference.file.images, "count": reference.file.count}
        side = self._subject.side
        return {
            "protocol": {"name": config.name, "version": config.version},
            "count": len(side.images),
            "crop": config.crop or "none",
            "sampling": self._subject.drawn or "not stated",
            "reference": {
                "images": images,
                "moments": "none" if reference.moments is None else sha256(reference.moments),
            },
            "judges": {
                judge.name: {
                    "extractor": dict(judge.extractor.identity),
                    "metrics": {
                        name: dump_component("metric", one)
                        for name, one in config.judges[judge.name].metrics.items()
                    },
                }
                for judge in self._judges
            },
        }

    def subject(self, named: Named) -> dict[str, Any]:
        """What is judged."""
        from thalweg.storage import redacted

        images = self._subject.side.images
        where = redacted(str(named)) if isinstance(named, str | Path) else type(named).__name__
        shape = list(images.shape)
        return {"what": where, **images.identity, "shape": shape, "count": len(images)}

    def _check(self, stand_ins: Statistics, reference: Statistics) -> None:
        for judge in self._judges:
            judge.check(stand_ins, reference)

    def _stored_statistics(self) -> Statistics:
        """Those of the reference that were given as such."""
        statistics: dict[str, Statistic] = {}
        for judge in self._judges:
            mine = {key: make for key, make in self._of_reference.items() if key.startswith(f"{judge.name}/")}
            if self._reference.moments is not None:
                statistics.update(stored_moments(self._reference.moments, judge, mine))
            if self._reference.file is not None:
                for key, make in mine.items():
                    statistics[key] = make()
                    self._reference.file.read(judge, key, statistics[key])
        return statistics

    def _reference_statistics(self, stored: Statistics, save: Path | None) -> Statistics:
        statistics = dict(stored)
        entries: list[tuple[Entry, Statistic]] = []
        side = self._reference.side
        left = [key for key in self._of_reference if key not in statistics]
        if left and side is None:
            names = ", ".join(key.partition("/")[2] for key in left)
            raise ConfigError(f"the reference has no images to take {names} of; give images by --reference")
        if side is not None:
            cached = self._from_cache(side, left)
            statistics.update({key: one for key, (_, one) in cached.items()})
            entries = list(cached.values())
        if save is not None:
            if not entries:
                raise ConfigError("no statistics were taken of reference images, so there are none to save")
            write_reference(save, entries)
        return statistics

    def _from_cache(self, side: Side, keys: Sequence[str]) -> dict[str, tuple[Entry, Statistic]]:
        refuse_links(self._means.work, "references")
        cache = ReferenceCache(self._means.work / "references")
        found: dict[str, tuple[Entry, Statistic]] = {}
        missing: dict[str, Entry] = {}
        for key in keys:
            entry, statistic = self._entry(side, key), self._of_reference[key]()
            if cache.get(entry, statistic):
                found[key] = (entry, statistic)
            else:
                missing[key] = entry
        begun = self._begun(side, keys, set(missing))
        if missing:
            # With more than is missing where that was seen before, by a process that was ended in between.
            begun = begun[:1] or [tuple(missing)]
            seen = self._see(side, begun[0]).statistics
            for key, entry in missing.items():
                cache.put(entry, seen[key])
                found[key] = (entry, seen[key])
        for those in begun:
            Seen({}, self._kept_in(side, those)).forget()
        return found

    def _begun(self, side: Side, keys: Sequence[str], missing: set[str]) -> list[tuple[str, ...]]:
        """The keys of work on the reference that was begun, and holds all that is missing, the most first."""
        cached = [key for key in keys if key not in missing]
        return [
            those
            for more in range(min(len(cached), _MOST_CACHED), -1, -1)
            for some in combinations(cached, more)
            if (those := (*missing, *some)) and self._kept_in(side, those).exists()
        ]

    def _kept_in(self, side: Side, keys: Sequence[str]) -> Path:
        return kept_in(self._means.work, side, self._asked(keys), keys)

    def _entry(self, side: Side, key: str) -> Entry:
        name, _, statistic = key.partition("/")
        judge = next(one for one in self._judges if one.name == name)
        return Entry(side.identity, len(side.images), judge.extractor.identity, statistic)

    def forget(self) -> None:
        """Remove what is kept of the samples, once the numbers are where they belong."""
        self._samples.forget()

    def _see(self, side: Side, keys: Sequence[str]) -> Seen:
        judges = self._asked(keys)
        return see(side, judges, self._config, self._facts, self._reference.teaching, keys, self._means)

    def _asked(self, keys: Sequence[str]) -> list[Judge]:
        return [judge for judge in self._judges if any(key.startswith(f"{judge.name}/") for key in keys)]

    def _without_reference(self) -> Makers:
        """What is asked of a reference of which nobody knows how many images it had."""
        return makers_of(self._judges, 1_000_000_000, reference=True)
