"""The public DiT layout, which SiT, REPA and DeepFlow share, written from a network of ours."""

from typing import Any

from torch import Tensor

from thalweg.network import FlowNetwork
from thalweg_backbones.dit import DiTConfig
from thalweg_backbones.importers.layout import BLOCK
from thalweg_backbones.sizes import SIZES


def linear(tensors: dict[str, Tensor], target: str, ours: dict[str, Tensor], name: str) -> None:
    """Weight and bias of a layer under its public name."""
    for part in ("weight", "bias"):
        tensors[f"{target}.{part}"] = ours[f"{name}.{part}"]


def owned(network: FlowNetwork) -> dict[str, Tensor]:
    """The network's tensors on the CPU, none of which shares memory with it."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}


def embeddings(network: FlowNetwork, ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Patches, positions as the network adds them, and times.

    Args:
        network: of backbone dit or mmdit.
        ours: its tensors.
    """
    backbone: Any = network.backbone
    channels, patch = network.facts.shape[0], backbone.patches.patch
    projection = ours["backbone.patches.projection.weight"]
    tensors = {
        "pos_embed": backbone.patches.positions.detach().to("cpu", copy=True),
        "x_embedder.proj.weight": projection.unflatten(1, (channels, patch, patch)),
        "x_embedder.proj.bias": ours["backbone.patches.projection.bias"],
    }
    linear(tensors, "t_embedder.mlp.0", ours, "backbone.time.mlp.layers.0")
    linear(tensors, "t_embedder.mlp.2", ours, "backbone.time.mlp.layers.1")
    return tensors


def dit(network: FlowNetwork, ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Embeddings and blocks of a DiT; arguments as of :func:`embeddings`."""
    tensors = embeddings(network, ours)
    tensors["y_embedder.embedding_table.weight"] = ours["backbone.classes.weight"]
    for index in range(network.facts.depth):
        for name, public in BLOCK.items():
            linear(tensors, f"blocks.{index}.{public}", ours, f"backbone.blocks.{index}.{name}")
    return tensors


def readout(tensors: dict[str, Tensor], target: str, ours: dict[str, Tensor], name: str) -> None:
    """A velocity or acceleration layer."""
    linear(tensors, f"{target}.adaLN_modulation.1", ours, f"{name}.modulation")
    linear(tensors, f"{target}.linear", ours, f"{name}.projection")


def arguments(network: FlowNetwork, config: DiTConfig, program: str) -> dict[str, Any]:
    """What the training scripts keep of a DiT beside its tensors.

    Args:
        network: the network.
        config: of its backbone.
        program: whose models' names are used, such as SiT.
    """
    size = config.dimensions
    named = next((name for name, one in SIZES.items() if one == size), None)
    found: dict[str, Any] = {"num_heads": size.heads, "num_classes": network.facts.classes, **hidden(network)}
    return found if named is None else {**found, "model": f"{program}-{named}/{config.patch}"}


def hidden(network: FlowNetwork) -> dict[str, Any]:
    """That conditions were never hidden in training, where they were not; hiding some is the rule."""
    return {} if network.facts.condition_dropout else {"cfg_prob": 0.0}
