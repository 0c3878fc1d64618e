"""Where a backbone is cut into branches, and after which blocks it has heads."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

from thalweg.arguments import described
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.types import Head
from thalweg.types.networks import HeadForm

Branches = int | Sequence[int]
"""How many equal branches, or the depths at which they end."""


def ends_of(branches: Branches, depth: int, *, refined: bool) -> tuple[int, ...]:
    """The depths at which branches end.

    Args:
        branches: how many equal ones, or where they end.
        depth: of the backbone.
        refined: whether a refiner stands between them.

    Raises:
        ConfigError: if the backbone cannot be cut so, or a refiner is missing or has no place.
    """
    branches = checked(branches)
    if isinstance(branches, int):
        if branches < 1 or depth % branches:
            raise ConfigError(
                f"branches is {branches}, which does not divide the backbone's depth of {depth}; "
                f"choose a divisor of {depth}, or say where branches end, as in branches = [1, {depth}]"
            )
        ends = tuple(depth * branch // branches for branch in range(1, branches + 1))
    else:
        ends = tuple(branches)
        rising = all(first < second for first, second in pairwise(ends))
        if not ends or not rising or ends[0] < 1 or ends[-1] != depth:
            raise ConfigError(
                f"branches is {list(ends)}; the depths at which branches end must rise, and the last one be "
                f"the backbone's depth of {depth}, as in branches = [{max(1, depth // 3)}, {depth}]"
            )
    if refined != (len(ends) > 1):
        raise ConfigError(
            f"refiner is {'set' if refined else 'none'} and branches is {len(ends)}; a refiner "
            f"stands between branches: set both (such as refiner = 'plain', branches = 2) or neither"
        )
    return ends


def checked(branches: Branches) -> int | tuple[int, ...]:
    """A number of branches, or the depths at which they end.

    Raises:
        ConfigError: if it is neither.
    """
    if isinstance(branches, int) and not isinstance(branches, bool):
        return branches
    if isinstance(branches, Sequence) and not isinstance(branches, str):
        ends = tuple(branches)
        if all(type(one) is int for one in ends):
            return ends
    raise ConfigError(
        f"branches is {described(branches)}; give an integer, how many equal ones there are, or the depths "
        "at which they end, as in [4, 12]"
    )


def count_of(branches: Branches) -> int:
    """k."""
    return branches if isinstance(branches, int) else len(branches)


def checked_heads(depths: Any) -> tuple[int, ...]:
    """Depths of heads, ascending.

    Raises:
        ConfigError: if they are no numbers of blocks.
    """
    listed = isinstance(depths, Sequence) and not isinstance(depths, str)
    if not listed or not all(type(one) is int for one in depths):
        raise ConfigError(
            f"heads is {described(depths)}; give the numbers of blocks after which to read a velocity, as in "
            "heads = [3]"
        )
    return tuple(sorted(depths))


def head_depths(depths: Any, ends: Sequence[int]) -> tuple[int, ...]:
    """The depths of heads that end no branch, ascending.

    Args:
        depths: numbers of blocks passed, in any order.
        ends: of the branches, the last one the backbone's depth.

    Raises:
        ConfigError: if one is no depth before the last block, is there twice, or a branch ends there.
    """
    found = checked_heads(depths)
    for depth in found:
        if not 1 <= depth < ends[-1]:
            raise ConfigError(
                f"heads has {depth}, and an intermediate head stands after 1 to {ends[-1] - 1} of the "
                f"{ends[-1]} blocks"
            )
        if found.count(depth) > 1:
            raise ConfigError(f"heads has {depth} twice; one head is enough there")
        if depth in ends:
            raise ConfigError(
                f"heads has {depth}, where a branch ends, which has a head of its own; leave it out"
            )
    return found


def as_heads(wanted: Sequence[Head | int], facts: Facts, *, linear: bool = True) -> tuple[Head, ...]:
    """The heads with their depths written out.

    Args:
        wanted: heads, or bare numbers of blocks; -1 is the last head.
        facts: of the network.
        linear: whether its path is the linear one, on which alone a velocity can be corrected.

    Raises:
        ConfigError: if there is no such head.
    """
    if not isinstance(wanted, Sequence) or not wanted:
        raise ConfigError(f"heads are {described(wanted)}; name at least one by its depth, as in (3, -1)")
    found = []
    for one in wanted:
        head = one if isinstance(one, Head) else Head(one)
        if type(head.after) is int and head.after == -1:
            head = head._replace(after=facts.depth)
        known = (*facts.weak_heads, facts.depth)
        if type(head.after) is not int or head.after not in known:
            there = " and ".join(", ".join(map(str, known)).rsplit(", ", 1))
            raise ConfigError(
                f"there is no head after {head.after!r} blocks; the network has some after {there}"
            )
        _check_form(head, facts, linear)
        found.append(head)
    return tuple(found)


def _check_form(head: Head, facts: Facts, linear: bool) -> None:
    if head.form not in get_args(HeadForm):
        raise ConfigError(
            f"the form of a head is {head.form!r}; it must be 'plain', 'refined' or 'corrected'"
        )
    if head.form != "plain" and head.after not in facts.ends[:-1]:
        where = "the last head" if head.after == facts.depth else f"the head after {head.after} blocks"
        raise ConfigError(f"{where} has no refiner behind it; leave out form={head.form!r}")
    if head.form == "corrected" and "acceleration" not in facts.readouts:
        raise ConfigError(
            "a corrected head needs an acceleration, which the network's refiner does not feed; leave out "
            "form='corrected'"
        )
    if head.form == "corrected" and not linear:
        raise ConfigError(
            "a corrected head is of the linear path alone, where v - t a / 2 is a velocity, and the network "
            "is on another one; leave out form='corrected'"
        )
