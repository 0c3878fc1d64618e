"""How far a network's heads are from the truth, and from one another, over time; scales follow from it.

:mod:`thalweg.calibrating` measures it.

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

from thalweg.documents import digest_of
from thalweg.errors import ConfigError, DataError
from thalweg.types import Head
from thalweg.types.networks import HeadForm


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
