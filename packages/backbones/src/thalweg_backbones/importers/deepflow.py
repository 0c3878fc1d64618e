"""Checkpoints of DeepFlow: a DiT in branches with VeRA blocks between them."""

from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg_backbones.importers import arguments as stated
from thalweg_backbones.importers.layout import Tensors, channels_of, dit, place, readout

_NAME = "DeepFlow"

READOUTS = {
    "final_layer.0": "intermediate_velocity",
    "final_layer.1": "velocity_readout",
    "final_acc_layer": "acceleration_readout",
}
"""Read-outs, the public ones and ours."""

CLAMP = 5.0
"""The bound of the time gap's scale, where there is one."""


@attrs.frozen
class DeepFlowImporterConfig:
    """Reads DeepFlow's checkpoints; the alignment projectors are left out."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_deepflow


def read_deepflow(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Rename; the number of branches and the acceleration MLP's widths follow from the tensors.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    backbone, facts, ours = dit(tensors, resolver)
    boundaries = tensors.count("df_blocks")
    for name in READOUTS:
        channels_of(tensors, name, backbone["patch"], _NAME, (facts.shape[0],))
    for name, target in READOUTS.items():
        readout(tensors, name, ours, target)
    place(ours, "refiner.time_gap.mlp.layers.0", tensors.linear("dt_embedder.mlp.0"))
    place(ours, "refiner.time_gap.mlp.layers.1", tensors.linear("dt_embedder.mlp.2"))
    channels: list[int] = []
    for index in range(boundaries):
        channels = _vera_block(tensors, index, ours)
    aligned = tensors.drop("projectors")
    tensors.finish()
    refiner: dict[str, Any] = {"type": "vera", "channels": channels}
    stated.equal_branches(resolver, backbone["depth"], boundaries)
    if stated.clamp(resolver, aligned=aligned):
        refiner["clamp_scale"] = CLAMP
    path = stated.path(resolver)
    stated.prediction(resolver, sure=True)
    resolver.finish()
    composition = {
        "backbone": backbone,
        "refiner": refiner,
        "branches": boundaries + 1,
        "interpolant": path,
    }
    return Imported(composition, facts, ours, resolver.found)


def _vera_block(tensors: Tensors, index: int, ours: dict[str, Tensor]) -> list[int]:
    """Place one VeRA block; the hidden widths of its acceleration MLP."""
    theirs, target = f"df_blocks.{index}", f"refiner.blocks.{index}"
    widths = []
    # Linear layers stand at the even places, activations between them.
    layers = tensors.count(f"{theirs}.acc_mlp")
    for layer in range(layers):
        parts = tensors.linear(f"{theirs}.acc_mlp.{2 * layer}")
        place(ours, f"{target}.acceleration.layers.{layer}", parts)
        widths.append(parts["bias"].shape[0])
    place(ours, f"{target}.modulation", tensors.linear(f"{theirs}.acc_norm.adaLN_modulation.1"))
    place(ours, f"{target}.mlp.layers.0", tensors.linear(f"{theirs}.acc_norm.mlp.fc1"))
    place(ours, f"{target}.mlp.layers.1", tensors.linear(f"{theirs}.acc_norm.mlp.fc2"))
    attention = f"{theirs}.cross_attention"
    place(ours, f"{target}.attention.norm", tensors.linear(f"{attention}.layer_norm"))
    for part in ("weight", "bias"):
        # Queries, keys and values stand in one matrix; ours reads queries from other tokens.
        joined = tensors.take(f"{attention}.multihead_attn.in_proj_{part}")
        width = joined.shape[0] // 3
        ours[f"{target}.attention.q.{part}"], ours[f"{target}.attention.kv.{part}"] = joined.split(
            [width, 2 * width]
        )
    place(ours, f"{target}.attention.out", tensors.linear(f"{attention}.multihead_attn.out_proj"))
    return widths[:-1]
