"""Checkpoints of REPA's text-to-image models: MMDiT, our time direction already."""

from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg_backbones.importers.tensors import Imported, Tensors, embeddings, place, readout
from thalweg_backbones.mmdit import MMDiTConfig

_STREAMS = {"image": "x_block", "context": "context_block"}
_LAYERS = {
    "modulation": "adaLN_modulation.1",
    "projections.qkv": "attn.qkv",
    "out": "attn.proj",
    "mlp.layers.0": "mlp.fc1",
    "mlp.layers.1": "mlp.fc2",
}
_READ_ONLY = ("modulation", "projections.qkv")
_NORMS = {"projections.q_norm.weight": "attn.ln_q.weight", "projections.k_norm.weight": "attn.ln_k.weight"}
_UNREAD = "projections.q_norm.weight"
_CLIP_TOKENS = 77


@attrs.frozen
class REPATextImporterConfig:
    """Reads REPA's text-to-image checkpoints; the alignment projectors are left out."""

    def build(self, facts: Facts | None = None) -> "REPATextImporter":  # noqa: ARG002 - the tensors tell
        """Build it."""
        return REPATextImporter()


class REPATextImporter:
    """See :class:`REPATextImporterConfig`. Fulfils :class:`thalweg.protocols.Importer`."""

    def __call__(self, state_dict: Mapping[str, Tensor], heads: int | None) -> Imported:
        """Rename; captions are of 77 tokens, as CLIP makes them.

        Raises:
            ConfigError: if the heads cannot be told from the width.
        """
        tensors = Tensors("REPA's text-to-image", state_dict)
        shape, patch, ours = embeddings(tensors)
        width = ours["backbone.patches.projection.bias"].shape[0]
        depth = tensors.count("joint_blocks")
        place(ours, "backbone.context", tensors.linear("context_embedder"))
        normed = tensors.has("joint_blocks.0.x_block.attn.ln_q.weight")
        for index in range(depth):
            for stream, theirs in _STREAMS.items():
                last = stream == "context" and index == depth - 1
                source, target = f"joint_blocks.{index}.{theirs}", f"backbone.blocks.{index}.{stream}"
                for layer in _READ_ONLY if last else _LAYERS:
                    place(ours, f"{target}.{layer}", tensors.linear(f"{source}.{_LAYERS[layer]}"))
                for norm, name in _NORMS.items() if normed else ():
                    weight = tensors.take(f"{source}.{name}")
                    if not (last and norm == _UNREAD):
                        ours[f"{target}.{norm}"] = weight
        readout(tensors, "final_layer", ours, "velocity_readout")
        tensors.drop("projectors")
        tensors.finish()
        released = MMDiTConfig()
        if heads is None and width != released.width:
            raise ConfigError(
                f"the number of heads cannot be told from the tensors and width {width} is not the released "
                f"models' {released.width}; pass heads=..."
            )
        backbone = {
            "type": "mmdit",
            "width": width,
            "depth": depth,
            "heads": released.heads if heads is None else heads,
            "patch": patch,
            "qk_norm": normed,
            # They were trained to attend to CLIP's padding.
            "mask_padding": False,
        }
        text = (_CLIP_TOKENS, ours["backbone.context.weight"].shape[1])
        return Imported({"backbone": backbone, "branches": 1}, Facts(shape=shape, text=text), ours)
