"""What was seen is kept whole: any cut into batches, processes and sittings comes to the same."""

import itertools

import pytest
import torch

from thalweg import files
from thalweg.config import component
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.jobs.ranges import batches, share, without
from thalweg.types import Features
from thalweg_eval.evaluation.partial_statistics import PartialStatistics

COUNT, WIDTH = 61, 5
POOLED = torch.randn(COUNT, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 100
MAKERS = {
    f"eye/{key}": make
    for name in ("frechet_distance", "precision_recall")
    for key, make in component("metric", name).build(Facts(shape=(1, 8, 8))).statistics(COUNT).items()
}


def seen(parts, start, stop):
    statistics = parts.empty()
    for one in statistics.values():
        one.update(Features(POOLED[start:stop].float()), None, range(start, stop))
    return statistics


def see_all(parts, ranges, length):
    for start, stop in batches(ranges, length):
        parts.add([(start, stop)], seen(parts, start, stop))


def states(parts):
    return {key: dict(one.state()) for key, one in parts.merged().items()}


def same(ours, theirs):
    moments, real = ours["eye/moments:pooled"], theirs["eye/moments:pooled"]
    assert int(moments["count"]) == COUNT
    for name in ("mean", "scatter"):
        torch.testing.assert_close(moments[name], real[name], rtol=1e-10, atol=1e-10)
    (collected,) = (one for key, one in ours.items() if "moments" not in key)
    order = collected["indices"].argsort()
    assert collected["indices"][order].tolist() == list(range(COUNT))
    assert torch.equal(collected["features"][order], POOLED.float())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    parts = PartialStatistics(tmp_path_factory.mktemp("whole"), MAKERS)
    parts.add([(0, COUNT)], seen(parts, 0, COUNT))
    return states(parts)


@pytest.mark.parametrize(("world", "length"), list(itertools.product([1, 2, 3], [1, 7, 64])))
def test_any_number_of_processes_and_any_batch_give_the_same_statistics(tmp_path, whole, world, length):
    for rank in range(world):
        parts = PartialStatistics(tmp_path, MAKERS)
        see_all(parts, [share(COUNT, rank, world)], length)
    reader = PartialStatistics(tmp_path, MAKERS)
    assert reader.done() == [(0, COUNT)]
    same(states(reader), whole)
    assert len(list(tmp_path.iterdir())) <= world * 7  # about log2(61) files a process
    reader.remove()
    assert list(tmp_path.iterdir()) == []


class FullError(Exception):
    """The disk fails from now on, as if the process had ended."""


class Failing(files.Disk):
    """Fails at the n-th operation that changes the disk, and at all that follow."""

    def __init__(self, left):
        self.left = left

    def spend(self):
        self.left -= 1
        if self.left < 0:
            raise FullError

    def write(self, descriptor, content):
        self.spend()
        return super().write(descriptor, content)

    def move(self, source, target):
        self.spend()
        super().move(source, target)

    def remove(self, path):
        self.spend()
        super().remove(path)


@pytest.mark.parametrize("operations", range(0, 24, 3))
def test_an_end_at_any_operation_loses_and_doubles_nothing(tmp_path, monkeypatch, whole, operations):
    failing = Failing(operations)
    monkeypatch.setattr(files, "disk", failing)
    first = PartialStatistics(tmp_path, MAKERS)
    with pytest.raises(FullError):
        see_all(first, [(0, COUNT)], 4)
    failing.left = 10**9
    second = PartialStatistics(tmp_path, MAKERS)
    see_all(second, without([(0, COUNT)], second.done()), 5)
    same(states(PartialStatistics(tmp_path, MAKERS)), whole)


def test_images_that_were_counted_twice_are_refused(tmp_path):
    for start, stop in [(0, 40), (20, COUNT)]:
        parts = PartialStatistics(tmp_path, MAKERS)
        parts.add([(start, stop)], seen(parts, start, stop))
    with pytest.raises(DataError, match="counted twice"):
        PartialStatistics(tmp_path, MAKERS).merged()
