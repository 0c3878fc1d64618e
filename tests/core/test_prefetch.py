"""Reading ahead: the same as reading in order, sooner; and nothing left behind."""

import threading
from collections.abc import Iterator

import pytest

from thalweg.data.prefetch import Prefetcher


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """No thread outlives its prefetcher."""
    yield
    assert [one.name for one in threading.enumerate() if one.name.startswith("thalweg-prefetch")] == []


@pytest.mark.parametrize(("depth", "workers"), [(0, 1), (1, 1), (3, 1), (4, 3), (1, 5)])
def test_every_step_is_what_reading_it_gives(depth: int, workers: int) -> None:
    with Prefetcher(lambda step: step * step, depth=depth, workers=workers) as ahead:
        assert [ahead.get(step) for step in range(5, 60)] == [step * step for step in range(5, 60)]
        assert [ahead.get(step) for step in (7, 7, 3, 100, 2)] == [49, 49, 9, 10_000, 4]


def test_steps_are_read_while_the_caller_computes_and_each_once() -> None:
    read, arrived = [], threading.Semaphore(0)

    def reading(step: int) -> int:
        read.append(step)
        arrived.release()
        return step

    with Prefetcher(reading, depth=3, workers=2) as ahead:
        ahead.get(0)
        for _ in range(4):
            assert arrived.acquire(timeout=60)
        assert sorted(read) == [0, 1, 2, 3]
        ahead.get(1)
        assert arrived.acquire(timeout=60)
        assert sorted(read) == [0, 1, 2, 3, 4]


def test_nothing_is_read_beyond_the_last_step() -> None:
    read: list[int] = []
    with Prefetcher(read.append, depth=5, stop=3) as ahead:
        for step in range(3):
            ahead.get(step)
    assert sorted(read) == [0, 1, 2]


def test_without_depth_everything_is_read_by_the_caller() -> None:
    with Prefetcher(lambda _: threading.current_thread(), depth=0) as ahead:
        assert ahead.get(3) is threading.current_thread()
    with Prefetcher(lambda _: threading.current_thread(), depth=1) as ahead:
        assert ahead.get(3) is not threading.current_thread()


def test_an_error_is_raised_at_its_step_and_no_other() -> None:
    def reading(step: int) -> int:
        if step == 2:
            raise LookupError("step 2 is gone")
        return step

    with Prefetcher(reading, depth=4, workers=2) as ahead:
        assert [ahead.get(step) for step in range(2)] == [0, 1]
        for _ in range(2):
            with pytest.raises(LookupError, match="step 2 is gone"):
                ahead.get(2)
        assert ahead.get(3) == 3


def test_closing_waits_for_what_is_being_read_and_drops_the_rest() -> None:
    begun, release, read = threading.Event(), threading.Event(), []

    def reading(step: int) -> None:
        begun.set()
        assert release.wait(60)
        read.append(step)

    ahead = Prefetcher(reading, depth=6, workers=1)
    caller = threading.Thread(target=ahead.get, args=(0,))
    caller.start()
    assert begun.wait(60)
    closer = threading.Thread(target=ahead.close)
    closer.start()
    release.set()
    closer.join(60)
    caller.join(60)
    assert 0 in read
    done = list(read)
    with pytest.raises(RuntimeError, match="closed"):
        ahead.get(1)
    assert read == done
    ahead.close()


@pytest.mark.parametrize("depth", [0, 2])
def test_what_is_far_away_is_told_of_early_and_once(depth: int) -> None:
    told: list[int] = []
    with Prefetcher(lambda step: step, depth=depth, stop=20, upcoming=told.append, reach=5) as ahead:
        ahead.get(4)
        assert told == list(range(4, 4 + 1 + depth + 5))
        ahead.get(5)
        ahead.get(6)
        assert told == list(range(4, 6 + 1 + depth + 5))
        ahead.get(18)
        assert told[-2:] == [18, 19]
        told.clear()
        ahead.get(0)
        assert told == list(range(1 + depth + 5))


@pytest.mark.parametrize("wrong", [{"depth": -1}, {"depth": 1, "workers": 0}, {"depth": 1, "reach": -1}])
def test_sizes_that_are_none_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Prefetcher(lambda step: step, **wrong)
