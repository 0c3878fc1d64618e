"""The order of samples: every epoch a permutation, whoever reads it and wherever it is resumed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.data.order import indices
from thalweg.errors import ConfigError, DataError


def stream(steps: range, **address: int) -> list[int]:
    return [sample for step in steps for sample in indices(step=step, **address)]


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 40), batch_size=st.integers(1, 100), seed=st.integers(0, 9))
def test_every_sample_comes_exactly_once_an_epoch(size: int, batch_size: int, seed: int) -> None:
    epochs = 4
    steps = -(-epochs * size // batch_size)
    read = stream(range(steps), seed=seed, batch_size=batch_size, size=size)
    for epoch in range(epochs):
        assert sorted(read[epoch * size : (epoch + 1) * size]) == list(range(size))


@pytest.mark.parametrize("world", [2, 3, 4, 12])
def test_any_number_of_ranks_reads_the_same_global_batch(world: int) -> None:
    for step in range(12):
        alone = indices(seed=3, step=step, batch_size=12, size=31)
        shared = [indices(3, step, 12, 31, rank, world) for rank in range(world)]
        assert {len(part) for part in shared} == {12 // world}
        interleaved = [shared[place % world][place // world] for place in range(12)]
        assert interleaved == alone


def test_a_resumed_run_reads_on_as_the_uninterrupted_one_would() -> None:
    whole = stream(range(20), seed=1, batch_size=7, size=23)
    # From the last step backwards, so that nothing can come from what was read before.
    parts = [indices(1, step, 7, 23) for step in reversed(range(20))]
    assert [sample for part in reversed(parts) for sample in part] == whole


def test_a_batch_larger_than_the_data_spans_epochs() -> None:
    assert set(Counter(indices(0, 5, 30, 10)).values()) == {3}


def test_epochs_and_seeds_differ() -> None:
    first, second = indices(0, 0, 50, 50), indices(0, 1, 50, 50)
    assert first != second
    assert first != indices(1, 0, 50, 50)
    assert first != list(range(50))


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(DataError, match="no samples"):
        indices(0, 0, 4, 0)
    with pytest.raises(ConfigError, match="multiple of 3"):
        indices(0, 0, 4, 10, rank=0, world=3)
    with pytest.raises(ConfigError, match="batch of 0"):
        indices(0, 0, 0, 10)
    for step, rank in ((-1, 0), (0, 2), (0, -1)):
        with pytest.raises(ValueError, match="count from 0"):
            indices(0, step, 4, 10, rank=rank, world=2)
