"""The network as an objective may ask it again within a step."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.errors import DataError
from thalweg.network import FlowNetwork
from thalweg.types import Condition, Prediction

Precision = Callable[[], AbstractContextManager[object]]


class Again:
    """Asks a network in the precision that it was asked in first.

    Args:
        network: what is trained.
        precision: makes the context to ask in, as objectives themselves compute in float32.
    """

    def __init__(self, network: FlowNetwork, precision: Precision = nullcontext) -> None:
        self._network, self._precision = network, precision

    def __call__(
        self,
        x_t: Tensor,
        times: Tensor,
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        hidden: tuple[int, ...] = (),
    ) -> Prediction:
        """As :meth:`thalweg.network.FlowNetwork.forward`, with gradients."""
        with self._precision():
            prediction: Prediction = self._network(x_t, times, condition, last_only=last_only, hidden=hidden)
        return prediction

    @torch.no_grad()
    def frozen(
        self,
        x_t: Tensor,
        times: Tensor,
        condition: Condition | None = None,
        *,
        last_only: bool = False,
        hidden: tuple[int, ...] = (),
    ) -> Prediction:
        """The same without gradients."""
        return self(x_t, times, condition, last_only=last_only, hidden=hidden)

    @torch.no_grad()
    def jvp(
        self, x_t: Tensor, times: Tensor, condition: Condition | None, d_x: Tensor, d_times: Tensor
    ) -> Prediction:
        """The derivative of the answer along (d_x, d_times), without gradients.

        Forward-mode differentiation: one pass that costs about two. Fused attention has no such derivative,
        compiled code would lose it, and autocast mixes its types, so here attention is computed in full,
        nothing is compiled, and all is in the type of the weights, float32, in mixed precision too.

        Args:
            x_t: where.
            times: when, one a branch and sample.
            condition: held fixed.
            d_x: direction in x_t.
            d_times: direction in the times.

        Raises:
            DataError: if a direction has not the shape of what it is a direction in, or as of
                :meth:`thalweg.network.FlowNetwork.forward`.
        """
        for name, direction, of in (("d_x", d_x, x_t), ("d_times", d_times, times)):
            if direction.shape != of.shape:
                raise DataError(
                    f"{name} has shape {tuple(direction.shape)}; a direction has the shape of what it leads "
                    f"from, {tuple(of.shape)}"
                )
        with (
            torch.autocast(x_t.device.type, enabled=False),
            warnings.catch_warnings(),
            sdpa_kernel(SDPBackend.MATH),
            torch.compiler.set_stance("force_eager"),
        ):
            # Of torch's own code, when it prepares for the first time.
            warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated")
            return self._derived(x_t, times, condition, d_x.to(x_t), d_times.to(times))

    def _derived(
        self, x_t: Tensor, times: Tensor, condition: Condition | None, d_x: Tensor, d_times: Tensor
    ) -> Prediction:
        with forward_ad.dual_level():
            dual_x, dual_times = forward_ad.make_dual(x_t, d_x), forward_ad.make_dual(times, d_times)
            prediction: Prediction = self._network(dual_x, dual_times, condition)
            return Prediction(
                tuple(map(_tangent, prediction.velocities)),
                {name: tuple(map(_tangent, found)) for name, found in prediction.readouts.items()},
            )


def _tangent(dual: Tensor) -> Tensor:
    value, tangent = forward_ad.unpack_dual(dual)
    return torch.zeros_like(value) if tangent is None else tangent
