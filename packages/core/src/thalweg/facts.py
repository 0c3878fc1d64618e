"""What is known only at run time: the facts that data and backbone state (no torch here)."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from thalweg.errors import ConfigError
from thalweg.storage.redaction import excerpt

MOST_CHANNELS, LONGEST_SIDE = 4_096, 8_192
"""Of an image or latent; the second in pixels."""

MOST_AXES, MOST_ELEMENTS = 16, 2**26
"""Of a sample as a network sees it; the second is the product of all its sizes."""

MOST_CLASSES, MOST_BRANCHES = 2**20, 1_024
LONGEST_CAPTION, WIDEST_TOKEN = 4_096, 65_536


def _as_shape(shape: Iterable[int]) -> tuple[int, ...]:
    # The validator counts them, and says what else it may be given.
    listed = isinstance(shape, Iterable) and not isinstance(shape, str | bytes | Mapping)
    return tuple(shape) if listed else shape  # type: ignore[return-value]


def _within(value: Any, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest


def _shown(value: Any) -> str:
    return excerpt(repr(value), 60)


def _check_shape(_: object, __: object, shape: tuple[int, ...]) -> None:
    listed = isinstance(shape, tuple) and 1 <= len(shape) <= MOST_AXES
    fits = listed and all(_within(size, MOST_ELEMENTS) for size in shape)
    if not fits or math.prod(shape) > MOST_ELEMENTS:
        raise ConfigError(
            f"facts.shape is {_shown(shape)}; it must be the sizes of one sample, such as (2,) for points or "
            f"(channels, height, width) for images: 1 to {MOST_AXES} of them, each an integer of at least 1, "
            f"and at most {MOST_ELEMENTS:,} numbers in all"
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


def _check_flow_map(_: object, __: object, flow_map: bool) -> None:
    if not isinstance(flow_map, bool):
        raise ConfigError(
            f"facts.flow_map is {_shown(flow_map)}; it must be True if the last of two branches was trained "
            "as an average velocity, else False"
        )


def _check_branches(_: object, __: object, branches: int) -> None:
    if not _within(branches, MOST_BRANCHES):
        raise ConfigError(
            f"branches is {_shown(branches)}; it must be an integer of at least 1 and at most "
            f"{MOST_BRANCHES:,}"
        )


def _floats(values: Any) -> Any:
    listed = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    return tuple(values) if listed else values


def _check_numbers(normalisation: "Normalisation", attribute: Any, values: Any) -> None:
    lowest = -math.inf if attribute.name == "mean" else 0.0
    whole = isinstance(values, tuple) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) and one > lowest
        for one in values
    )
    if not whole or not values:
        above = "" if attribute.name == "mean" else ", each above 0"
        raise ConfigError(f"must be a number for each channel{above}, got {_shown(values)}")
    if attribute.name == "std" and len(values) != len(normalisation.mean):
        raise ConfigError(f"has {len(values)} numbers and mean has {len(normalisation.mean)}")


@attrs.frozen
class Normalisation:
    """What brings latents to mean 0 and standard deviation 1, channel by channel: (x - mean) / std.

    Attributes:
        mean: a number for each channel.
        std: the same, each above 0.
    """

    mean: tuple[float, ...] = attrs.field(converter=_floats, validator=_check_numbers)
    std: tuple[float, ...] = attrs.field(converter=_floats, validator=_check_numbers)


def _check_normalisation(facts: "Facts", _: object, normalisation: Normalisation | None) -> None:
    if normalisation is None:
        return
    if not isinstance(normalisation, Normalisation):
        raise ConfigError(
            f"facts.normalisation is {_shown(normalisation)}; it must be a thalweg.facts.Normalisation, or "
            "None"
        )
    if len(normalisation.mean) != facts.shape[0]:
        raise ConfigError(
            f"the normalisation is of {len(normalisation.mean)} channels, and the data have the shape "
            f"{facts.shape}; give a mean and a standard deviation for each of the {facts.shape[0]} channels"
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

    The data set states the first four and ``normalisation``, training or an importer ``condition_dropout``
    and ``flow_map``; :func:`thalweg.compose` adds the others once the backbone stands, so a refiner may rely
    on all but ``head_depths``.

    Attributes:
        shape: of one sample as the network sees it, of any number of axes; of an image channels, height
            and width.
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
        head_depths: numbers of blocks after which velocities are read by heads that end no branch.
        normalisation: that samples of the network have had, which is undone before an autoencoder decodes
            them; None for none.
        flow_map: whether the last of two branches was trained as the average velocity between its own time
            and the first branch's, as the objective ``flow_map`` does. The sampler ``flow_map`` needs that.
    """

    shape: tuple[int, ...] = attrs.field(converter=_as_shape, validator=_check_shape)
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
    head_depths: tuple[int, ...] = ()
    normalisation: Normalisation | None = attrs.field(default=None, validator=_check_normalisation)
    flow_map: bool = attrs.field(default=False, validator=_check_flow_map)

    @property
    def weak_heads(self) -> tuple[int, ...]:
        """Numbers of blocks after which a velocity is read before the last one, ascending."""
        return tuple(sorted((*self.ends[:-1], *self.head_depths)))


def image_shape(shape: tuple[int, ...], what: str, fix: str) -> tuple[int, int, int]:
    """Channels, height and width of data that must be images.

    Args:
        shape: of the data.
        what: needs images, such as ``backbone dit``.
        fix: what to do where they are none.

    Raises:
        ConfigError: they have another number of axes.
    """
    if len(shape) != 3:
        raise ConfigError(
            f"{what} is for images alone, of shape (channels, height, width), and the data have the shape "
            f"{shape}; {fix}"
        )
    return shape


def check_latent(shape: tuple[int, int, int]) -> None:
    """Make sure that an image or latent has a size that somebody may train on.

    Raises:
        ConfigError: it has too many channels, or is too large.
    """
    if shape[0] > MOST_CHANNELS or max(shape[1:]) > LONGEST_SIDE:
        raise ConfigError(
            f"the shape {_shown(shape)} is none of an image or latent: these have at most {MOST_CHANNELS:,} "
            f"channels and {LONGEST_SIDE:,} pixels a side; correct it"
        )
