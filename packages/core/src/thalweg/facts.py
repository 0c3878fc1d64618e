"""What is known only at run time: the facts that data and backbone state (no torch here)."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt

MOST_CHANNELS, LONGEST_SIDE, MOST_PIXELS = 4_096, 8_192, 2**26
"""Of what a network sees; the last is channels times height times width."""

MOST_CLASSES, MOST_BRANCHES = 2**20, 1_024
LONGEST_CAPTION, WIDEST_TOKEN = 4_096, 65_536


def _as_shape(shape: Iterable[int]) -> tuple[int, int, int]:
    # The validator counts them, and says what else it may be given.
    return tuple(shape) if isinstance(shape, Iterable) else shape  # type: ignore[return-value]


def _within(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _shown(value: Any) -> str:
    return excerpt(repr(value), 60)


def _check_shape(_: object, __: object, shape: tuple[int, int, int]) -> None:
    limits = (MOST_CHANNELS, LONGEST_SIDE, LONGEST_SIDE)
    fits = isinstance(shape, tuple) and len(shape) == 3 and all(map(_within, shape, limits))
    if not fits or math.prod(shape) > MOST_PIXELS:
        raise ConfigError(
            f"facts.shape is {_shown(shape)}; it must be (channels, height, width), each at least 1, at most "
            f"{MOST_CHANNELS:,} channels and {LONGEST_SIDE:,} pixels a side, and {MOST_PIXELS:,} in all"
        )


def _check_classes(_: object, __: object, classes: int | None) -> None:
    if classes is not None and not _within(classes, MOST_CLASSES):
        raise ConfigError(
            f"facts.classes is {_shown(classes)}; it must be at least 1 and at most {MOST_CLASSES:,}, or "
            "None for data without classes"
        )


def _check_text(_: object, __: object, text: tuple[int, int] | None) -> None:
    limits = (LONGEST_CAPTION, WIDEST_TOKEN)
    pair = isinstance(text, tuple | list) and len(text) == 2
    if text is not None and not (pair and all(map(_within, text, limits))):
        raise ConfigError(
            f"facts.text is {_shown(text)}; it must be tokens of a caption and their width, at most "
            f"{LONGEST_CAPTION:,} and {WIDEST_TOKEN:,}, or None for data without captions"
        )


def _check_condition_dropout(_: object, __: object, condition_dropout: bool) -> None:
    if not isinstance(condition_dropout, bool):
        raise ConfigError(
            f"facts.condition_dropout is {_shown(condition_dropout)}; it must be True if conditions were "
            "hidden now and then in training, else False"
        )


def _check_branches(_: object, __: object, branches: int) -> None:
    if not _within(branches, MOST_BRANCHES):
        raise ConfigError(
            f"branches is {_shown(branches)}; it must be an integer of at least 1 and at most "
            f"{MOST_BRANCHES:,}"
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

    The data set states the first four, training or an importer the fifth, :func:`thalweg.compose` adds
    the others once the backbone stands, so a refiner may rely on all but the last.

    Attributes:
        shape: channels, height and width of what the network sees.
        classes: number of classes; None for data without classes.
        text: L and E, tokens of a caption and their width; None for data without captions.
        features: what the data set stores of teachers, by their names.
        condition_dropout: whether labels and captions were hidden now and then in training, so that the
            network knows its velocity without a condition. Guidance and unconditional samples need that.
        branches: k, the number of branches of the network.
        ends: depths at which the branches end, the last one the backbone's.
        depth: number of blocks of the backbone.
        width: D, the width of the backbone's tokens.
        heads: attention heads of the backbone.
        grid: tokens per column and per row.
        readouts: names of the read-outs that the refiner feeds.
    """

    shape: tuple[int, int, int] = attrs.field(converter=_as_shape, validator=_check_shape)
    classes: int | None = attrs.field(default=None, validator=_check_classes)
    text: tuple[int, int] | None = attrs.field(default=None, validator=_check_text)
    features: Mapping[str, StoredFeatures] = attrs.field(factory=dict)
    condition_dropout: bool = attrs.field(default=True, validator=_check_condition_dropout)
    branches: int = attrs.field(default=1, validator=_check_branches)
    ends: tuple[int, ...] = ()
    depth: int = 0
    width: int = 0
    heads: int = 0
    grid: tuple[int, int] = (0, 0)
    readouts: tuple[str, ...] = ()
