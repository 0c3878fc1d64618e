"""Sets of images by what names them, and open."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs
import torch

from thalweg.data.sources.braces import is_pattern
from thalweg.errors import DataError
from thalweg.image_sets.files import open_images
from thalweg.image_sets.images import First, Images, check_enough
from thalweg.storage.places import is_url, plain_place
from thalweg_eval.evaluation.image_sets.dataset import DatasetImagesConfig
from thalweg_eval.evaluation.image_sets.generated import GeneratedImagesConfig


@attrs.frozen
class FileImagesConfig:
    """An ``.npz``, a folder or tar file of images, or whatever else is a source."""

    url: str
    crop: int | None = None

    def open(self, _device: torch.device | str) -> Images:
        """Read its header, or list it."""
        return open_images(self.url, self.crop)


ImageSetConfig = FileImagesConfig | DatasetImagesConfig | GeneratedImagesConfig
"""Stated in plain values, so that any process can open it."""


def opened_once(what: ImageSetConfig | Images, device: torch.device | str) -> Callable[[], Images]:
    """A set that is opened when it is first asked for, since opening reads what a run may have named."""
    return cache(lambda: what if isinstance(what, Images) else what.open(device))


@attrs.frozen(eq=False)
class OpenSet:
    """Samples or reference.

    Attributes:
        role: which of the two.
        images: the set, open.
        config: the same, to be opened by other processes; None where only this one has it.
        identity: what decides the images, in plain values.
    """

    role: Literal["samples", "reference"]
    images: Images
    config: ImageSetConfig | None
    identity: Mapping[str, Any]


def open_set(
    role: Literal["samples", "reference"],
    images: Images,
    config: ImageSetConfig | None,
    count: int | None,
    name: str,
) -> OpenSet:
    """The first ``count`` images of a set, or all.

    Raises:
        DataError: there are fewer, or less than two.
    """
    check_enough(images, name)
    if count is not None and count > len(images):
        raise DataError(
            f"{name} has {len(images)} images and {count} are requested; give as many, or change the number"
        )
    return OpenSet(role, images if count is None else First(images, count), config, images.identity)


def check_exists(what: str | Path) -> None:
    """Raise if a path on this machine leads nowhere.

    Raises:
        DataError: naming it.
    """
    text = str(what)
    if not is_url(text) and not is_pattern(text) and not Path(plain_place(text)).exists():
        raise DataError(f"{text} does not exist; give a run, a saved network, a folder, a tar or an .npz")
