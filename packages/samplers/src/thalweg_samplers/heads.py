"""The intermediate heads that a guidance reads."""

from collections.abc import Sequence

from thalweg.branches import as_heads
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import Head
from thalweg.types.networks import HeadForm


def weak_head(who: str, after: int | None, form: HeadForm, facts: Facts | None) -> Head:
    """The intermediate head that is meant.

    Args:
        who: the guidance, for messages.
        after: the number of blocks after which it stands; None for the first one.
        form: how it is read.
        facts: of the network; None where the field knows none.

    Raises:
        ConfigError: the network has no such head.
    """
    if facts is None:
        if after is None:
            raise ConfigError(f"{who} does not know this field's heads; say which, as in after=3")
        return Head(after, form)
    return weak_heads(who, None if after is None else (after,), form, facts)[0]


def weak_heads(who: str, depths: Sequence[int] | None, form: HeadForm, facts: Facts) -> tuple[Head, ...]:
    """The intermediate heads that are meant, all by default; as of :func:`weak_head`."""
    there = facts.weak_heads
    if not there:
        raise ConfigError(
            f"{who} needs an intermediate head, and this network has none; remove the guidance, train with "
            "heads = [depth] or branches = 2, or add a head with thalweg fit-head"
        )
    chosen = there if depths is None else tuple(depths)
    for depth in chosen:
        if depth not in there:
            raise ConfigError(
                f"{who} is to read the head after {depth} blocks, and this network has intermediate ones "
                f"after {', '.join(map(str, there))}; take one of these"
            )
    return as_heads([Head(depth, form) for depth in chosen], facts)
