"""Extractors with their metrics, built, and the statistics that they ask for."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import torch
from torch import Tensor

from thalweg.config import dump_component
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.evaluation.images import Images, Piece
from thalweg.evaluation.parts import Makers, Statistics
from thalweg.evaluation.settings import EvaluationConfig, JudgeConfig
from thalweg.facts import Facts
from thalweg.plugins import build_component
from thalweg.plugins.recording import with_files
from thalweg.protocols import Extractor, Metric, Statistic
from thalweg.suggestions import one_line
from thalweg.types import Features

_SPREAD = "_std"


class Number(NamedTuple):
    """A number and where it is from.

    Attributes:
        metric: name of its metric.
        value: the number itself.
        better: ``higher`` or ``lower``; None where nobody can tell.
    """

    metric: str
    value: float
    better: str | None


@attrs.frozen(eq=False)
class Judge:
    """An extractor and the metrics that read its features.

    Attributes:
        name: as the settings call it.
        extractor: sees the features.
        metrics: read them.
        configs: that all of them were built from.
    """

    name: str
    extractor: Extractor
    metrics: Mapping[str, Metric]
    configs: Sequence[Any] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What its extractor is, and the plugin files that it or a metric is from."""
        parts = (self.extractor, *self.metrics.values(), *self.configs)
        return with_files(dict(self.extractor.identity), *parts)

    def makers(self, count: int, *, reference: bool) -> Makers:
        """The statistics that its metrics need of one side, shared by key."""
        found = {}
        for metric in self.metrics.values():
            asked = metric.reference_statistics(count) if reference else metric.statistics(count)
            found.update({f"{self.name}/{key}": make for key, make in asked.items()})
        return found

    def features(self, piece: Piece) -> Features:
        """What its extractor sees in these images, and which captions they have."""
        if self.extractor.reads_captions:
            found = self.extractor(piece.images, piece.captions)
        else:
            found = self.extractor(piece.images)
        return found if piece.captions is None else attrs.evolve(found, said=_numbered(piece.captions))

    def count(
        self, features: Features, labels: Tensor | None, indices: Sequence[int], statistics: Statistics
    ) -> None:
        """Take features into those of the statistics that are its own."""
        for one in self._own(statistics).values():
            one.update(features, labels, indices)

    def check(self, samples: Statistics, reference: Statistics) -> None:
        """Ask each metric whether its numbers can be computed once all images have been seen.

        Args:
            samples: statistics of stand-ins for samples.
            reference: those of the reference that are at hand.

        Raises:
            ThalwegError: what a metric says against it.
        """
        for metric in self.metrics.values():
            check = getattr(metric, "check", None)
            if check is not None:
                check(self._own(samples), self._own(reference))

    def numbers(self, samples: Statistics, reference: Statistics) -> dict[str, Number]:
        """All numbers, by the names that they bear in these features.

        Raises:
            DataError: if one is not finite.
            ThalwegError: if one cannot be computed.
        """
        found: dict[str, Number] = {}
        for metric in self.metrics.values():
            for number, value in self._computed(metric, samples, reference).items():
                name = self.extractor.number_name(number)
                if name in found:
                    raise ConfigError(
                        f"two metrics of '{self.name}' give the number '{name}'; put one under another judge"
                    )
                better = None if _SPREAD in name else metric.better
                found[name] = Number(metric.name, float(value), better)
        return found

    def _computed(self, metric: Metric, samples: Statistics, reference: Statistics) -> Mapping[str, float]:
        try:
            found = metric(self._own(samples), self._own(reference))
        except ThalwegError:
            raise
        except Exception as error:
            raise ThalwegError(
                f"'{metric.name}' cannot be computed ({one_line(error)}); what was seen is kept: remove the "
                "cause, and the same command goes on from there"
            ) from error
        wrong = [number for number, value in found.items() if not math.isfinite(value)]
        if wrong:
            raise DataError(
                f"'{wrong[0]}' by {self.extractor.name} is {float(found[wrong[0]])}: look for samples that "
                "have diverged, or broken statistics of the reference"
            )
        return found

    def _own(self, statistics: Statistics) -> dict[str, Statistic]:
        prefix = f"{self.name}/"
        return {key.removeprefix(prefix): one for key, one in statistics.items() if key.startswith(prefix)}


def build_judges(
    config: EvaluationConfig, facts: Facts, device: torch.device | str, teaching: Callable[[], Images] | None
) -> list[Judge]:
    """Build all extractors and metrics; whatever weights they need is read here.

    Args:
        config: names them.
        facts: shape and classes of the images.
        device: where extractors run.
        teaching: opens real images with labels, for extractors that are fitted first.

    Raises:
        DataError: if weights are not at hand, or are not those that are asked for.
        ConfigError: if an extractor has to be fitted and there is nothing to fit it to.
    """
    return [_judge(name, one, facts, device, teaching) for name, one in config.judges.items()]


def _judge(
    name: str,
    config: JudgeConfig,
    facts: Facts,
    device: torch.device | str,
    teaching: Callable[[], Images] | None,
) -> Judge:
    extractor = build_component(config.extractor, facts)
    metrics = {key: build_component(one, facts) for key, one in config.metrics.items()}
    kinds = [metric.name for metric in metrics.values()]
    if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
        raise ConfigError(f"'{name}' has the metric '{twice}' twice; put one under another judge")
    kind = dump_component("extractor", config.extractor)["type"]
    if hasattr(extractor, "fit"):
        _fit(extractor, kind, teaching)
    if isinstance(extractor, torch.nn.Module):
        extractor.to(device)
    return Judge(name, extractor, metrics, (config.extractor, *config.metrics.values()))


def _fit(extractor: Any, kind: str, teaching: Callable[[], Images] | None) -> None:
    if teaching is None:
        raise ConfigError(
            f"the extractor '{kind}' is trained on labelled real images first; give some by --reference, "
            "such as a recipe or an .npz with labels"
        )
    images = teaching()
    real = images.read(0, len(images))
    if real.labels is None:
        raise ConfigError(f"the extractor '{kind}' needs labels, and the reference has none; choose another")
    threads = torch.get_num_threads()
    # The order of sums depends on the number of threads, and any number of processes must agree.
    torch.set_num_threads(1)
    try:
        extractor.fit(real.images, real.labels, trained_on=_words(images.identity))
    finally:
        torch.set_num_threads(threads)


def _words(identity: Mapping[str, Any]) -> str:
    data = identity.get("data")
    return str(data["type"] if isinstance(data, Mapping) else identity.get("kind", "images"))


def _numbered(captions: Sequence[str]) -> Tensor:
    """A number for each caption, equal for equal ones, in whichever process and set."""
    digests = (hashlib.sha256(caption.encode()).digest()[:8] for caption in captions)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests])
