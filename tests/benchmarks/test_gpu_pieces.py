"""Every piece of ``benchmarks/gpu.py`` at tiny sizes on a CPU, and that it finds what it is there to find."""

import time

import pytest
import torch
from benchmarks.gpu import device, pictures, resume, step, strategies, syncs
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pieces import NETWORKS, PIECES, PRECISIONS
from benchmarks.gpu.sizes import TINY

import thalweg
from thalweg.errors import ThalwegError
from thalweg.objectives.velocity import Velocity
from thalweg.training.state import OptimizerState


class Found:
    """What a piece has reported."""

    def __init__(self):
        self.checks, self.figures, self.notes = {}, {}, []

    def take(self, kind, content):
        if kind == "check":
            self.checks[content["key"]] = content["figure"]
        elif kind == "figure":
            self.figures[content["what"]] = content["value"]
        else:
            self.notes.append(content)


@pytest.fixture
def bench(tmp_path):
    """A piece's surroundings, whose reports are kept in ``bench.report.__self__``."""
    return Bench("cpu", TINY, tmp_path, time.monotonic() + 300, Found().take)


@pytest.fixture
def measured(bench, tmp_path):
    """Runs a piece and gives what it has reported, of every target."""

    def run(name, **before):
        found = Found()
        PIECES[name].load()(Bench("cpu", TINY, tmp_path, time.monotonic() + 300, found.take, before=before))
        # A CPU never waits for itself.
        targets = {target.key for target in PIECES[name].targets} - {"waits"}
        assert found.checks.keys() == targets
        return found

    return run


def missed(name, found):
    """The targets that were not met, of those that no clock decides."""
    return {one.key for one in PIECES[name].targets if not one.met(found.checks[one.key])}


def test_golden(measured):
    found = measured("golden")
    assert not missed("golden", found)
    assert len(found.figures) == len(found.checks) == 4
    # Autocast computes otherwise, and by more than float32 may be off.
    for what, error in found.figures.items():
        assert "bfloat16" in what
        assert 1e-3 < error < 0.2


def test_strategies(measured):
    found = measured("strategies")
    assert not missed("strategies", found)
    assert found.checks["mixed"] > 1e-5
    compared = {what.partition(":")[0] for what in found.figures}
    assert compared == {f"{one}, {how}" for one in strategies.STRATEGIES for how in PRECISIONS}
    assert len(found.notes) == 3  # a CPU has no float16
    assert not torch.distributed.is_initialized()


def test_a_strategy_that_trains_otherwise_or_not_at_all_is_found(measured, monkeypatch):
    honest = {"auto": [1.0, 0.9], "ddp": [1.0, 0.9], "fsdp": [1.0, 0.91]}

    def numbers(bench, strategy, precision):
        if (strategy, precision) == ("ddp", "bf16-mixed"):
            raise thalweg.ConfigError("no")
        return honest[strategy]

    monkeypatch.setattr(strategies, "numbers", numbers)
    found = measured("strategies")
    assert missed("strategies", found) == {"32-true", "refused"}
    assert found.checks["32-true"] == pytest.approx(0.01 / 0.9)
    assert found.checks["refused"] == 1


def test_resume(measured):
    found = measured("resume")
    assert not missed("resume", found)
    assert len(found.notes) == len(PRECISIONS)


def test_a_run_that_loses_its_moments_does_not_resume(bench, monkeypatch):
    whole = resume.trained(bench, "32-true", "whole")
    resume.trained(bench, "32-true", "cut", steps=TINY.steps // 2)
    monkeypatch.setattr(OptimizerState, "load", lambda *_: None)
    cut = resume.trained(bench, "32-true", "cut")
    assert any("model" in one for one in resume.differing(whole, cut))


def test_step(measured):
    found = measured("step")
    assert not {one for one in missed("step", found) if one.startswith("same")}
    for name in NETWORKS:
        assert found.figures[f"{name}: batch"] == TINY.most_batch
        rate, flop = (
            found.figures[f"{name}: {what}"] for what in ("samples a second", "operations of a sample's step")
        )
        (peak,) = (value for what, value in found.figures.items() if what.startswith("peak in bfloat16"))
        assert found.checks[f"mfu/{name}"] == pytest.approx(flop * 1e9 * rate / (peak * 1e12))
        ours, theirs = (
            found.figures[f"{name}: {what}"] for what in ("our step at batch 2", "the published step")
        )
        assert found.checks[f"faster/{name}"] == pytest.approx(theirs / ours)
    # Three branches of SiT's depth cost what their refiners and read-outs add.
    sit, deepflow = (found.figures[f"{name}: operations of a sample's step"] for name in NETWORKS)
    assert deepflow > sit


@pytest.mark.parametrize(
    ("fixed", "each", "batch"),
    [
        (0.1, 0.01, 64),  # 128 would take 1.38
        (0.1, 0.002, 256),
        (0.1, 1e-5, 1024),  # the most
        (0.1, 0.05, 8),  # the first one takes 0.9
        (0.7, 0.001, 64),
    ],
)
def test_the_batch_is_doubled_until_another_would_not_fit(fixed, each, batch):
    tried = []

    def share(count):
        tried.append(count)
        return fixed + each * count

    assert step.largest_batch(share, 16, 1024) == batch
    assert all(fixed + each * count <= 0.95 for count in tried)


def test_a_batch_that_is_out_of_memory_is_halved():
    def share(count):
        if count > 32:
            raise torch.OutOfMemoryError
        return 0.1

    assert step.largest_batch(share, 16, 1024) == 32


def test_the_published_step_trains_what_ours_trains(bench):
    config = step.config_of(bench, "deepflow-xl-2-3t", 2)
    network = step.awake(thalweg.compose(**step.composition_of(config), facts=step.LATENTS))
    before = [one.detach().clone() for one in network.parameters()]
    published = step.PublishedStep(network, config, "cpu")
    loss = published(*step._batch(2))
    assert 0 < loss < 100
    moved = [not torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    averages = published._averages.values()
    for one, other, average in zip(before, network.parameters(), averages, strict=True):
        assert torch.allclose(average, one + 1e-4 * (other - one), atol=1e-7)


def test_a_number_that_is_read_within_a_step_is_found(measured, monkeypatch):
    def read():
        (count,) = measured("syncs").figures.values()
        return count

    before, called = read(), Velocity.__call__

    def reading(self, shown):
        value = called(self, shown)
        value.total.sum().item()
        return value

    monkeypatch.setattr(Velocity, "__call__", reading)
    assert read() == before + 1


def test_waits_are_told_from_what_is_none():
    seen = {
        "cudaStreamSynchronize": 1.0,
        "cudaMemcpy": 0.5,
        "cudaMemcpyAsync": 9.0,
        "cudaDeviceSynchronize": 1.0,
    }
    assert syncs.waits({**seen, "cudaLaunchKernelExC": 700.0}) == 1.5
    with pytest.raises(ThalwegError, match="sees no kernel of the card"):
        syncs.waits(seen)


def test_sampling(measured):
    found = measured("sampling")
    rates = {what: value for what, value in found.figures.items() if "NFE" in what}
    assert rates.keys() == {
        f"{sampler}, {way}, NFE {nfe * factor}"
        for sampler, nfe in (("euler", 2), ("heun", 3))
        for way, factor in (("unguided", 1), ("internal guidance", 1), ("CFG", 2))
    }
    assert all(rate > 0 for rate in rates.values())


def test_loader(measured):
    found = measured("loader")
    rate = found.figures[f"latents 4x32x32 of local shards, {TINY.workers} threads"]
    (needed,) = (value for what, value in found.figures.items() if "would be trained on at 45% MFU" in what)
    assert found.checks["latents"] == pytest.approx(rate / needed)
    assert any(what.startswith("JPEG images of 32 pixels") for what in found.figures)


def test_the_loader_is_held_against_the_step_that_was_measured(bench, tmp_path):
    figures = [{"what": "SiT-XL/2: samples a second", "value": 625.0, "unit": "samples/s"}]
    loader = PIECES["loader"].load().__globals__
    before = {"step": {"figures": figures}}
    assert loader["taken_in"](Bench("cpu", TINY, tmp_path, 0.0, Found().take, before=before)) == 625.0


def test_training(measured, monkeypatch, tmp_path):
    monkeypatch.setattr(pictures, "DEBIAN", tmp_path / "nowhere")
    found = measured("training")
    assert "for want of Fashion-MNIST" in found.notes[0]
    assert "one seed" in found.notes[0]
    steps = [value for what, value in found.figures.items() if "steps of" in what]
    assert len(steps) == 3
    assert all(value > TINY.warm for value in steps)
    scored = [what for what in found.figures if "distance" in what or "recall" in what]
    assert len(scored) == 8
    assert {what.partition(":")[0] for what in scored} == {
        "SiT-B/2",
        "DeepFlow-B/2-2T",
        "SiT-B/2 with a detached head, unguided",
        "SiT-B/2 with a detached head, internal guidance",
    }


def test_too_little_time_to_train_in_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "DEBIAN", tmp_path / "nowhere")
    late = Bench("cpu", TINY, tmp_path, time.monotonic(), Found().take)
    with pytest.raises(ThalwegError, match="s are left, too few to train in and to score"):
        PIECES["training"].load()(late)


def test_digits_stand_in_as_they_are(tmp_path):
    data = thalweg.build("dataset", pictures.fashion(tmp_path / "none", tmp_path)[0])
    digits = thalweg.build("dataset", "digits")
    assert data.facts == thalweg.Facts(shape=(1, 32, 32), classes=10)
    assert len(data.train) + len(data.validation) == len(digits.train)
    total = sum(
        split.batch(range(len(split)), torch.Generator()).clean.double().sum()
        for split in (data.train, data.validation)
    )
    # The bytes of images round sixteen levels.
    assert total == pytest.approx(16 * float(digits.train.clean.double().sum()), rel=2e-3)


def test_a_given_folder_is_read(tmp_path):
    data, name = pictures.fashion(tmp_path, tmp_path / "scratch")
    assert data["source"]["url"] == str(tmp_path)
    assert name == "Fashion-MNIST"


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", 836e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
    ],
)
def test_the_peak_of_a_known_card_is_its_data_sheets(name, rate, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: name)
    assert device.peak("cuda", 64) == (rate, "by its data sheet, dense")


def test_the_peak_of_another_device_is_measured():
    rate, how = device.peak("cpu", 64)
    assert rate > 0
    assert how == "measured by a product of 64 x 64 matrices"
