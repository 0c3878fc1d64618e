"""Ranges hold exactly the indices that sets would hold, and shares of them nothing twice."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from thalweg.jobs.ranges import batches, divided, share, size, union, without

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda one: (one[0], sum(one))))


def members(ranges):
    return {index for start, stop in ranges for index in range(start, stop)}


@given(RANGES, RANGES)
def test_unions_and_differences_are_those_of_sets(ours, theirs):
    joined = union(ours)
    assert members(joined) == members(ours)
    assert size(joined) == len(members(ours))
    assert all(one[1] < other[0] for one, other in pairwise(joined))
    assert members(without(ours, theirs)) == members(ours) - members(theirs)


@given(RANGES, st.integers(1, 5), st.integers(1, 9))
def test_what_is_divided_is_shared_evenly_and_completely(ours, world, length):
    ranges = union(ours)
    pieces = batches(ranges, length)
    shares = divided(pieces, world)
    assert [one for share in shares for one in share] == pieces
    assert sorted(index for one in shares for index in members(one)) == sorted(members(ranges))
    assert len(shares) == max(1, min(world, len(pieces)))
    counts = [len(one) for one in shares]
    assert max(counts) - min(counts) <= 1
    if length == 1:
        sizes = [size(one) for one in shares]
        assert max(sizes) - min(sizes) <= 1


@given(RANGES, st.integers(1, 9))
def test_batches_are_the_ranges_in_order(ours, length):
    cut = batches(union(ours), length)
    assert [index for start, stop in cut for index in range(start, stop)] == sorted(members(ours))
    assert all(0 < stop - start <= length for start, stop in cut)


@given(st.integers(0, 50), st.integers(1, 9), st.sets(st.integers(0, 5)))
def test_what_is_left_is_worked_on_in_the_batches_of_the_whole(total, length, done):
    whole = batches([(0, total)], length)
    left = without([(0, total)], [one for place, one in enumerate(whole) if place in done])
    assert batches(left, length) == [one for place, one in enumerate(whole) if place not in done]


def test_shares_meet():
    assert [share(10, rank, 3) for rank in range(3)] == [(0, 3), (3, 6), (6, 10)]
