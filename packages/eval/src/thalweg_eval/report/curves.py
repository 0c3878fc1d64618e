"""What is drawn of a long line: its unbroken pieces, a running mean, fewer points that look the same.

Points are rows of an array: horizontal and vertical position. All of it takes time in proportion to their
number, as runs may have a million.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""(N, 2)."""


def segments(points: Points, narrow: float = 0.0) -> list[Points]:
    """The unbroken pieces of a line in which NaN marks a gap.

    Args:
        points: in the order of the line.
        narrow: horizontal length of a gap that nobody would see, and that is skipped.
    """
    there = np.flatnonzero(~np.isnan(points).any(axis=1))
    if not there.size:
        return []
    kept = points[there]
    wide = (np.diff(there) > 1) & (np.abs(np.diff(kept[:, 0])) > narrow)
    cuts = [0, *(np.flatnonzero(wide) + 1).tolist(), len(kept)]
    return [kept[begin:end] for begin, end in pairwise(cuts)]


def thin(points: Points, width: float, most: int = 5000) -> Points:
    """At most four points of every stretch of ``width``: its first, lowest, highest and last one.

    Since the extremes stay where they are, a spike of a single point is not lost, and a line drawn
    through the rest covers the same pixels if ``width`` is about one.

    Args:
        points: in the order of the line.
        width: horizontal length of a stretch, above 0.
        most: stretches; a line that runs to and fro has as many by number of points instead.
    """
    stretch = np.floor_divide(points[:, 0], width)
    starts = np.flatnonzero(np.diff(stretch, prepend=np.nan) != 0)
    if len(starts) > most:
        starts = np.unique(np.linspace(0, len(points), most, endpoint=False).astype(np.int64))
    ends = np.append(starts[1:], len(points))
    heights = points[:, 1]
    keep = [starts, ends - 1]
    for extreme in (np.minimum, np.maximum):
        here = np.flatnonzero(heights == np.repeat(extreme.reduceat(heights, starts), ends - starts))
        # Of several that are as low or high, the first.
        keep.append(here[np.searchsorted(here, starts)])
    kept: Points = points[np.unique(np.concatenate(keep))]
    return kept


def running_mean(points: Points, window: int) -> Points:
    """Each point's height replaced by the mean over itself and half a window on either side.

    At the beginning, where losses fall steeply, it takes no more points after than there are before,
    so the first point stays; at the end it takes what there is, so the last point is a mean as well.

    Args:
        points: one piece of a line.
        window: points that are averaged.
    """
    heights, count = points[:, 1], len(points)
    index = np.arange(count)
    reach = np.minimum(window // 2, index)
    begin, end = index - reach, np.minimum(index + reach + 1, count)
    means = _sums(heights, begin, end, 2 * (window // 2) + 1) / (end - begin)
    return np.column_stack([points[:, 0], means])


def _sums(
    heights: npt.NDArray[np.float64],
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    width: int,
) -> npt.NDArray[np.float64]:
    """Sums over [begin, end): each begins at nought, ends at the end, or is ``width`` long, and none longer.

    Of the rest of one block of that width and the beginning of the next: only added, as differences of
    running sums lose small values behind a large one.
    """
    blocks = -(-len(heights) // width)
    padded = np.zeros(blocks * width)
    padded[: len(heights)] = heights
    grid = padded.reshape(blocks, width)
    before = np.cumsum(grid, axis=1).ravel()
    after = np.cumsum(grid[:, ::-1], axis=1)[:, ::-1].ravel()
    last = end - 1
    # Within one block, a sum begins where the block does or reaches the end of what there is of it.
    same = begin // width == last // width
    return np.where(
        same, np.where(begin % width == 0, before[last], after[begin]), after[begin] + before[last]
    )
