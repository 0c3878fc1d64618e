"""Where a backbone is cut into branches, and which heads there are."""

from collections.abc import Sequence
from itertools import pairwise

from thalweg.arguments import described
from thalweg.errors import ConfigError
from thalweg.types import Head

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


def as_heads(wanted: Sequence[Head | int], branches: int) -> tuple[Head, ...]:
    """The heads with their branches counted from 0.

    Args:
        wanted: heads, or bare numbers of branches; -1 is the last one.
        branches: k.

    Raises:
        ConfigError: if there is no such head.
    """
    if not isinstance(wanted, Sequence) or not wanted:
        raise ConfigError(f"heads are {described(wanted)}; name at least one branch, as in (0, -1)")
    found = []
    for one in wanted:
        head = one if isinstance(one, Head) else Head(one)
        if type(head.branch) is not int or not -branches <= head.branch < branches:
            raise ConfigError(
                f"there is no head of branch {head.branch!r}; the network has {branches}, counted from 0"
            )
        head = head._replace(branch=head.branch % branches)
        if head.refined and head.branch == branches - 1:
            raise ConfigError("the last branch's head has no refiner behind it; leave out refined=True")
        found.append(head)
    return tuple(found)
