"""The order of samples: every epoch a permutation, whoever reads it and wherever it is resumed."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.data.order import WINDOW, indices
from thalweg.errors import ConfigError, DataError
from thalweg.randomness import generator


def stream(steps: range, **address: object) -> list[int]:
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


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_the_same_holds_of_samples_in_blocks(blocks: list[int], batch_size: int, seed: int) -> None:
    size = sum(blocks)
    steps = -(-2 * size // batch_size)
    read = stream(range(steps), seed=seed, batch_size=batch_size, size=size, blocks=blocks)
    for epoch in range(2):
        assert sorted(read[epoch * size : (epoch + 1) * size]) == list(range(size))
    later = stream(range(steps - 1, steps), seed=seed, batch_size=batch_size, size=size, blocks=blocks)
    assert later == read[(steps - 1) * batch_size :]
    shared = [indices(seed, 1, 12, size, rank, 3, blocks=blocks) for rank in range(3)]
    alone = indices(seed, 1, 12, size, blocks=blocks)
    assert [shared[place % 3][place // 3] for place in range(12)] == alone


def test_blocks_come_in_windows_that_differ_from_epoch_to_epoch() -> None:
    count, length = 3 * WINDOW + 2, 50
    blocks = [length] * count
    size = count * length
    windows = []
    for epoch in range(3):
        read = indices(1, epoch, size, size, blocks=blocks)
        within = [
            {sample // length for sample in read[first : first + WINDOW * length]}
            for first in range(0, size, WINDOW * length)
        ]
        assert [len(one) for one in within] == [WINDOW, WINDOW, WINDOW, 2]
        windows.append(within)
        # A window's blocks are mixed, not read one after another: neighbours mostly lie in different ones.
        pairs = sum(one // length == other // length for one, other in pairwise(read[: WINDOW * length]))
        assert pairs < WINDOW * length / 4
    assert windows[0] != windows[1] != windows[2]


def test_one_block_is_the_order_of_samples_that_lie_in_none() -> None:
    assert indices(3, 5, 7, 40, blocks=[40]) == indices(3, 5, 7, 40)
    plain = torch.randperm(40, generator=generator(3, "order", 0)).tolist()
    assert indices(3, 0, 40, 40) == plain


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(DataError, match="no samples"):
        indices(0, 0, 4, 0)
    with pytest.raises(ConfigError, match="multiple of 3"):
        indices(0, 0, 4, 10, rank=0, world=3)
    with pytest.raises(ConfigError, match="batch of 0"):
        indices(0, 0, 0, 10)
    for blocks in ([4, 5], [], [11, -1]):
        with pytest.raises(ValueError, match="do not make up 10"):
            indices(0, 0, 4, 10, blocks=blocks)
    for step, rank in ((-1, 0), (0, 2), (0, -1)):
        with pytest.raises(ValueError, match="count from 0"):
            indices(0, step, 4, 10, rank=rank, world=2)
