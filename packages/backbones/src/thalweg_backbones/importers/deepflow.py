"""Checkpoints of DeepFlow: a DiT in branches with VeRA blocks between them."""

from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg_backbones.importers.tensors import Imported, Tensors, dit, place, readout

# Models that were trained with alignment bound the time gap's scale.
_ALIGNED_CLAMP = 5.0


@attrs.frozen
class DeepFlowImporterConfig:
    """Reads DeepFlow's checkpoints; the alignment projectors are left out."""

    def build(self, facts: Facts | None = None) -> "DeepFlowImporter":  # noqa: ARG002 - the tensors tell
        """Build it."""
        return DeepFlowImporter()


class DeepFlowImporter:
    """See :class:`DeepFlowImporterConfig`. Fulfils :class:`thalweg.protocols.Importer`."""

    def __call__(self, state_dict: Mapping[str, Tensor], heads: int | None) -> Imported:
        """Rename; branches and the acceleration MLP's widths follow from the tensors."""
        tensors = Tensors("DeepFlow", state_dict)
        backbone, facts, ours = dit(tensors, heads)
        boundaries = tensors.count("df_blocks")
        readout(tensors, "final_layer.0", ours, "intermediate_velocity")
        readout(tensors, "final_layer.1", ours, "velocity_readout")
        readout(tensors, "final_acc_layer", ours, "acceleration_readout")
        place(ours, "refiner.time_gap.mlp.layers.0", tensors.linear("dt_embedder.mlp.0"))
        place(ours, "refiner.time_gap.mlp.layers.1", tensors.linear("dt_embedder.mlp.2"))
        channels: list[int] = []
        for index in range(boundaries):
            channels = _vera_block(tensors, index, ours)
        refiner: dict[str, Any] = {"type": "vera", "channels": channels}
        if tensors.drop("projectors"):
            refiner["clamp_scale"] = _ALIGNED_CLAMP
        tensors.finish()
        composition = {"backbone": backbone, "refiner": refiner, "branches": boundaries + 1}
        return Imported(composition, facts, ours)


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
