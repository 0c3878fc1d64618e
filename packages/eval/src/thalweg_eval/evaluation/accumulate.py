"""Statistics of the features of a set's images, by this process or several, from the beginning or resumed."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Facts
from thalweg.folders import refuse_links
from thalweg.image_sets.images import Images
from thalweg.jobs import ranges as spans
from thalweg.jobs.pool import share_work
from thalweg.jobs.ranges import Range
from thalweg.jobs.tasks import Progress, Recorder, counter
from thalweg.jobs.workspace import claimed, digest, sweep
from thalweg_eval.evaluation.features import FeatureMetrics, build_features
from thalweg_eval.evaluation.image_sets.generated import GeneratedImages
from thalweg_eval.evaluation.image_sets.opening import ImageSetConfig, OpenSet, opened_once
from thalweg_eval.evaluation.partial_statistics import (
    Makers,
    PartialStatistics,
    Statistics,
    content_of,
    holds_no_more,
)
from thalweg_eval.evaluation.protocol import EvaluationConfig
from thalweg_eval.statistics.nfe import NFE, NfeCounter

SAVE_SECONDS = 30.0
"""How much work an interruption may cost, beside the batch that it falls into."""

_ATTEMPTS = 3  # on a disk that damages what was just written


@attrs.frozen(eq=False)
class Execution:
    """How an evaluation is carried out; none of it changes its numbers.

    Attributes:
        work: the folder for unfinished work and statistics of references.
        devices: the device of each process that shares the work, of this one first.
        batch_size: images at a time.
        save_seconds: how often statistics are put on disk.
        progress: called with ``samples`` or ``reference``, how many images are done, and how many there are.
    """

    work: Path
    devices: Sequence[str]
    batch_size: int = 64
    save_seconds: float = SAVE_SECONDS
    progress: Progress = lambda *_: None


def makers_of(features: Iterable[FeatureMetrics], count: int, *, reference: bool) -> Makers:
    """The statistics that all metrics need of samples, with their NFE, or of a reference."""
    found: dict[str, Any] = {} if reference else {NFE: NfeCounter}
    for one in features:
        found.update(one.makers(count, reference=reference))
    return found


class _FeatureRecorder(Recorder):
    """Takes a process's share of a set, batch after batch, and keeps statistics of its features."""

    def __init__(
        self,
        images: Images,
        features: Sequence[FeatureMetrics],
        partial: PartialStatistics,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        self._images, self._features, self._partial = images, features, partial
        self._save_seconds = save_seconds
        self._ranges: list[Range] = []
        self._begin()

    def take(self, start: int, stop: int) -> None:
        """Read or generate images, and add their features to the statistics.

        Raises:
            ThalwegError: naming an image that is damaged, of another size, or not finite.
        """
        source = self._images.source if isinstance(self._images, GeneratedImages) else None
        before = Fraction(0) if source is None else source.total_nfe
        piece = self._images.read(start, stop)
        found = [(one, one.features(piece)) for one in self._features]
        # An interruption from here on may leave some statistics ahead of others: they are thrown away then.
        ranges, self._ranges = self._ranges, []
        for one, features in found:
            one.update(self._statistics, features, piece.labels, range(start, stop))
        counter = self._statistics.get(NFE)
        if isinstance(counter, NfeCounter) and source is not None:
            counter.count(source.total_nfe - before, stop - start)
        self._ranges = [*ranges, (start, stop)]
        if time.monotonic() - self._saved >= self._save_seconds:
            self.flush()

    def flush(self) -> None:
        """Put the statistics on disk and begin new ones."""
        if self._ranges:
            self._partial.add(self._ranges, self._statistics)
        self._begin()

    def _begin(self) -> None:
        self._statistics, self._ranges = self._partial.empty(), []
        self._saved = time.monotonic()


@attrs.frozen
class AccumulateTask:
    """The share of a started process: statistics of ``keys``, kept in ``folder`` under ``content``."""

    images: ImageSetConfig
    config: EvaluationConfig
    facts: Facts
    keys: tuple[str, ...]
    count: int
    reference: bool
    training: ImageSetConfig | None
    content: Mapping[str, str]
    folder: Path

    def recorder(self, device: str) -> Recorder:
        """Open the set and build extractors and metrics."""
        training = None if self.training is None else opened_once(self.training, device)
        features = build_features(self.config, self.facts, device, training)
        makers = makers_of(features, self.count, reference=self.reference)
        partial = PartialStatistics(self.folder, {key: makers[key] for key in self.keys}, self.content)
        return _FeatureRecorder(self.images.open(device), features, partial)


class Accumulator:
    """Computes statistics of any sets for extractors and metrics that are built once.

    Args:
        config: names them.
        samples: images as they will be evaluated, open.
        training: the set that extractors are fitted to; None where there is none.
        execution: how work is carried out.

    Attributes:
        config: as given.
        features: extractors with their metrics.
        makers: the statistics that are needed of samples, by key.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        samples: Images,
        training: ImageSetConfig | Images | None,
        execution: Execution,
    ) -> None:
        self.config, self.execution, self._training = config, execution, training
        opened = None if training is None else opened_once(training, execution.devices[0])
        self._facts = Facts(shape=samples.shape, classes=samples.classes)
        try:
            self.features = build_features(config, self._facts, execution.devices[0], opened)
        except ConfigError:
            # Perhaps for want of classes, which the real images may have. They are opened for nothing less.
            classes = None if samples.classes is not None or opened is None else opened().classes
            if classes is None:
                raise
            self._facts = attrs.evolve(self._facts, classes=classes)
            self.features = build_features(config, self._facts, execution.devices[0], opened)
        self.makers = makers_of(self.features, len(samples), reference=False)

    def folder(self, images: OpenSet, keys: Iterable[str]) -> Path:
        """Where the statistics of these keys are kept until :meth:`remove` is called."""
        features = {one.name: one.identity for one in self._asked(keys)}
        request = {**_stated(images), "features": features, "keys": sorted(keys)}
        return self._unfinished / digest(request)[:32]

    def accumulate(self, images: OpenSet, makers: Makers) -> Statistics:
        """Statistics of all images of a set, by key.

        Interrupted work is resumed: no image that had been put on disk is read again.

        Raises:
            ConfigError: if another process is at the same.
            ThalwegError: if an image is damaged or a file cannot be written.
        """
        if not makers:
            return {}
        whole, execution = [(0, len(images.images))], self.execution
        features = self._asked(makers)
        folder = self.folder(images, makers)
        sweep(folder.parent.glob("*"))
        with claimed(folder):
            partial = PartialStatistics(folder, makers, self._content(images, makers))
            if not partial.done():
                partial.adopt()
            for _ in range(_ATTEMPTS):
                done = partial.done()
                batches = spans.batches(spans.without(whole, done), execution.batch_size)
                if batches:
                    share_work(
                        _FeatureRecorder(images.images, features, partial, execution.save_seconds),
                        self._task(images, partial) if len(execution.devices) > 1 else None,
                        spans.divided(batches, len(execution.devices)),
                        execution.devices,
                        counter(execution.progress, images.role, spans.size(done), len(images.images)),
                    )
                if not spans.without(whole, partial.done()):
                    merged = partial.merged()
                    if merged is not None:
                        return merged
        raise ThalwegError(
            f"not all {images.role} were evaluated, or files in {folder} are damaged again and again; the "
            "same command resumes from there"
        )

    def remove(self, images: OpenSet, keys: Iterable[str]) -> None:
        """Remove statistics from the disk, once what was computed from them is there."""
        self._remove(self.folder(images, keys))

    def remove_all(self, images: OpenSet, keys: Iterable[str]) -> None:
        """Remove them, and what is left of commands that asked for no more of the same images."""
        content = self._content(images, keys)
        for folder in self._unfinished.glob("*"):
            if folder.is_dir() and not folder.is_symlink() and holds_no_more(folder, content):
                self._remove(folder)

    @property
    def _unfinished(self) -> Path:
        refuse_links(self.execution.work, "unfinished")
        return self.execution.work / "unfinished"

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            with suppress(ConfigError), claimed(folder):  # somebody else may be at the same just now
                PartialStatistics(folder, {}).remove()

    def _task(self, images: OpenSet, partial: PartialStatistics) -> AccumulateTask:
        # What only this process has was refused for several when the evaluation began.
        assert images.config is not None and not isinstance(self._training, Images)  # noqa: S101, PT018
        return AccumulateTask(
            images=images.config,
            config=self.config,
            facts=self._facts,
            keys=tuple(partial.empty()),
            count=len(images.images),
            reference=images.role == "reference",
            training=self._training,
            content=partial.content,
            folder=partial.folder,
        )

    def _asked(self, keys: Iterable[str]) -> list[FeatureMetrics]:
        names = {key.partition("/")[0] for key in keys}
        return [one for one in self.features if one.name in names]

    def _content(self, images: OpenSet, keys: Iterable[str]) -> dict[str, str]:
        identities = {one.name: one.identity for one in self.features}
        return content_of(_stated(images), {key: identities.get(key.partition("/")[0], {}) for key in keys})


def _stated(images: OpenSet) -> dict[str, Any]:
    return {"role": images.role, "images": images.identity, "count": len(images.images)}
