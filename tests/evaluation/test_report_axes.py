import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg_eval.report.axes import step_axis, value_axis
from thalweg_eval.report.curves import running_mean, segments, thin

finite = st.floats(-1e12, 1e12, allow_subnormal=False)
positive = st.floats(1e-12, 1e12)


def is_round(value: float) -> bool:
    mantissa = abs(float(f"{value:.9e}".split("e")[0]))
    return any(math.isclose(mantissa, allowed, rel_tol=1e-6) for allowed in (1, 2, 2.5, 5, 10))


@given(finite, finite)
def test_linear_ticks_are_round_cover_the_range_and_are_few(one: float, other: float):
    low, high = sorted((one, other))
    axis = value_axis(low, high)
    assert axis.low <= low <= high <= axis.high
    assert axis.low < axis.high
    assert 3 <= len(axis.ticks) <= 12
    gaps = [after - before for before, after in zip(axis.ticks, axis.ticks[1:], strict=False)]
    assert all(gap > 0 for gap in gaps)
    # Next to a large offset the gap itself is only as exact as float64 lets it be.
    scale = max(abs(axis.low), abs(axis.high))
    if gaps[0] > 1e-6 * scale:
        assert is_round(gaps[0])
    assert max(gaps) - min(gaps) <= 1e-9 * scale


@given(positive, positive)
def test_logarithmic_ticks_cover_the_range_and_are_few(one: float, other: float):
    low, high = sorted((one, other))
    axis = value_axis(low, high, log=True)
    assert 0 < axis.low <= low <= high <= axis.high
    assert 3 <= len(axis.ticks) <= 15
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert -1e-9 <= axis.place(low) <= axis.place(high) <= 1 + 1e-9


@given(finite, finite)
def test_a_step_axis_ends_where_the_data_end(one: float, other: float):
    low, high = sorted((one, other))
    axis = step_axis(low, high)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert len(axis.labels) == len(axis.ticks) >= 1
    if high - low > 1e-9 * max(abs(low), abs(high)):
        assert (axis.low, axis.high) == (low, high)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 1.0, ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        (-1.0, 1.0, ("−1.0", "−0.5", "0.0", "0.5", "1.0")),
        (0.0, 10_000.0, ("0", "2,000", "4,000", "6,000", "8,000", "10,000")),
        (0.1, 0.3, ("0.10", "0.15", "0.20", "0.25", "0.30")),
    ],
)
def test_labels_show_as_many_decimals_as_the_step_has(low: float, high: float, labels: tuple[str, ...]):
    assert value_axis(low, high).labels == labels


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (1e-5, 1.0, ("10⁻⁵", "0.0001", "0.001", "0.01", "0.1", "1")),
        (0.2, 2.0, ("0.2", "0.5", "1", "2")),
        (0.015, 0.04, ("0.015", "0.02", "0.03", "0.04")),
    ],
)
def test_labels_of_a_logarithmic_axis(low: float, high: float, labels: tuple[str, ...]):
    assert value_axis(low, high, log=True).labels == labels


def test_places_run_from_nought_to_one():
    axis = value_axis(1.0, 100.0, log=True)
    assert [axis.place(value) for value in (axis.low, 10.0, axis.high)] == pytest.approx([0.0, 0.5, 1.0])
    assert value_axis(0.0, 1.0).place(0.25) == pytest.approx(0.25)


@given(st.lists(st.tuples(st.integers(0, 30).map(float), finite), min_size=1, max_size=300))
def test_thinning_keeps_the_ends_and_every_stretch_s_extremes(points: list[tuple[float, float]]):
    points.sort(key=lambda point: point[0])
    kept = list(map(tuple, thin(np.array(points), 10.0).tolist()))
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert len(kept) <= 4 * 4
    for stretch in range(4):
        before = [value for at, value in points if at // 10 == stretch]
        after = [value for at, value in kept if at // 10 == stretch]
        assert not before or (min(before), max(before)) == (min(after), max(after))
    remaining = iter(points)
    assert all(point in remaining for point in kept), "the order stays"


NAN = (math.nan, math.nan)


def pieces(points: list[tuple[float, float]], narrow: float = 0.0) -> list[list[tuple[float, float]]]:
    return [list(map(tuple, piece.tolist())) for piece in segments(np.array(points).reshape(-1, 2), narrow)]


def test_segments_are_cut_at_gaps():
    points = [NAN, (0.0, 1.0), (1.0, 1.0), NAN, NAN, (4.0, 1.0)]
    assert pieces(points) == [[(0.0, 1.0), (1.0, 1.0)], [(4.0, 1.0)]]
    assert pieces([]) == []
    assert pieces([NAN, NAN]) == []


def test_a_gap_that_nobody_would_see_cuts_nothing():
    points = [(0.0, 1.0), NAN, (1.0, 2.0), NAN, (9.0, 3.0)]
    assert pieces(points, 2.0) == [[(0.0, 1.0), (1.0, 2.0)], [(9.0, 3.0)]]


def test_a_line_that_runs_to_and_fro_is_thinned_too():
    points = np.array([(float(step % 2) * 400, float(step)) for step in range(100_000)])
    points[54_321, 1] = 1e9
    kept = thin(points, 1.0)
    assert len(kept) <= 4 * 5000
    assert kept[:, 1].max() == 1e9


def test_the_running_mean():
    points = np.array([(float(step), float(value)) for step, value in enumerate([0, 3, 6, 0, 3])])
    assert running_mean(points, 1).tolist() == points.tolist()
    smoothed = list(map(tuple, running_mean(points, 3).tolist()))
    assert smoothed == [(0.0, 0.0), (1.0, 3.0), (2.0, 3.0), (3.0, 3.0), (4.0, 1.5)]


def test_the_running_mean_survives_a_divergence():
    points = np.array([(0.0, 1e30), *((float(step), 0.3) for step in range(1, 9))])
    assert [value for _, value in running_mean(points, 3)][3:] == pytest.approx([0.3] * 6)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 70))
def test_the_running_mean_is_the_mean_of_its_window(values: list[float], window: int):
    points = np.column_stack([np.arange(len(values)), values])
    for index, (_, value) in enumerate(running_mean(points, window).tolist()):
        reach = min(window // 2, index)
        around = values[index - reach : index + reach + 1]
        assert value == pytest.approx(math.fsum(around) / len(around), rel=1e-9, abs=1e-6)
