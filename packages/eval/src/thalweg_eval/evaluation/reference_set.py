"""The reference that samples are compared with: from what users name to statistics of its features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import ConfigError, DataError
from thalweg.files import sha256
from thalweg.folders import refuse_links
from thalweg.image_sets.files import is_npz
from thalweg.image_sets.images import Images
from thalweg.image_sets.npz import IMAGES, members
from thalweg.protocols import Statistic
from thalweg.storage.places import plain_place
from thalweg_eval.evaluation.accumulate import Accumulator, makers_of
from thalweg_eval.evaluation.image_sets.dataset import DatasetImagesConfig, dataset_part, dataset_part_of
from thalweg_eval.evaluation.image_sets.opening import (
    FileImagesConfig,
    ImageSetConfig,
    OpenSet,
    check_exists,
    open_set,
)
from thalweg_eval.evaluation.partial_statistics import Statistics
from thalweg_eval.evaluation.protocol import EvaluationConfig
from thalweg_eval.evaluation.reference_statistics import (
    ReferenceCache,
    ReferenceEntry,
    ReferenceFile,
    stored_moments,
    write_reference,
)
from thalweg_eval.evaluation.subject import EvaluatedSamples, Named

_COUNT_UNKNOWN = 1_000_000_000  # images of stored moments, which do not say it


@attrs.frozen(eq=False)
class Reference:
    """What samples are compared with.

    Attributes:
        images: its images; None where there are only statistics, or nothing.
        file: statistics of images; None where there is no such file.
        moments: an ``.npz`` with moments as ADM stores them; None where there is none or it is not meant.
        training: labelled real images that extractors can be fitted to; None where there are none.
    """

    images: OpenSet | None = None
    file: ReferenceFile | None = None
    moments: Path | None = None
    training: ImageSetConfig | Images | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What it is, as passports have it."""
        images: Any = "none"
        if self.images is not None:
            images = {**self.images.identity, "count": len(self.images.images)}
        elif self.file is not None:
            images = {**self.file.images, "count": self.file.count}
        return {"images": images, "moments": "none" if self.moments is None else sha256(self.moments)}


def open_reference(
    what: Named | None, subject: EvaluatedSamples, config: EvaluationConfig, device: str
) -> Reference:
    """Open what samples are compared with.

    Raises:
        ConfigError: if a part of a data set is meant and the subject belongs to no run.
        DataError: if it is missing, damaged, or has fewer images than the settings ask for.
    """
    count, data = config.reference.count, subject.data
    training = None if data is None else dataset_part(data, "train", config.autoencoder)
    stated: ImageSetConfig | None
    if what is None:
        if config.reference.set is None or data is None:
            return Reference(training=training)
        stated = dataset_part(data, config.reference.set, config.autoencoder)
        name = f"the {config.reference.set} part of the run's data"
    elif not isinstance(what, str | Path):
        assert isinstance(what, Images)  # noqa: S101 - nothing else was taken
        images = open_set("reference", what, None, count, "the reference")
        return Reference(images, training=what if what.classes else None)
    elif str(what).endswith(".safetensors"):
        return Reference(file=ReferenceFile(Path(plain_place(what))), training=training)
    else:
        name = str(what)
        stated = dataset_part_of(what, config.autoencoder)
        if stated is None:
            check_exists(what)
            stated = FileImagesConfig(name, config.crop)
    moments = _moments(name, config)
    if moments is not None and IMAGES not in members(moments):
        return Reference(moments=moments, training=training)
    images = open_set("reference", stated.open(device), stated, count, name)
    if isinstance(stated, DatasetImagesConfig):
        stated = attrs.evolve(stated, part="train")
    return Reference(images, moments=moments, training=stated if images.images.classes else None)


def _moments(name: str, config: EvaluationConfig) -> Path | None:
    """The file of moments, where they are meant, or where a file has nothing else."""
    wanted = config.reference.moments == "stored"
    if not is_npz(name):
        if wanted:
            raise ConfigError(f"stored moments are requested, and {name} is no .npz that could hold them")
        return None
    path = Path(plain_place(name))
    there = members(path)
    if {"mu", "sigma"} <= there:
        return path if wanted or IMAGES not in there else None
    if wanted:
        raise DataError(f"stored moments are requested, and {name} has no mu and sigma")
    return None


class ReferenceComputation:
    """Computes the statistics that metrics need of a reference, or takes them from files and the cache.

    Args:
        reference: what samples are compared with.
        accumulator: knows extractors and metrics.
    """

    def __init__(self, reference: Reference, accumulator: Accumulator) -> None:
        self._reference, self._accumulator = reference, accumulator
        count = _COUNT_UNKNOWN
        if reference.images is not None:
            count = len(reference.images.images)
        elif reference.file is not None:
            count = reference.file.count
        self._makers = makers_of(accumulator.features, count, reference=True)

    def statistics(self, stand_ins: Statistics, save: Path | None) -> Statistics:
        """All of them, by key.

        Args:
            stand_ins: statistics of stand-ins for samples, with which metrics say what they lack.
            save: a file to which they are written; None for none.

        Raises:
            ConfigError: there are no images to compute them of, or none to save.
            ThalwegError: what a metric says against them.
        """
        given = self._given()
        self._check(stand_ins, given)
        found = dict(given)
        left = [key for key in self._makers if key not in given]
        entries: list[tuple[ReferenceEntry, Statistic]] = []
        if self._reference.images is not None:
            of_images = self._of_images(self._reference.images, left)
            found.update({key: one for key, (_, one) in of_images.items()})
            entries = list(of_images.values())
        elif left:
            names = ", ".join(key.partition("/")[2] for key in left)
            raise ConfigError(
                f"the reference has no images to compute {names} of; give images by --reference, or "
                "statistics, of which 'thalweg weights list' shows published ones"
            )
        if save is not None:
            if not entries:
                raise ConfigError("no statistics of reference images were computed, so none can be saved")
            write_reference(save, entries)
        if entries:
            self._check(stand_ins, found)
        return found

    def _check(self, stand_ins: Statistics, reference: Statistics) -> None:
        for features in self._accumulator.features:
            features.check(stand_ins, reference)

    def _given(self) -> dict[str, Statistic]:
        """Those that a file holds."""
        found: dict[str, Statistic] = {}
        for features in self._accumulator.features:
            makers = {key: make for key, make in self._makers.items() if key.startswith(f"{features.name}/")}
            if self._reference.moments is not None:
                found.update(stored_moments(self._reference.moments, features, makers))
            if self._reference.file is not None:
                for key, make in makers.items():
                    found[key] = make()
                    self._reference.file.read(features, key, found[key])
        return found

    def _of_images(self, images: OpenSet, keys: Sequence[str]) -> dict[str, tuple[ReferenceEntry, Statistic]]:
        """Those of images: from the cache, or computed and put there."""
        work = self._accumulator.execution.work
        refuse_links(work, "references")
        cache, found = ReferenceCache(work / "references"), {}
        missing: dict[str, ReferenceEntry] = {}
        for key in keys:
            entry, statistic = self._entry(images, key), self._makers[key]()
            if cache.get(entry, statistic):
                found[key] = (entry, statistic)
            else:
                missing[key] = entry
        computed = self._accumulator.accumulate(images, {key: self._makers[key] for key in missing})
        for key, entry in missing.items():
            cache.put(entry, computed[key])
            found[key] = (entry, computed[key])
        self._accumulator.remove_all(images, keys)
        return found

    def _entry(self, images: OpenSet, key: str) -> ReferenceEntry:
        name, _, statistic = key.partition("/")
        features = next(one for one in self._accumulator.features if one.name == name)
        return ReferenceEntry(images.identity, len(images.images), features.identity, statistic)
