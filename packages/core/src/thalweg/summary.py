"""What a network costs, worked out on fake tensors: parameters, operations, memory.

Nothing is allocated, so the largest model is summed up on the smallest machine.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.composition import without_memory
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.flop_counting import FlopCounter
from thalweg.network import FlowNetwork
from thalweg.types import Condition, Text

FLOAT_BYTES = 4


def bytes_per_parameter(state_per_weight: float = 2.0, averages: int = 1) -> int:
    """Training state in float32: weight, gradient, the optimiser's (AdamW: two moments), averages."""
    return round(FLOAT_BYTES * (2 + state_per_weight + averages))


@attrs.frozen
class Summary:
    """The costs of a network.

    Attributes:
        parameters: trainable parameters.
        fixed: numbers of fixed tables, such as positions, which some papers count in.
        parts: trainable parameters by part of the network.
        gflop_forward: 10^9 floating-point operations of one sample's forward pass with all read-outs, a
            multiply-add counted as two, attention included. (The paper's GFLOPS are multiply-adds.)
        tokens: tokens per sample.
        batch_size: what the memory is estimated for.
        state_bytes: weights, gradients, optimiser state and EMA weights in float32.
        activation_bytes: what the forward pass keeps for the backward pass, uncompiled.
        precision: of the activations.
    """

    parameters: int
    fixed: int
    parts: dict[str, int]
    gflop_forward: float
    tokens: int
    batch_size: int
    state_bytes: int
    activation_bytes: int
    precision: str

    @property
    def training_bytes(self) -> int:
        """Memory of a training step."""
        return self.state_bytes + self.activation_bytes


def summarise(
    network: Mapping[str, Any] | FlowNetwork,
    facts: Facts | None = None,
    batch_size: int = 1,
    precision: str = "bf16-mixed",
    *,
    state_per_weight: float = 2.0,
    averages: int = 1,
) -> Summary:
    """Sum up a network without building it, or one that is built without computing with it.

    Args:
        network: the arguments of :func:`thalweg.compose` but the facts, or a network, which is left as it is.
        facts: shape and classes of the data; a network has its own.
        batch_size: samples of a step on one device.
        precision: ``bf16-mixed`` or ``32-true``.
        state_per_weight: numbers that the optimiser keeps for each weight.
        averages: how many averages of the weights are kept.

    Raises:
        ConfigError: if there are neither facts nor a network that has them.
    """
    made = _made(network, facts)
    parameters = sum(parameter.numel() for parameter in made.parameters())
    return Summary(
        parameters=parameters,
        fixed=sum(buffer.numel() for buffer in made.buffers()),
        parts=_parts(made),
        gflop_forward=forward_flop(made) / 1e9,
        tokens=math.prod(made.facts.grid),
        batch_size=batch_size,
        state_bytes=bytes_per_parameter(state_per_weight, averages) * parameters,
        activation_bytes=_activation_bytes(network, facts, batch_size, precision),
        precision=precision,
    )


def _made(network: Mapping[str, Any] | FlowNetwork, facts: Facts | None) -> FlowNetwork:
    if isinstance(network, FlowNetwork):
        return network
    if facts is None:
        raise ConfigError("facts are missing; a composition is summed up for thalweg.Facts(shape=...)")
    return without_memory(network, facts)


def _parts(network: FlowNetwork) -> dict[str, int]:
    parts: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        # The backbone's parts are worth a line each, the others stand as wholes.
        depth = 2 if name.startswith("backbone.") else 1
        part = ".".join(name.split(".")[:depth])
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def forward_flop(network: FlowNetwork) -> int:
    """Floating-point operations of one sample's forward pass with all read-outs; nothing is computed."""
    inputs = _inputs(network, 1, "meta")
    # Fused attention kernels count as nothing; written as matrix products it counts 4 T^2 D a layer.
    with torch.no_grad(), FlopCounter() as counter, sdpa_kernel(SDPBackend.MATH):
        functional_call(network, _stand_ins(network, "meta"), inputs)
    return int(counter.total)


def _activation_bytes(
    composed: Mapping[str, Any] | FlowNetwork, facts: Facts | None, batch_size: int, precision: str
) -> int:
    network = _made(composed, facts)
    # Fake tensors stand on the CPU, where autocast sees them; those of the meta device it passes over.
    with FakeTensorMode():
        tensors = _stand_ins(network, "cpu")
        persistent = {_storage(tensor) for tensor in tensors.values()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            if _storage(tensor) not in persistent:
                kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
            return tensor

        mixed = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), mixed:
            prediction = functional_call(network, tensors, _inputs(network, batch_size, "cpu"))
        # The graph holds the tensors alive until here, so that no storage is counted under another's place.
        del prediction
    return sum(kept.values())


def _stand_ins(network: FlowNetwork, device: str) -> dict[str, Tensor]:
    """Tensors without memory in place of the network's own."""
    own = itertools.chain(network.named_parameters(), network.named_buffers())
    return {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device, requires_grad=tensor.requires_grad)
        for name, tensor in own
    }


def _inputs(network: FlowNetwork, count: int, device: str) -> tuple[Tensor, Tensor, Condition]:
    # The null class costs what any other does, and fake labels could not be checked.
    x_t = torch.zeros(count, *network.facts.shape, device=device)
    times = torch.zeros(network.branches, count, device=device)
    return x_t, times, Condition(text=_captions(network.facts, count, device))


def _captions(facts: Facts, count: int, device: str) -> Text | None:
    """Captions of full length, as a training step pays for padding too."""
    if facts.text is None:
        return None
    tokens_NLE = torch.zeros(count, *facts.text, device=device)
    mask_NL = torch.ones(tokens_NLE.shape[:2], dtype=torch.bool, device=device)
    return Text(tokens_NLE, mask_NL, tokens_NLE[0], mask_NL[0])


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
