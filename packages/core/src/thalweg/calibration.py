"""How far a network's heads are from the truth, and from one another, over time; scales follow from it.

With d_k = v_f - v_k for the intermediate heads k and target V, the guided velocity v_f + sum_k a_k d_k has
the least squared error at G a = r, where G_kl = E<d_k, d_l> and r_k = E<d_k, V - v_f>. Of one head alone that
is internal guidance v_k + w (v_f - v_k) at the scale w* = 1 + E<d, V - v_f> / E|d|^2.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args

import attrs
import numpy as np
import torch
from torch import Tensor

from thalweg.arguments import AT_ONCE, SAMPLES, SEED, Integers, described
from thalweg.devices import exact
from thalweg.documents import digest_of
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.network_field import NetworkField, evaluating, placed
from thalweg.protocols import Dataset
from thalweg.randomness import generator
from thalweg.types import Condition, Head, Query
from thalweg.types.networks import HeadForm

BINS = Integers(1, 1_000)


@attrs.frozen
class TimeCurve:
    """A number as a function of time: linear between points, constant before the first and after the last.

    Attributes:
        times: of the points, ascending.
        values: there.
    """

    times: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, t: Tensor) -> Tensor:
        """The number at each of these times, in float64 on the CPU."""
        return torch.from_numpy(np.interp(t.double().cpu().numpy(), self.times, self.values))


@attrs.frozen
class Calibration:
    """What was measured of a network's heads on training data, in bins of time.

    Attributes:
        heads: the K intermediate ones.
        edges: of the bins, from 0 to 1.
        products: G of each bin, K x K, per element of a sample.
        leads: r of each bin.
        errors: E|V - v_f|^2 of each bin.
        made: of what and how, in plain values.
    """

    heads: tuple[Head, ...]
    edges: tuple[float, ...]
    products: tuple[tuple[tuple[float, ...], ...], ...]
    leads: tuple[tuple[float, ...], ...]
    errors: tuple[float, ...]
    made: Mapping[str, Any]

    def scale(self, head: Head, strength: float) -> TimeCurve:
        """1 + strength (w* - 1) over time; a strength of 1 minimises the velocity's error.

        Raises:
            ConfigError: the head was not measured.
        """
        (weights,) = self.weights((head,), strength)
        return TimeCurve(weights.times, tuple(1 + one for one in weights.values))

    def weights(self, heads: Sequence[Head], strength: float) -> tuple[TimeCurve, ...]:
        """strength a over time, for each of these heads, the others left out.

        Raises:
            ConfigError: one was not measured.
        """
        index = [self._index(head) for head in heads]
        found = []
        for products, leads in zip(self.products, self.leads, strict=True):
            G, r = np.array(products)[np.ix_(index, index)], np.array(leads)[index]
            # Of heads that agree there is nothing to learn: the least weights that serve.
            found.append(strength * np.linalg.lstsq(G, r, rcond=1e-9)[0])
        return tuple(TimeCurve(self._middles, tuple(map(float, column))) for column in np.array(found).T)

    def error(self, head: Head, scale: TimeCurve) -> tuple[float, ...]:
        """E|V - v|^2 of each bin for internal guidance from a head by a scale, taken in the bin's middle."""
        k = self._index(head)
        extra = (scale(torch.tensor(self._middles)) - 1).tolist()
        return tuple(
            error - 2 * a * leads[k] + a * a * products[k][k]
            for error, a, leads, products in zip(self.errors, extra, self.leads, self.products, strict=True)
        )

    @classmethod
    def of_bins(
        cls,
        heads: tuple[Head, ...],
        edges: tuple[float, ...],
        means: Sequence[Mapping[str, Any]],
        made: Mapping[str, Any],
    ) -> "Calibration":
        """What :meth:`HeadProducts.means` gave for each bin."""
        return cls(
            heads=heads,
            edges=edges,
            products=tuple(tuple(map(tuple, one["G"])) for one in means),
            leads=tuple(tuple(one["r"]) for one in means),
            errors=tuple(one["e"] for one in means),
            made=made,
        )

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**attrs.asdict(self, recurse=False), "heads": [list(head) for head in self.heads]}

    @classmethod
    def from_plain(cls, stated: Any) -> "Calibration":
        """What :meth:`plain` gave.

        Raises:
            DataError: it is something else.
        """
        try:
            found = cls(
                heads=tuple(Head(int(after), form) for after, form in stated["heads"]),
                edges=tuple(map(float, stated["edges"])),
                products=tuple(tuple(tuple(map(float, row)) for row in one) for one in stated["products"]),
                leads=tuple(tuple(map(float, one)) for one in stated["leads"]),
                errors=tuple(map(float, stated["errors"])),
                made=dict(stated["made"]),
            )
            if not found._is_whole():
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError("the calibration of a network is damaged; calibrate it anew") from error
        return found

    @property
    def sha256(self) -> str:
        """Digest of it, by which samples that are guided by it are known."""
        return digest_of(self.plain())

    def _is_whole(self) -> bool:
        """Whether shapes agree, numbers are finite, bins are in order, and no head is there twice."""
        count, bins = len(self.heads), len(self.errors)
        products, leads, edges = map(np.array, (self.products, self.leads, self.edges))
        return (
            products.shape == (bins, count, count)
            and leads.shape == (bins, count)
            and edges.shape == (bins + 1,)
            and all(np.isfinite(one).all() for one in (products, leads, edges, self.errors))
            and bool((np.diff(edges) > 0).all())
            and len(set(self.heads)) == count
            and all(head.form in get_args(HeadForm) for head in self.heads)
        )

    @property
    def _middles(self) -> tuple[float, ...]:
        return tuple((low + high) / 2 for low, high in pairwise(self.edges))

    def _index(self, head: Head) -> int:
        if head not in self.heads:
            known = ", ".join(f"{one.form} after {one.after}" for one in self.heads)
            raise ConfigError(
                f"the network was calibrated for the heads {known}, not for {head.form} after {head.after}; "
                "calibrate it anew"
            )
        return self.heads.index(head)


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
