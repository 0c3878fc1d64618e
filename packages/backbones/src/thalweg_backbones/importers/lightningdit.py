"""Checkpoints of LightningDiT: time runs the other way and the velocity points from noise to data."""

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg_backbones.importers import arguments as stated
from thalweg_backbones.importers.layout import Tensors, channels_of, embeddings, flip_time, place
from thalweg_backbones.lightning_block import swiglu_width
from thalweg_backbones.rotary import angles

_NAME = "LightningDiT"
_BLOCK = {"attention.qkv": "attn.qkv", "attention.out": "attn.proj"} | {
    "mlp.gate_and_value": "mlp.w12",
    "mlp.out": "mlp.w3",
}
_WEIGHTS = {"attention_norm": "norm1", "mlp_norm": "norm2"}
_QK_NORMS = {"attention.q_norm": "attn.q_norm", "attention.k_norm": "attn.k_norm"}
# Cosines and sines are in [-1, 1], and half precision keeps three digits of them.
_ROUNDED = 5e-3


@attrs.frozen
class LightningDiTImporterConfig:
    """Reads LightningDiT's checkpoints with rotary positions, RMSNorm and SwiGLU, as they are released."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_lightningdit


def read_lightningdit(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Our velocity is v(x, t) = -v_LightningDiT(x, 1 - t); both changes are absorbed by two layers.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    embedded = embeddings(tensors, resolver)
    ours, width, patch = embedded.tensors, embedded.width, embedded.options["patch"]
    first = "backbone.time.mlp.layers.0.weight"
    ours[first] = flip_time(ours[first])
    table = tensors.take("y_embedder.embedding_table.weight")
    ours["backbone.classes.weight"] = table
    depth = tensors.count("blocks")
    normed = any(tensors.has(f"blocks.0.{name}.weight") for name in _QK_NORMS.values())
    turning = _head_width(tensors)
    shown = width // turning if turning and width % turning == 0 else None
    heads = stated.heads(resolver, width, depth, shown)
    for index in range(depth):
        _block(tensors, index, ours, width, normed, resolver)
    if turning is not None:
        _check_angles(tensors, embedded.shape[1] // patch, width // heads)
    channels_of(tensors, "final_layer", patch, _NAME, (embedded.shape[0],))
    ours["velocity_readout.norm.weight"] = _norm(tensors, "final_layer.norm_final")
    place(ours, "velocity_readout.modulation", tensors.linear("final_layer.adaLN_modulation.1"))
    projection = tensors.linear("final_layer.linear")
    place(ours, "velocity_readout.projection", {part: -tensor for part, tensor in projection.items()})
    tensors.finish()
    path = stated.path(resolver)
    stated.prediction(resolver, sure=False)
    facts = Facts(
        shape=embedded.shape,
        classes=stated.classes(resolver, table.shape[0]),
        condition_dropout=stated.hidden(resolver),
    )
    resolver.finish()
    backbone: dict[str, Any] = {
        "type": "lightningdit",
        "width": width,
        "depth": depth,
        "heads": heads,
        "qk_norm": normed,
        **embedded.options,
    }
    composition = {"backbone": backbone, "branches": 1, "interpolant": path}
    return Imported(composition, facts, ours, resolver.found)


def _block(
    tensors: Tensors, index: int, ours: dict[str, Tensor], width: int, normed: bool, resolver: OptionResolver
) -> None:
    theirs, target = f"blocks.{index}", f"backbone.blocks.{index}"
    if tensors.has(f"{theirs}.mlp.fc1.weight"):
        raise DataError(
            "the checkpoint's blocks have an MLP (mlp.fc1) in place of a SwiGLU; only LightningDiT with "
            "RoPE, RMSNorm and SwiGLU can be imported"
        )
    hidden = tensors.seen(f"{theirs}.mlp.w3.weight").shape[1]
    if hidden != swiglu_width(width):
        raise DataError(
            f"the checkpoint's SwiGLU is {hidden} wide, and {swiglu_width(width)}, 2/3 of 4 times the width "
            f"of {width}, is needed; only such networks can be imported"
        )
    for layer, name in _BLOCK.items():
        place(ours, f"{target}.{layer}", tensors.linear(f"{theirs}.{name}"))
    for norm, name in (_WEIGHTS | _QK_NORMS if normed else _WEIGHTS).items():
        ours[f"{target}.{norm}.weight"] = _norm(tensors, f"{theirs}.{name}")
    modulation = tensors.linear(f"{theirs}.adaLN_modulation.1")
    if modulation["bias"].shape[0] == 4 * width:
        # Without shifts: scale and gate of the attention, then of the MLP.
        modulation = {part: _with_shifts(tensor, width) for part, tensor in modulation.items()}
        resolver.note("shifts", "zero", "the tensors, which have none")
    place(ours, f"{target}.modulation", modulation)


def _norm(tensors: Tensors, name: str) -> Tensor:
    if tensors.has(f"{name}.bias"):
        raise DataError(
            f"'{name}' of the checkpoint is a LayerNorm; only LightningDiT's networks with RMSNorm can be "
            "imported"
        )
    return tensors.take(f"{name}.weight")


def _with_shifts(modulation: Tensor, width: int) -> Tensor:
    scale, gate, mlp_scale, mlp_gate = modulation.split(width)
    nothing = torch.zeros_like(scale)
    return torch.cat([nothing, scale, gate, nothing, mlp_scale, mlp_gate])


def _head_width(tensors: Tensors) -> int | None:
    """The width of a head, which the table of rotary positions has for each place; None without a table."""
    tables = [f"feat_rope.freqs_{wave}" for wave in ("cos", "sin")]
    if not any(map(tensors.has, tables)):
        return None
    return tensors.seen(tables[0]).shape[1]


def _check_angles(tensors: Tensors, side: int, width: int) -> None:
    """Make sure that positions turn as ours do: each angle stands twice, for both numbers of a pair.

    Raises:
        DataError: if they do not.
    """
    expected = angles((side, side), width).repeat_interleave(2, dim=1)
    for name, wave in (("freqs_cos", expected.cos()), ("freqs_sin", expected.sin())):
        found = tensors.take(f"feat_rope.{name}").double()
        if found.shape != wave.shape or float((found - wave).abs().max()) > _ROUNDED:
            raise DataError(
                f"the checkpoint's feat_rope.{name} is not that of 2-D rotary positions on a grid of "
                f"{side} x {side} for heads of {width}; check the number of heads, and the file"
            )
