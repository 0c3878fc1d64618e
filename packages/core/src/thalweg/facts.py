"""What is known only at run time: the facts that data and backbone state (no torch here)."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from thalweg.errors import ConfigError


def _as_shape(shape: Iterable[int]) -> tuple[int, int, int]:
    return tuple(shape)  # type: ignore[return-value]  # the validator counts them


def _check_shape(_: object, __: object, shape: tuple[int, int, int]) -> None:
    if len(shape) != 3 or any(size < 1 for size in shape):
        raise ConfigError(f"facts.shape is {shape}; it must be (channels, height, width), each at least 1")


def _check_classes(_: object, __: object, classes: int | None) -> None:
    if classes is not None and classes < 1:
        raise ConfigError(
            f"facts.classes is {classes}; it must be at least 1, or None for unconditional data"
        )


@attrs.frozen
class StoredFeatures:
    """What a data set stores of a teacher.

    Attributes:
        grid: patch tokens per column and per row.
        width: F, of a token.
        identity: of the teacher that made them.
    """

    grid: tuple[int, int]
    width: int
    identity: Mapping[str, Any]


@attrs.frozen
class Facts:
    """Facts that a component is built with; hyperparameters stay in its own config.

    The data set states the first four, :func:`thalweg.compose` adds the others once the backbone
    stands, so a refiner may rely on all but the last.

    Attributes:
        shape: channels, height and width of what the network sees.
        classes: number of classes; None for data without classes.
        text: L and E, tokens of a caption and their width; None for data without captions.
        features: what the data set stores of teachers, by their names.
        branches: k, the number of branches of the network.
        depth: number of blocks of the backbone.
        width: D, the width of the backbone's tokens.
        heads: attention heads of the backbone.
        grid: tokens per column and per row.
        accelerates: whether the refiner makes accelerations.
    """

    shape: tuple[int, int, int] = attrs.field(converter=_as_shape, validator=_check_shape)
    classes: int | None = attrs.field(default=None, validator=_check_classes)
    text: tuple[int, int] | None = None
    features: Mapping[str, StoredFeatures] = attrs.field(factory=dict)
    branches: int = 1
    depth: int = 0
    width: int = 0
    heads: int = 0
    grid: tuple[int, int] = (0, 0)
    accelerates: bool = False
