"""One subject on the bench: its numbers, and what its passport says of it."""

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.evaluation.bench import Bench
from thalweg.evaluation.counting import EVALUATIONS, Evaluations
from thalweg.evaluation.networks import NetworkImages
from thalweg.evaluation.parts import Statistics
from thalweg.evaluation.passport import Passport
from thalweg.evaluation.protocol import Protocol
from thalweg.evaluation.seeing import Means, Seen
from thalweg.evaluation.subjects import Named, Subject
from thalweg.evaluation.surroundings import check_room, machine, software
from thalweg.storage.redaction import redacted


class Judging:
    """Sees samples once.

    Args:
        bench: the judges and the reference.
        protocol: settings of this subject, which differ from the bench's in how samples are drawn alone.
        subject: what is judged.
    """

    def __init__(self, bench: Bench, protocol: Protocol, subject: Subject) -> None:
        self._bench, self._protocol, self._subject = bench, protocol, subject
        self._folder: Path | None = None
        self._evaluations: float | None = None

    @property
    def folder(self) -> Path:
        """Where what was seen is kept until it is forgotten."""
        return self._bench.kept_in(self._subject.side, list(self._bench.wanted))

    def try_out(self) -> None:
        """Ask a network once, since hours of reading the reference may come before the first sample.

        Raises:
            ThalwegError: it does not answer.
        """
        images = self._subject.side.images
        if isinstance(images, NetworkImages):
            images.try_out()

    def passport(self, named: Named, reference: Statistics, means: Means, begun: float) -> Passport:
        """See all samples, and say what they came to.

        Args:
            named: what is judged, as the user names it.
            reference: statistics of what it is compared with.
            means: how work is carried out.
            begun: when, by ``time.perf_counter``.

        Raises:
            ConfigError: two numbers bear one name.
            ThalwegError: samples are not finite or damaged, or a number cannot be computed.
        """
        read = self._protocol
        return Passport(
            numbers=self._numbers(reference),
            conditions=self._conditions(),
            subject=self._described(named),
            protocol={
                "name": read.config.name,
                "version": read.config.version,
                "sha256": read.sha256,
                "changed": list(read.changed),
                "sampling": dict(read.origins) if self._subject.is_network else None,
            },
            software=software(),
            machine=machine(means.device, means.devices, time.perf_counter() - begun),
            made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _numbers(self, reference: Statistics) -> dict[str, dict[str, Any]]:
        seen = self._bench.see(self._subject.side, list(self._bench.wanted))
        self._folder, counted = seen.folder, seen.statistics.get(EVALUATIONS)
        if isinstance(counted, Evaluations):
            self._evaluations = counted.of_each
        found: dict[str, dict[str, Any]] = {}
        for judge in self._bench.judges:
            for name, number in judge.numbers(seen.statistics, reference).items():
                written = f"{name} ({judge.name})" if name in found else name
                found[written] = {
                    "value": number.value,
                    "metric": number.metric,
                    "judge": judge.name,
                    "features": judge.extractor.name,
                    "better": number.better,
                }
        return found

    def _conditions(self) -> dict[str, Any]:
        """All that numbers depend on, apart from what is judged."""
        config = self._protocol.config
        return {
            "protocol": {"name": config.name, "version": config.version},
            "count": len(self._subject.side.images),
            "crop": config.crop or "none",
            "sampling": self._subject.drawn or "not stated",
            **self._bench.conditions(),
        }

    def _described(self, named: Named) -> dict[str, Any]:
        """What is judged, and what its samples cost."""
        images = self._subject.side.images
        where = redacted(str(named)) if isinstance(named, str | Path) else f"{type(named).__name__} in memory"
        found = {"what": where, **images.identity, "shape": list(images.shape), "count": len(images)}
        return found if self._evaluations is None else {**found, "evaluations": self._evaluations}

    def forget(self) -> None:
        """Remove what is kept of the samples, once the numbers are where they belong."""
        Seen({}, self._folder).forget()


def reference_of(
    bench: Bench, subject: Subject, judgings: Sequence[Judging], save: Path | None
) -> Statistics:
    """Statistics of the reference, once nothing stands against the numbers.

    Its faults should show before hours of drawing, and those of networks before it is seen.

    Args:
        bench: the judges.
        subject: any of those that are going to be judged, which differ in nothing that judges see beforehand.
        judgings: all of them.
        save: as :meth:`thalweg.evaluation.bench.Bench.reference` takes it.

    Raises:
        ThalwegError: what judges say, a network that does not answer, or too little room for what they keep.
    """
    images = subject.side.images
    rehearsal = bench.rehearsed(images)
    # Files are joined into one that is written before they go.
    needed = (len(judgings) + 1) * rehearsal.size_of(len(images))
    check_room(judgings[0].folder, needed, "--work")
    for judging in judgings:
        judging.try_out()
    return bench.reference(rehearsal.statistics, save)
