"""Named sizes of diffusion transformers, and the options that state one (no torch here)."""

from typing import Literal

import attrs
from attrs.validators import and_, ge, in_, le, optional

from thalweg.errors import ConfigError

WIDEST, DEEPEST, MOST_HEADS = 65_536, 1_024, 4_096
"""What a configuration may ask for: far beyond what anybody trains, and soon refused where it is a slip."""


@attrs.frozen
class Size:
    """Width, depth and heads of a named size."""

    width: int
    depth: int
    heads: int


SIZES = {
    "S": Size(384, 12, 6),
    "B": Size(768, 12, 12),
    "L": Size(1024, 24, 16),
    "XL": Size(1152, 28, 16),
}

_DEFAULT = "B"


@attrs.frozen
class SizedConfig:
    """A transformer of a named size, or of any other.

    Attributes:
        size: a named size, B unless stated. ``width``, ``depth`` and ``heads`` replace its values one by
            one; the config then holds all three and no size, as it is none of the named ones.
        width: D; a multiple of 4 and of the heads.
        depth: number of blocks.
        heads: attention heads.
    """

    size: Literal["S", "B", "L", "XL"] | None = attrs.field(
        default=None, validator=optional(in_(tuple(SIZES)))
    )
    width: int | None = attrs.field(default=None, validator=optional(and_(ge(4), le(WIDEST))))
    depth: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(DEEPEST))))
    heads: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(MOST_HEADS))))

    @size.validator
    def _decides(self, _: object, size: str | None) -> None:
        all_stated = None not in (self.width, self.depth, self.heads)
        if size is not None and all_stated and self._stated != SIZES[size]:
            raise ConfigError(
                f"'{size}' decides nothing beside width, depth and heads; leave out those that are to be its"
            )

    def __attrs_post_init__(self) -> None:
        stated = self._stated
        size = next((name for name, one in SIZES.items() if one == stated), None)
        object.__setattr__(self, "size", size)
        for name, value in attrs.asdict(stated).items():
            object.__setattr__(self, name, value if size is None else None)

    @property
    def _stated(self) -> Size:
        named = SIZES[self.size or _DEFAULT]
        return Size(self.width or named.width, self.depth or named.depth, self.heads or named.heads)

    @property
    def dimensions(self) -> Size:
        """Width, depth and heads.

        Raises:
            ConfigError: if they do not go together.
        """
        size = self._stated
        if size.width % size.heads or size.width % 4:
            raise ConfigError(
                f"backbone.width is {size.width}; it must be a multiple of 4 and of the {size.heads} heads "
                f"(set backbone.width or backbone.heads)"
            )
        return size
