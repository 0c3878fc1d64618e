"""Noise paired with the data that it is closest to, within a batch."""

import importlib
from typing import Any

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.config.components import component_field
from thalweg.errors import ConfigError, PluginError, ThalwegError
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.plugins import build_component
from thalweg.protocols import Planner
from thalweg.types import Batch, Plan

_MOST_PIVOTS = 10_000_000
"""Of the network simplex; a batch of thousands takes far fewer."""


@attrs.frozen
class OptimalTransportConfig:
    """Minibatch optimal transport: the pairing of noise and data with the least sum of squared distances.

    The noise of a batch is only permuted, so that data and noise keep their distributions, while paths cross
    less and become straighter (Tong et al., "Improving and generalizing flow-based generative models with
    minibatch optimal transport"; Pooladian et al., "Multisample flow matching"). It is exact within a batch,
    and within what a process holds of it at a time. Needs the package POT, the extra ``transport``.

    Attributes:
        inner: the planner that takes the pairs on.
        respect_labels: pair within each class only. Otherwise the noise of a class depends on the class,
            while samples are generated from noise that does not. A label that is hidden from the network
            counts.
    """

    inner: Any = component_field("planner", "branch_times")
    respect_labels: bool = True

    @inner.validator
    def _keeps_pairs(self, _: object, inner: Any) -> None:
        if isinstance(inner, OptimalTransportConfig):
            raise ConfigError("pairs noise and data already; state one 'optimal_transport'")

    def build(self, facts: Facts) -> "OptimalTransport":
        """Build it.

        Raises:
            ConfigError: labels are to be respected, and there are captions alone.
            PluginError: the package POT is missing.
        """
        if self.respect_labels and facts.text is not None and facts.classes is None:
            raise ConfigError(
                "the planner 'optimal_transport' pairs within a class and the data have captions in place of "
                "classes; set plan.respect_labels = false to pair across captions, or take another planner"
            )
        return OptimalTransport(build_component(self.inner, facts), self.respect_labels)


class OptimalTransport:
    """See :class:`OptimalTransportConfig`. Fulfils :class:`thalweg.protocols.Planner`.

    Args:
        inner: takes the pairs on.
        respect_labels: pair within each class only.

    Raises:
        PluginError: the package POT is missing.

    Attributes:
        ordered: whether the inner planner's times are.
    """

    def __init__(self, inner: Planner, respect_labels: bool = True) -> None:
        try:
            self._ot: Any = importlib.import_module("ot")
        except ImportError as error:
            raise PluginError(
                "the planner 'optimal_transport' needs the package POT: pip install 'thalweg-core[transport]'"
            ) from error
        self._inner, self._respect_labels = inner, respect_labels
        self.ordered = bool(getattr(inner, "ordered", False))

    def __call__(
        self,
        batch: Batch,
        noise: Float[Tensor, "N *shape"],
        generator: torch.Generator,
        interpolant: Interpolant,
    ) -> Plan:
        """What the inner planner makes of the batch and its noise in another order."""
        labels = batch.condition.labels if self._respect_labels else None
        order_N = self.pairs(batch.clean, noise, labels)
        return self._inner(batch, noise[order_N], generator, interpolant)

    @torch.no_grad()
    def pairs(
        self,
        clean: Float[Tensor, "N *shape"],
        noise: Float[Tensor, "N *shape"],
        labels: Int[Tensor, " N"] | None = None,
    ) -> Int[Tensor, " N"]:
        """For each sample the row of the noise that it is paired with: a permutation, on clean's device.

        Raises:
            ThalwegError: the assignment could not be solved.
        """
        classes = torch.zeros(len(clean), dtype=torch.long) if labels is None else labels.cpu()
        order_N = torch.arange(len(clean))
        for label in classes.unique():
            rows = (classes == label).nonzero().flatten()
            if len(rows) > 1:
                there = rows.to(clean.device)
                order_N[rows] = rows[self._assigned(clean[there], noise[there])]
        return order_N.to(clean.device)

    def _assigned(
        self, clean: Float[Tensor, "M *shape"], noise: Float[Tensor, "M *shape"]
    ) -> Int[Tensor, " M"]:
        # Metal has no float64. Mixed precision has no say in who belongs to whom.
        device = "cpu" if clean.device.type == "mps" else clean.device
        x, e = (one.flatten(1).to(device, torch.float64) for one in (clean, noise))
        # |x - e|^2 = |x|^2 + |e|^2 - 2 x.e, of which any pairing sums up the same first two.
        cost = (-2 * x @ e.T + (e * e).sum(dim=1) + (x * x).sum(dim=1, keepdim=True)).cpu().numpy()
        if not np.isfinite(cost).all():
            return torch.arange(len(clean))  # The loss will say so, and training knows what to do then.
        plan, log = self._ot.emd([], [], cost, numItermax=_MOST_PIVOTS, log=True)
        if log["warning"] is not None:
            raise ThalwegError(f"samples and noise could not be paired: {log['warning']}")
        # A corner of the doubly stochastic matrices: one entry in each row and column.
        return torch.from_numpy(plan).argmax(dim=1)
