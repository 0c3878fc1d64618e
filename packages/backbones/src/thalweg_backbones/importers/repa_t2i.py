"""Checkpoints of REPA's text-to-image models: MMDiT, our time direction already."""

from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg_backbones.importers import arguments as stated
from thalweg_backbones.importers.layout import (
    Tensors,
    channels_of,
    embeddings,
    place,
    readout,
)

_NAME = "REPA's text-to-image"

STREAMS = {"image": "x_block", "context": "context_block"}
"""Streams of a block, ours and the public ones."""

LAYERS = {
    "modulation": "adaLN_modulation.1",
    "projections.qkv": "attn.qkv",
    "out": "attn.proj",
    "mlp.layers.0": "mlp.fc1",
    "mlp.layers.1": "mlp.fc2",
}
"""Layers of a stream, ours and the public ones."""

READ_ONLY = ("modulation", "projections.qkv")
"""Those of the last context, which goes no further."""

NORMS = {"projections.q_norm.weight": "attn.ln_q.weight", "projections.k_norm.weight": "attn.ln_k.weight"}
"""Norms of queries and keys."""

UNREAD = "projections.q_norm.weight"
"""The norm of the last context that nobody reads, and ours does not have."""

CLIP_TOKENS = 77
"""Of a caption."""


@attrs.frozen
class REPATextImporterConfig:
    """Reads REPA's text-to-image checkpoints; the alignment projectors are left out."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_repa_text


def read_repa_text(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Rename; captions are of 77 tokens, as CLIP makes them.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    embedded = embeddings(tensors, resolver)
    ours, width = embedded.tensors, embedded.width
    depth = tensors.count("joint_blocks")
    place(ours, "backbone.context", tensors.linear("context_embedder"))
    normed = tensors.has("joint_blocks.0.x_block.attn.ln_q.weight")
    for index in range(depth):
        for stream, theirs in STREAMS.items():
            last = stream == "context" and index == depth - 1
            source, target = f"joint_blocks.{index}.{theirs}", f"backbone.blocks.{index}.{stream}"
            for layer in READ_ONLY if last else LAYERS:
                place(ours, f"{target}.{layer}", tensors.linear(f"{source}.{LAYERS[layer]}"))
            for norm, name in NORMS.items() if normed else ():
                weight = tensors.take(f"{source}.{name}")
                if not (last and norm == UNREAD):
                    ours[f"{target}.{norm}"] = weight
    channels_of(tensors, "final_layer", embedded.options["patch"], _NAME, (embedded.shape[0],))
    readout(tensors, "final_layer", ours, "velocity_readout")
    tensors.drop("projectors")
    tensors.finish()
    path = stated.path(resolver)
    # No other program has these blocks and this condition.
    stated.prediction(resolver, sure=True)
    backbone = {
        "type": "mmdit",
        "width": width,
        "depth": depth,
        "heads": stated.heads(resolver, width, depth),
        "qk_norm": normed,
        # They were trained to attend to CLIP's padding.
        "mask_padding": False,
        **embedded.options,
    }
    resolver.finish()
    facts = Facts(
        shape=embedded.shape,
        text=(CLIP_TOKENS, ours["backbone.context.weight"].shape[1]),
        condition_dropout=stated.hidden(resolver),
    )
    composition = {"backbone": backbone, "branches": 1, "interpolant": path}
    return Imported(composition, facts, ours, resolver.found)
