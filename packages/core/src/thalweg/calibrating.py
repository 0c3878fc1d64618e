"""Measuring a network's heads, from which calibrated scales follow."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.arguments import AT_ONCE, SAMPLES, SEED, Integers, described
from thalweg.calibration import Calibration
from thalweg.devices import exact
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.network_field import NetworkField, evaluating, placed
from thalweg.protocols import Dataset
from thalweg.randomness import generator
from thalweg.types import Condition, Head, Query

BINS = Integers(1, 1_000)


class HeadProducts:
    """Sums over samples of one bin of time, in float64: of G, of r and of the squared error of the last head.

    Attributes:
        elements: of all samples so far.
    """

    def __init__(self) -> None:
        self.elements, self._sums = 0, dict[str, Tensor]()

    def update(self, weak: Sequence[Tensor], last: Tensor, target: Tensor) -> None:
        """Take the velocities of a batch: those of the intermediate heads, the last one's, and the target."""
        last_M = exact(last).flatten()
        d_kM = torch.stack([last_M - exact(one).flatten() for one in weak])
        left_M = exact(target).flatten() - last_M
        self.elements += len(last_M)
        for name, product in (("G", d_kM @ d_kM.T), ("r", d_kM @ left_M), ("e", left_M @ left_M)):
            self._sums[name] = self._sums.get(name, 0) + product.cpu()

    def means(self) -> dict[str, Any]:
        """G, r and e by element, in plain values."""
        return {name: (total / self.elements).tolist() for name, total in self._sums.items()}


def calibrate(
    network: FlowNetwork,
    dataset: Dataset,
    *,
    bins: int = 5,
    samples: int = 512,
    seed: int = 0,
    batch_size: int = 128,
    device: torch.device | str | None = None,
) -> Calibration:
    """Measure a network's intermediate heads on training data, every condition shown.

    Assign it to ``network.calibration``, and guidance with ``scale = "calibrated"`` can use it; saving the
    network saves it. It is measured in float32, so that it is the same whatever precision is sampled in.

    Args:
        network: with the weights that it is sampled with.
        dataset: what it was trained on.
        bins: of equal width in time.
        samples: of the data, each of them once in every bin, at a time of its own.
        seed: of samples, times and noise.
        batch_size: samples at a time.
        device: where; where the network is by default.

    Raises:
        ConfigError: the network has no intermediate head, or other data, or one of the two is none.
    """
    check_data(network, dataset)
    for name, number, allowed in (
        ("bins", bins, BINS),
        ("samples", samples, SAMPLES),
        ("batch_size", batch_size, AT_ONCE),
    ):
        allowed.check(name, number)
    heads = measured_heads(network)
    draws = generator(SEED.check("seed", seed), "calibration")
    order = torch.randperm(len(dataset.train), generator=draws)[:samples].tolist()
    home = placed(network, device)
    field = NetworkField(network, home, mixed=False)
    found = [HeadProducts() for _ in range(bins)]
    with torch.no_grad(), evaluating([network]):
        for start in range(0, len(order), batch_size):
            batch = dataset.train.batch(order[start : start + batch_size], draws).to(home)
            for place, products in enumerate(found):
                t = (place + torch.rand(len(batch.clean), generator=draws)) / bins
                noise = torch.randn(batch.clean.shape, generator=draws).to(home)
                V = network.interpolant.velocity(batch.clean, noise, t.to(home))
                x_t = network.interpolant.x_t(batch.clean, noise, t.to(home))
                query = Query(x_t, t.double(), _shown(batch.condition))
                *weak, last = field.heads(query, (*heads, -1))
                products.update(weak, last, V)
    edges = tuple(float(one) for one in np.linspace(0, 1, bins + 1))
    made = {"data": dataset.identity, "samples": len(order), "seed": seed}
    return Calibration.of_bins(heads, edges, [one.means() for one in found], made)


def measured_heads(network: FlowNetwork) -> tuple[Head, ...]:
    """All intermediate heads of a network, in every form that it has.

    Raises:
        ConfigError: it has none.
    """
    facts = network.facts
    corrected = "acceleration" in facts.readouts and network.interpolant.stated == "linear"
    found = []
    for depth in facts.weak_heads:
        found.append(Head(depth))
        if depth in facts.ends:
            found.append(Head(depth, "refined"))
            found.extend([Head(depth, "corrected")] if corrected else [])
    if not found:
        raise ConfigError(
            "the network has no intermediate head; train it with heads = [depth] or branches, or add a head "
            "with thalweg fit-head"
        )
    return tuple(found)


def check_data(network: FlowNetwork, dataset: Dataset) -> None:
    """Make sure that a network may be measured on these data.

    Raises:
        ConfigError: they are of another shape or normalisation, or other conditions.
    """
    if not callable(getattr(network, "heads", None)) or not isinstance(network.facts, Facts):
        raise ConfigError(
            f"the network is {described(network)}; heads are those of a FlowNetwork, as of thalweg.load"
        )
    if not hasattr(dataset, "train") or not isinstance(getattr(dataset, "facts", None), Facts):
        raise ConfigError(
            f"the data set is {described(dataset)}; build it, as in thalweg.build('dataset', 'digits')"
        )
    ours, theirs = network.facts, dataset.facts
    if (ours.shape, ours.classes, ours.text) != (theirs.shape, theirs.classes, theirs.text):
        raise ConfigError(
            f"the network is of shape {ours.shape}, {ours.classes} classes and captions {ours.text}, and "
            f"the data of {theirs.shape}, {theirs.classes} and {theirs.text}; give the data that it was "
            "trained on"
        )
    if ours.normalisation != theirs.normalisation:
        raise ConfigError(
            f"the network's samples are normalised by {ours.normalisation} and the data by "
            f"{theirs.normalisation}; give the data as it was trained on them (data.normalise)"
        )


def _shown(condition: Condition) -> Condition:
    return condition._replace(dropped=None)
