"""Which blocks tokens are routed round in training, as a run's configuration states it."""

import attrs
from attrs.validators import and_, ge, gt, le, lt, optional

from thalweg.errors import ConfigError


def _check_blocks(_: object, __: object, blocks: tuple[int, int]) -> None:
    if len(blocks) != 2 or not 1 <= blocks[0] <= blocks[1]:
        raise ConfigError(f"must be the first and the last block, counted from 1, got {list(blocks)}")


@attrs.frozen
class RoutingConfig:
    """A run of blocks that a random subset of the tokens passes in training.

    Attributes:
        blocks: first and last of them, counted from 1; neither the network's first block nor its last.
        keep: share of a sample's tokens that pass them, others at each step.
        path_drop: share of the samples of which none does, for path-drop guidance that skips these blocks.
        stop_after: steps after which all tokens pass; never if unset.
    """

    blocks: tuple[int, int] = attrs.field(validator=_check_blocks)
    keep: float = attrs.field(default=0.5, validator=and_(gt(0.0), le(1.0)))
    path_drop: float = attrs.field(default=0.0, validator=and_(ge(0.0), lt(1.0)))
    stop_after: int | None = attrs.field(default=None, validator=optional(ge(1)))
