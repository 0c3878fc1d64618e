"""Sets of indices as sorted half-open ranges."""

from collections.abc import Iterable, Sequence

Range = tuple[int, int]


def union(ranges: Iterable[Range]) -> list[Range]:
    """The same indices, sorted, neighbours joined."""
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if start >= stop:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def size(ranges: Iterable[Range]) -> int:
    """How many indices there are, each range counted by itself."""
    return sum(stop - start for start, stop in ranges)


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """Those indices that are not taken."""
    left: list[Range] = []
    gone = union(taken)
    for start, stop in union(ranges):
        for gone_start, gone_stop in gone:
            if gone_stop <= start or gone_start >= stop:
                continue
            if start < gone_start:
                left.append((start, gone_start))
            start = max(start, gone_stop)
        if start < stop:
            left.append((start, stop))
    return left


def share(total: int, rank: int, world: int) -> Range:
    """The piece of ``range(total)`` that falls to one of ``world`` processes; they differ by one at most."""
    return total * rank // world, total * (rank + 1) // world


def batches(ranges: Iterable[Range], length: int) -> list[Range]:
    """The ranges in order, cut at the multiples of ``length``.

    So whatever is left of a set is worked on in the batches that it would have been in anyway, and comes to
    the same to the last bit.
    """
    return [
        (max(start, begin), min(begin + length, stop))
        for start, stop in ranges
        for begin in range(start - start % length, stop, length)
    ]


def divided(pieces: Sequence[Range], world: int) -> list[Sequence[Range]]:
    """Neighbouring batches for each of ``world`` processes; for fewer where there are fewer batches."""
    world = max(1, min(world, len(pieces)))
    return [pieces[slice(*share(len(pieces), rank, world))] for rank in range(world)]
