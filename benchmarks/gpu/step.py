"""A training step at a batch that fills the card: its model FLOPs utilisation, and how much faster it is.

Against it stands the same network in the same process, trained as published code of SiT, REPA and DeepFlow
does it: weights in float32 under bfloat16 autocast, nothing compiled, torch's AdamW as it is by default,
averages parameter by parameter, the loss read every step. It is written from our own modules, since that code
is not part of this repository: what differs is how the step is run, not how the network is written.
"""

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from benchmarks.common import awake
from benchmarks.gpu import device
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pieces import NETWORKS
from benchmarks.training_runs import LATENTS, latents
from torch import Tensor, nn

import thalweg
from thalweg.composition import composition_of
from thalweg.config import RunConfig, component
from thalweg.network import FlowNetwork
from thalweg.summary import forward_flop
from thalweg.training.step import Losses
from thalweg.training.trainer import Trainer
from thalweg.types import Condition, Plan

RECIPES = Path(__file__).parents[2] / "recipes/imagenet-256"
FILLED = 0.8
TRAINED = 3
"""Operations of a step over those of its forward pass: the backward pass costs twice as much."""
AGAIN = 50.0
"""Seconds that must be left for another batch, which is compiled anew."""


@attrs.frozen(eq=False)
class Measured:
    """What was found of a network.

    Attributes:
        recipe: of its run.
        network: on the CPU, untrained.
        batch: samples a step.
        rate: samples a second.
        share: of the card's memory that a step of ours takes.
        flop: operations of a sample's step.
    """

    recipe: str
    network: FlowNetwork
    batch: int
    rate: float
    share: float
    flop: int


def run(bench: Bench) -> None:
    """Measure every network; then again at twice the batch, where that fits and time is left."""
    best, how = device.peak(bench.device, bench.sizes.matmul)
    bench.figure(f"peak in bfloat16, {how}", best / 1e12, "TFLOP/s")
    rate = device.matmul_rate(bench.device, bench.sizes.matmul)
    bench.figure("a large matrix product in bfloat16", rate / 1e12, "TFLOP/s")
    found = {name: measured(bench, name, recipe) for name, recipe in NETWORKS.items()}
    for name, one in found.items():
        bench.figure(f"{name}: samples a second", one.rate, "samples/s")
        bench.check(f"mfu/{name}", one.flop * one.rate / best)
    for name, one in found.items():
        if 0 < 2 * one.share < FILLED and bench.left > AGAIN:
            batch = 2 * one.batch
            seconds, _ = our_step(bench, name, one.recipe, one.network, batch, None)
            bench.figure(f"{name}: samples a second at batch {batch}", batch / seconds, "samples/s")
            bench.check(f"mfu/{name}", one.flop * max(one.rate, batch / seconds) / best)


def measured(bench: Bench, name: str, recipe: str) -> Measured:
    """Measure one network, the published way and ours, at the largest batch that the former has room for."""
    config = config_of(bench, recipe, 1)
    network = awake(
        thalweg.compose(**composition_of(config), facts=LATENTS, seed=config.seed, device=bench.place)
    ).cpu()
    flop = TRAINED * forward_flop(network)
    bench.figure(f"{name}: operations of a sample's step", flop / 1e9, "GFLOP")
    batch, theirs = published_step(bench, name, network, config)
    first = first_loss(copy.deepcopy(network).to(bench.place), config, batch, bench.device)
    device.forget_peak(bench.device)
    ours, share = our_step(bench, name, recipe, network, batch, first)
    bench.check(f"faster/{name}", theirs / ours)
    return Measured(recipe, network, batch, batch / ours, share, flop)


def published_step(bench: Bench, name: str, network: FlowNetwork, config: RunConfig) -> tuple[int, float]:
    """The batch that fills the card, and the seconds of a step of it as published code writes it."""
    step = PublishedStep(copy.deepcopy(network).to(bench.place), config, bench.device)

    def share(count: int) -> float:
        device.forget_peak(bench.device)
        step(*_batch(count))
        device.synchronize(bench.device)
        return device.memory_share(bench.device)

    batch = largest_batch(share, bench.sizes.batch, bench.sizes.most_batch)
    device.forget_peak(bench.device)
    seconds = seconds_of(bench, lambda: step(*_batch(batch)))
    bench.figure(f"{name}: batch", batch, "samples")
    bench.figure(f"{name}: the published step", seconds, "s")
    taken = 100 * device.memory_share(bench.device)
    bench.figure(f"{name}: memory of the published step", taken, "% of the card")
    return batch, seconds


def our_step(
    bench: Bench, name: str, recipe: str, network: FlowNetwork, batch: int, first: float | None
) -> tuple[float, float]:
    """Seconds of a step of a run as the command line trains it, and the share of the memory that it takes.

    Args:
        bench: where.
        name: of the network.
        recipe: its run.
        network: which is left as it is.
        batch: samples a step.
        first: the first loss of the same network when it is not compiled; None compares nothing.
    """
    config = config_of(bench, recipe, batch)
    place = bench.scratch / f"{recipe}-{batch}"
    place.mkdir()
    # What was compiled for another batch would be compiled for any batch now, which is slower.
    torch.compiler.reset()
    device.forget_peak(bench.device)
    run = Trainer(
        config,
        place,
        network=copy.deepcopy(network),
        dataset=latents(),
        accelerator=bench.device,
        devices=1,
        quiet=True,
    )
    with run.rehearsed() as loop:
        begun = time.perf_counter()
        if first is not None:
            mine = first_loss(run.components.network, config, batch, bench.device)
            bench.check(f"same/{name}", abs(mine - first) / abs(first))
        loop.time_steps(0, bench.sizes.warm)
        bench.figure(f"{name}: compiling and first steps at batch {batch}", time.perf_counter() - begun, "s")
        device.forget_peak(bench.device)
        seconds = statistics.median(loop.time_steps(bench.sizes.warm, bench.sizes.rounds))
        share = device.memory_share(bench.device)
    bench.figure(f"{name}: our step at batch {batch}", seconds, "s")
    bench.figure(f"{name}: memory of our step at batch {batch}", 100 * share, "% of the card")
    return seconds, share


class PublishedStep:
    """A training step as published code writes it."""

    def __init__(self, network: FlowNetwork, config: RunConfig, device: str) -> None:
        self._losses, self._planner = _losses(network, config)
        self._losses.train()
        self._device, self._draws = device, torch.Generator().manual_seed(0)
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.0)
        self._averages = {name: one.detach().clone() for name, one in network.named_parameters()}

    def __call__(self, clean: Tensor, labels: Tensor) -> float:
        """Do one on a batch that is on the CPU; its loss."""
        network = self._losses.network
        clean, labels = clean.to(self._device), labels.to(self._device)
        times = self._planner.times(len(clean), self._draws, network.interpolant).to(self._device)
        plan = Plan.at(clean, torch.randn_like(clean), times, network.interpolant)
        with torch.autocast(self._device, torch.bfloat16):
            loss = self._losses(plan, _conditioned(plan, labels))["loss"]
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        self._optimizer.step()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                self._averages[name].mul_(0.9999).add_(weight, alpha=1 - 0.9999)
        return float(loss.item())


def largest_batch(share: Callable[[int], float], first: int, most: int, filled: float = FILLED) -> int:
    """The largest batch whose step takes no more than ``filled`` of the memory, by doubling.

    From the second one on, what a step at twice the batch will take is known: memory grows as the batch does,
    from what weights and moments take. None is tried that would take too much.

    Args:
        share: does a step of so many samples; the share of the memory that it takes.
        first: batch that is tried.
        most: batch that is tried.
        filled: share of the memory.
    """
    before, batch = None, first
    while True:
        try:
            taken = share(batch)
        except torch.OutOfMemoryError:
            return batch // 2
        if taken > filled:
            return batch // 2
        if 2 * batch > most or (before is not None and taken + 2 * (taken - before) > filled):
            return batch
        before, batch = taken, 2 * batch


def config_of(bench: Bench, recipe: str, batch: int) -> RunConfig:
    """The run of a published recipe at another batch, with nothing beside its steps."""
    branches = 3 if recipe.startswith("deepflow") else 1
    shrunk = [*bench.sizes.network]
    if shrunk and branches > 1:
        shrunk.append('refiner={type="vera", channels=[32]}')
    return thalweg.load_config(
        RECIPES / f"{recipe}.toml",
        [
            *shrunk,
            "data=digits",  # never read
            f"training.batch_size={batch}",
            "training.precision=bf16-mixed",
            f"training.compile={'on' if bench.sizes.compile else 'off'}",
            "training.validate_every=0",
            "training.checkpoint_every=0",
        ],
    )


def first_loss(network: FlowNetwork, config: RunConfig, batch: int, device: str) -> float:
    """The loss of a network on the first samples, at times and noise that are always the same."""
    losses, planner = _losses(network, config)
    losses.train()
    draws = torch.Generator().manual_seed(1)
    clean, labels = _batch(batch)
    noise, times = torch.randn(clean.shape, generator=draws), planner.times(batch, draws, network.interpolant)
    plan = Plan.at(*(one.to(device) for one in (clean, noise, times)), network.interpolant)
    with torch.autocast(device, torch.bfloat16):
        return float(losses(plan, _conditioned(plan, labels.to(device)))["loss"].detach())


def seconds_of(bench: Bench, step: Callable[[], object]) -> float:
    """The median of a step's seconds."""
    found = []
    for turn in range(bench.sizes.warm + bench.sizes.rounds):
        begun = time.perf_counter()
        step()
        device.synchronize(bench.device)
        if turn >= bench.sizes.warm:
            found.append(time.perf_counter() - begun)
    return statistics.median(found)


def _losses(network: FlowNetwork, config: RunConfig) -> tuple[Losses, Any]:
    objectives = {
        name: component("objective", one).build(network.facts) for name, one in config.objectives.items()
    }
    return Losses(network, objectives).to(next(network.parameters()).device), component(
        "planner", config.plan
    ).build(network.facts)


def _conditioned(plan: Plan, labels: Tensor) -> Any:
    return thalweg.Batch(plan.clean, Condition(labels))


def _batch(count: int) -> tuple[Tensor, Tensor]:
    """The first samples, again and again if there are fewer."""
    data = latents().train
    chosen = torch.arange(count) % len(data)
    return data.clean[chosen], data.labels_N[chosen]
