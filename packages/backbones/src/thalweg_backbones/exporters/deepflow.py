"""Checkpoints as DeepFlow's training script leaves them, without the alignment projectors."""

from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import arguments, dit, linear, owned, readout
from thalweg_backbones.importers.deepflow import CLAMP, READOUTS

_TARGET = "deepflow"


@attrs.frozen
class DeepFlowExporterConfig:
    """DeepFlow's layout: a DiT in branches of equal length with VeRA blocks between them."""

    def build(self, _: Facts | None = None) -> "DeepFlowExporter":
        """Build it."""
        return DeepFlowExporter()


class DeepFlowExporter:
    """See :class:`DeepFlowExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = (".pt", ".safetensors", ".dcp")

    def __call__(self, network: Any) -> Exported:
        """Rename.

        Raises:
            ConfigError: the network is no DiT in equal branches with the whole VeRA between them.
        """
        config = fitting.dit_config(network, _TARGET)
        odd = [*_unlike(network), *fitting.odd_settings(config), *fitting.unclassed(network)]
        fitting.refuse(_TARGET, [*odd, *fitting.not_square(network), *fitting.path(network)])
        ours = owned(network)
        tensors = dit(network, ours)
        for name, target in READOUTS.items():
            readout(tensors, name, ours, target)
        for layer, place in ((0, 0), (1, 2)):
            linear(tensors, f"dt_embedder.mlp.{place}", ours, f"refiner.time_gap.mlp.layers.{layer}")
        for index in range(network.branches - 1):
            _vera_block(tensors, index, ours, len(network.composition["refiner"]["channels"]) + 1)
        bounded = network.composition["refiner"].get("clamp_scale") == CLAMP
        stated = {
            **arguments(network, config, "DeepFlow"),
            "path_type": network.interpolant.name,
            "df_idxs": list(network.facts.ends[:-1]),
            "legacy_scaling": bounded,
        }
        return Exported(tensors, arguments=stated, left=fitting.left(network))


def _unlike(network: FlowNetwork) -> list[str]:
    """What of branches and refiner DeepFlow does not have."""
    if network.branches == 1:
        return ["a single branch"]
    found = fitting.second_time(network)
    equal = tuple(network.facts.depth * (one + 1) // network.branches for one in range(network.branches))
    if network.facts.ends != equal or network.facts.depth % network.branches:
        found.append(f"branches that end after {', '.join(map(str, network.facts.ends))} blocks")
    if network.intermediate_velocities is not None:
        found.append("intermediate_readouts = 'own'")
    stated: Any = network.composition["refiner"]
    if is_object(stated) or stated["type"] != "vera":
        return [*found, "a refiner made in Python" if is_object(stated) else f"refiner {stated['type']}"]
    for name, allowed in (("acceleration", (True,)), ("cross_attention", (True,)), ("residual", (False,))):
        if stated.get(name, allowed[0]) not in allowed:
            found.append(f"refiner.{name} = {stated[name]!r}")
    if stated.get("clamp_scale", "none") not in (None, "none", CLAMP):
        found.append(f"refiner.clamp_scale = {stated['clamp_scale']!r}")
    return found


def _vera_block(tensors: dict[str, Tensor], index: int, ours: dict[str, Tensor], layers: int) -> None:
    """One VeRA block; linear layers of its acceleration MLP stand at the even places."""
    target, name = f"df_blocks.{index}", f"refiner.blocks.{index}"
    for layer in range(layers):
        linear(tensors, f"{target}.acc_mlp.{2 * layer}", ours, f"{name}.acceleration.layers.{layer}")
    linear(tensors, f"{target}.acc_norm.adaLN_modulation.1", ours, f"{name}.modulation")
    linear(tensors, f"{target}.acc_norm.mlp.fc1", ours, f"{name}.mlp.layers.0")
    linear(tensors, f"{target}.acc_norm.mlp.fc2", ours, f"{name}.mlp.layers.1")
    attention = f"{target}.cross_attention"
    linear(tensors, f"{attention}.layer_norm", ours, f"{name}.attention.norm")
    linear(tensors, f"{attention}.multihead_attn.out_proj", ours, f"{name}.attention.out")
    for part in ("weight", "bias"):
        joined = torch.cat([ours[f"{name}.attention.q.{part}"], ours[f"{name}.attention.kv.{part}"]])
        tensors[f"{attention}.multihead_attn.in_proj_{part}"] = joined
