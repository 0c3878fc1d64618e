"""What samples are judged by: judges that are built once, and a reference that is seen once."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import attrs

from thalweg.config import dump_component
from thalweg.errors import ConfigError
from thalweg.evaluation.images import Images
from thalweg.evaluation.judges import Judge, build_judges
from thalweg.evaluation.parts import Makers, Statistics
from thalweg.evaluation.reference import Entry, ReferenceCache, stored_moments, write_reference
from thalweg.evaluation.rehearsal import Rehearsal, rehearsed
from thalweg.evaluation.seeing import Means, Seen, Side, kept_in, see
from thalweg.evaluation.sets import opened_once
from thalweg.evaluation.settings import EvaluationConfig
from thalweg.evaluation.subjects import Reference
from thalweg.evaluation.tasks import makers_of
from thalweg.facts import Facts
from thalweg.files import sha256
from thalweg.folders import refuse_links
from thalweg.protocols import Statistic

_MOST_CACHED = 8  # statistics of one reference
_COUNT_UNKNOWN = 1_000_000_000  # images of stored moments, which do not say it


class Bench:
    """The judges and the reference, for whatever samples of one shape and number.

    Args:
        config: what is asked for.
        samples: images as they will be judged, open.
        reference: what they are compared with.
        means: how work is carried out.

    Attributes:
        config: as given.
        judges: built.
        wanted: the statistics that are needed of samples, by key.
    """

    def __init__(self, config: EvaluationConfig, samples: Images, reference: Reference, means: Means) -> None:
        self.config, self._reference, self._means = config, reference, means
        teaching = None if reference.teaching is None else opened_once(reference.teaching, means.device)
        self._facts = Facts(shape=samples.shape, classes=samples.classes)
        try:
            self.judges = build_judges(config, self._facts, means.device, teaching)
        except ConfigError:
            # Perhaps for want of classes, which the real images may have. They are opened for nothing less.
            classes = None if samples.classes is not None or teaching is None else teaching().classes
            if classes is None:
                raise
            self._facts = attrs.evolve(self._facts, classes=classes)
            self.judges = build_judges(config, self._facts, means.device, teaching)
        self.wanted = makers_of(self.judges, len(samples), reference=False)
        count = self._reference_count or _COUNT_UNKNOWN
        self._of_reference = makers_of(self.judges, count, reference=True)

    @property
    def _reference_count(self) -> int:
        if self._reference.side is not None:
            return len(self._reference.side.images)
        return self._reference.file.count if self._reference.file is not None else 0

    def rehearsed(self, samples: Images) -> Rehearsal:
        """What judges say against such samples, before the first of them is seen."""
        return rehearsed(self.judges, samples, self.wanted)

    def reference(self, stand_ins: Statistics, save: Path | None) -> Statistics:
        """Statistics of the reference: as given, from the cache, or of its images, which are seen now.

        Args:
            stand_ins: what :meth:`rehearsed` came to, with which metrics say what they lack.
            save: a file to which they are written; None for none.

        Raises:
            ConfigError: there are no images to take them of, or none to save.
            ThalwegError: what a metric says against them.
        """
        stored = self._stored_statistics()
        self._check(stand_ins, stored)
        found = self._statistics(stored, save)
        if found.keys() != stored.keys():
            self._check(stand_ins, found)
        return found

    def conditions(self) -> dict[str, Any]:
        """Reference and judges, of all that numbers depend on."""
        reference = self._reference
        images: Any = "none"
        if reference.side is not None:
            images = {**reference.side.identity, "count": len(reference.side.images)}
        elif reference.file is not None:
            images = {**reference.file.images, "count": reference.file.count}
        return {
            "reference": {
                "images": images,
                "moments": "none" if reference.moments is None else sha256(reference.moments),
            },
            "judges": {
                judge.name: {
                    "extractor": judge.identity,
                    "metrics": {
                        name: dump_component("metric", one)
                        for name, one in self.config.judges[judge.name].metrics.items()
                    },
                }
                for judge in self.judges
            },
        }

    def see(self, side: Side, keys: Sequence[str]) -> Seen:
        """The statistics of these keys, of all images of a side."""
        judges = self._asked(keys)
        return see(side, judges, self.config, self._facts, self._reference.teaching, keys, self._means)

    def kept_in(self, side: Side, keys: Sequence[str]) -> Path:
        """Where they are kept meanwhile."""
        return kept_in(self._means.work, side, self._asked(keys), keys)

    def _check(self, stand_ins: Statistics, reference: Statistics) -> None:
        for judge in self.judges:
            judge.check(stand_ins, reference)

    def _stored_statistics(self) -> Statistics:
        """Those of the reference that were given as such."""
        statistics: dict[str, Statistic] = {}
        for judge in self.judges:
            mine: Makers = {
                key: make for key, make in self._of_reference.items() if key.startswith(f"{judge.name}/")
            }
            if self._reference.moments is not None:
                statistics.update(stored_moments(self._reference.moments, judge, mine))
            if self._reference.file is not None:
                for key, make in mine.items():
                    statistics[key] = make()
                    self._reference.file.read(judge, key, statistics[key])
        return statistics

    def _statistics(self, stored: Statistics, save: Path | None) -> Statistics:
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
            seen = self.see(side, begun[0]).statistics
            for key, entry in missing.items():
                cache.put(entry, seen[key])
                found[key] = (entry, seen[key])
        for those in begun:
            Seen({}, self.kept_in(side, those)).forget()
        return found

    def _begun(self, side: Side, keys: Sequence[str], missing: set[str]) -> list[tuple[str, ...]]:
        """The keys of work on the reference that was begun, and holds all that is missing, the most first."""
        cached = [key for key in keys if key not in missing]
        return [
            those
            for more in range(min(len(cached), _MOST_CACHED), -1, -1)
            for some in combinations(cached, more)
            if (those := (*missing, *some)) and self.kept_in(side, those).exists()
        ]

    def _entry(self, side: Side, key: str) -> Entry:
        name, _, statistic = key.partition("/")
        judge = next(one for one in self.judges if one.name == name)
        return Entry(side.identity, len(side.images), judge.identity, statistic)

    def _asked(self, keys: Sequence[str]) -> list[Judge]:
        return [judge for judge in self.judges if any(key.startswith(f"{judge.name}/") for key in keys)]
