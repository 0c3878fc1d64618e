"""Extractors with the metrics of their features, built, and the statistics that they need."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.config import dump_component
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.facts import Facts
from thalweg.image_sets.images import Images, Piece, captions_of
from thalweg.plugins import build_component
from thalweg.plugins.recording import with_files
from thalweg.protocols import Metric, PooledEncoder, Statistic
from thalweg.suggestions import one_line
from thalweg.types import Features
from thalweg_eval.evaluation.partial_statistics import Makers, Statistics
from thalweg_eval.evaluation.protocol import EvaluationConfig

_SPREAD = "_std"
_STAND_INS = 2


@attrs.frozen(eq=False)
class FeatureMetrics:
    """An extractor and the metrics of its features.

    Attributes:
        name: as the protocol calls it; keys of its statistics begin so.
        extractor: computes the features.
        metrics: computed from their statistics.
        configs: that all of them were built from.
    """

    name: str
    extractor: PooledEncoder
    metrics: Mapping[str, Metric]
    configs: Sequence[Any] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What its extractor is, and the plugin files that it or a metric is from."""
        parts = (self.extractor, *self.metrics.values(), *self.configs)
        return with_files(dict(self.extractor.identity), *parts)

    def makers(self, count: int, *, reference: bool) -> Makers:
        """The statistics that its metrics need of samples or of a reference, shared by key."""
        found = {}
        for metric in self.metrics.values():
            asked = metric.reference_statistics(count) if reference else metric.statistics(count)
            found.update({f"{self.name}/{key}": make for key, make in asked.items()})
        return found

    def features(self, piece: Piece) -> Features:
        """The features of these images, and which captions they have."""
        if "captions" in self.extractor.offers:
            found = self.extractor(piece.images, piece.captions)
        else:
            found = self.extractor(piece.images)
        return found if piece.captions is None else attrs.evolve(found, caption_ids=_numbered(piece.captions))

    def update(
        self, statistics: Statistics, features: Features, labels: Tensor | None, indices: Sequence[int]
    ) -> None:
        """Add features to those of the statistics that its metrics need."""
        for one in self._mine(statistics).values():
            one.update(features, labels, indices)

    def check(self, samples: Statistics, reference: Statistics) -> None:
        """Ask each metric whether its numbers can be computed once all features are there.

        Args:
            samples: statistics of stand-ins for samples.
            reference: those of the reference that are at hand.

        Raises:
            ThalwegError: what a metric says against it.
        """
        for metric in self.metrics.values():
            check = getattr(metric, "check", None)
            if check is not None:
                check(self._mine(samples), self._mine(reference))

    def numbers(self, samples: Statistics, reference: Statistics) -> dict[str, dict[str, Any]]:
        """All numbers, as passports have them, by the names that they bear in these features.

        Raises:
            ConfigError: if two of them bear one name.
            DataError: if one is not finite.
            ThalwegError: if one cannot be computed.
        """
        found: dict[str, dict[str, Any]] = {}
        for metric in self.metrics.values():
            for number, value in self._computed(metric, samples, reference).items():
                name = self.extractor.number_name(number)
                if name in found:
                    raise ConfigError(
                        f"two metrics of '{self.name}' give the number '{name}'; put one under a table of "
                        "features of its own"
                    )
                found[name] = {
                    "value": float(value),
                    "metric": metric.name,
                    "features": self.name,
                    "extractor": self.extractor.title,
                    "better": None if _SPREAD in name else metric.better,
                }
        return found

    def _computed(self, metric: Metric, samples: Statistics, reference: Statistics) -> Mapping[str, float]:
        try:
            found = metric(self._mine(samples), self._mine(reference))
        except ThalwegError:
            raise
        except Exception as error:
            raise ThalwegError(
                f"'{metric.name}' cannot be computed ({one_line(error)}); statistics are kept: remove the "
                "cause, and the same command resumes from there"
            ) from error
        wrong = [number for number, value in found.items() if not math.isfinite(value)]
        if wrong:
            raise DataError(
                f"'{wrong[0]}' by {self.extractor.title} is {float(found[wrong[0]])}: look for samples that "
                "have diverged, or broken statistics of the reference"
            )
        return found

    def _mine(self, statistics: Statistics) -> dict[str, Statistic]:
        prefix = f"{self.name}/"
        return {key.removeprefix(prefix): one for key, one in statistics.items() if key.startswith(prefix)}


def build_features(
    config: EvaluationConfig, facts: Facts, device: torch.device | str, training: Callable[[], Images] | None
) -> list[FeatureMetrics]:
    """Build all extractors and metrics; whatever weights they need is read here.

    Args:
        config: names them.
        facts: shape and classes of the images.
        device: where extractors run.
        training: opens real images with labels, for extractors that are fitted first.

    Raises:
        DataError: if weights are not at hand, or are not those that are requested.
        ConfigError: if an extractor has to be fitted and there is nothing to fit it to.
    """
    built = []
    for name, one in config.features.items():
        extractor = build_component(one.extractor, facts)
        metrics = {key: build_component(metric, facts) for key, metric in one.metrics.items()}
        kinds = [metric.name for metric in metrics.values()]
        if twice := next((kind for kind in kinds if kinds.count(kind) > 1), None):
            raise ConfigError(
                f"'{name}' has the metric '{twice}' twice; put one under a table of features of its own"
            )
        if hasattr(extractor, "fit"):
            _fit(extractor, dump_component("vision_encoder", one.extractor)["type"], training)
        if isinstance(extractor, torch.nn.Module):
            extractor.to(device)
        built.append(FeatureMetrics(name, extractor, metrics, (one.extractor, *one.metrics.values())))
    return built


def _fit(extractor: Any, kind: str, training: Callable[[], Images] | None) -> None:
    if training is None:
        raise ConfigError(
            f"the extractor '{kind}' is trained on labelled real images first; give some by --reference, "
            "such as a recipe or an .npz with labels"
        )
    images = training()
    real = images.read(0, len(images))
    if real.labels is None:
        raise ConfigError(f"the extractor '{kind}' needs labels, and the reference has none; choose another")
    data = images.identity.get("data")
    name = str(data["type"] if isinstance(data, Mapping) else images.identity.get("kind", "images"))
    threads = torch.get_num_threads()
    # The order of sums depends on the number of threads, and any number of processes must agree.
    torch.set_num_threads(1)
    try:
        extractor.fit(real.images, real.labels, trained_on=name)
    finally:
        torch.set_num_threads(threads)


def _numbered(captions: Sequence[str]) -> Tensor:
    """A number for each caption, equal for equal ones, in whichever process and set."""
    digests = (hashlib.sha256(caption.encode()).digest()[:8] for caption in captions)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests])


def rehearse(features: Sequence[FeatureMetrics], samples: Images, makers: Makers) -> tuple[Statistics, int]:
    """Compute statistics of two stand-ins for samples: noise, with the captions of the first samples.

    What extractors and statistics say against images of this shape, against samples without labels or
    captions, or against these captions, is reported here, before the first sample is generated.

    Args:
        features: all extractors with their metrics.
        samples: what they are going to be computed of.
        makers: the statistics that they need of samples.

    Returns:
        The statistics, by key, and how many bytes those of all samples will have.

    Raises:
        ThalwegError: what an extractor or statistic says.
    """
    captions = captions_of(samples, _STAND_INS)
    draws = torch.Generator().manual_seed(0)
    statistics = {key: make() for key, make in makers.items()}
    sizes = []
    for place in range(_STAND_INS):
        piece = Piece(
            torch.randint(0, 256, (1, *samples.shape), generator=draws, dtype=torch.uint8),
            None if samples.classes is None else torch.zeros(1, dtype=torch.int64),
            None if captions is None else captions[place : place + 1],
        )
        for one in features:
            one.update(statistics, one.features(piece), piece.labels, [place])
        states = (statistic.state() for statistic in statistics.values())
        sizes.append(sum(tensor.nbytes for state in states for tensor in state.values()))
    return statistics, sizes[-1] + (sizes[-1] - sizes[-2]) * max(0, len(samples) - _STAND_INS)
