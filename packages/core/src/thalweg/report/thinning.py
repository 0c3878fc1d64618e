"""What is drawn of a long line: its unbroken pieces, a running mean, fewer points that look the same."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import fsum

Point = tuple[float, float]


def segments(points: Sequence[Point | None]) -> list[list[Point]]:
    """The unbroken pieces of a line in which None marks a gap."""
    return [
        [point for point in piece if point is not None]
        for drawn, piece in groupby(points, key=lambda point: point is not None)
        if drawn
    ]


def thin(points: Sequence[Point], width: float) -> list[Point]:
    """At most four points of every stretch of ``width``: its first, lowest, highest and last one.

    Since the extremes stay where they are, a spike of a single point is not lost, and a line drawn
    through the rest covers the same pixels if ``width`` is about one.

    Args:
        points: horizontal and vertical position of each, in the order of the line.
        width: horizontal length of a stretch, above 0.
    """
    return [
        kept
        for _, run in groupby(points, key=lambda point: point[0] // width)
        for kept in _corners(list(run))
    ]


def running_mean(points: Sequence[Point], window: int) -> list[Point]:
    """Each point's height replaced by the mean over itself and half a window on either side.

    At the beginning, where losses fall steeply, it takes no more points after than there are before,
    so the first point stays; at the end it takes what there is, so the last point is a mean as well.

    Args:
        points: one piece of a line.
        window: points that are averaged.
    """
    heights = [height for _, height in points]
    smoothed = []
    for index, (along, _) in enumerate(points):
        reach = min(window // 2, index)
        # Summed afresh: differences of running sums lose small values behind a large one.
        around = heights[index - reach : index + reach + 1]
        smoothed.append((along, fsum(around) / len(around)))
    return smoothed


def _corners(run: list[Point]) -> Iterator[Point]:
    heights = [point[1] for point in run]
    keep = {0, heights.index(min(heights)), heights.index(max(heights)), len(run) - 1}
    return (run[index] for index in sorted(keep))
