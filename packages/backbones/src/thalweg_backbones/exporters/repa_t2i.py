"""Checkpoints of REPA's text-to-image models as its training script leaves them, without projectors."""

from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.config import component
from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.objects import is_object
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import embeddings, hidden, linear, owned, readout
from thalweg_backbones.importers.repa_t2i import CLIP_TOKENS, LAYERS, NORMS, READ_ONLY, STREAMS, UNREAD
from thalweg_backbones.mmdit import MMDiTConfig

_TARGET = "repa-t2i"


@attrs.frozen
class REPATextExporterConfig:
    """REPA's text-to-image layout, an MMDiT that reads captions of 77 tokens; without projectors."""

    def build(self, _: Facts | None = None) -> "REPATextExporter":
        """Build it."""
        return REPATextExporter()


class REPATextExporter:
    """See :class:`REPATextExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = (".pt", ".safetensors", ".dcp")

    def __call__(self, network: Any) -> Exported:
        """Rename.

        Raises:
            ConfigError: the network is no MMDiT as REPA has it.
        """
        config = _config(network)
        odd = [*fitting.unbranched(network), *_unlike(network, config)]
        fitting.refuse(_TARGET, [*odd, *fitting.not_square(network), *fitting.path(network)])
        ours = owned(network)
        tensors = embeddings(network, ours)
        linear(tensors, "context_embedder", ours, "backbone.context")
        for index in range(config.depth):
            for stream in STREAMS:
                last = stream == "context" and index == config.depth - 1
                _stream(tensors, ours, (index, stream), normed=config.qk_norm, last=last)
        readout(tensors, "final_layer", ours, "velocity_readout")
        stated = {"num_heads": config.heads, "path_type": network.interpolant.name, "prediction": "v"}
        left = fitting.left(network)
        return Exported(tensors, arguments={**stated, **hidden(network)}, left=left)


def _config(network: FlowNetwork) -> MMDiTConfig:
    stated: Any = network.composition["backbone"]
    config = None if is_object(stated) else component("backbone", stated)
    if not isinstance(config, MMDiTConfig):
        fitting.refuse(_TARGET, [fitting.named(stated)])
        raise AssertionError
    return config


def _unlike(network: FlowNetwork, config: MMDiTConfig) -> list[str]:
    """What REPA's models are not or do not have."""
    usual = {
        "pooled": False,
        "pooled_width": None,
        "dual_attention": (),
        "mask_padding": False,
        "time_scale": 1.0,
    }
    found = [
        f"backbone.{name} = {getattr(config, name)!r}"
        for name, value in usual.items()
        if getattr(config, name) != value
    ]
    text = network.facts.text
    if text is None or text[0] != CLIP_TOKENS:
        found.append(f"captions of {text[0] if text else 0} tokens")
    return found if network.facts.classes is None else [*found, "data with classes"]


def _stream(
    tensors: dict[str, Tensor], ours: dict[str, Tensor], place: tuple[int, str], *, normed: bool, last: bool
) -> None:
    """One stream's half of a block."""
    index, stream = place
    name, target = f"backbone.blocks.{index}.{stream}", f"joint_blocks.{index}.{STREAMS[stream]}"
    for layer in READ_ONLY if last else LAYERS:
        linear(tensors, f"{target}.{LAYERS[layer]}", ours, f"{name}.{layer}")
    for norm, public in NORMS.items() if normed else ():
        if last and norm == UNREAD:
            tensors[f"{target}.{public}"] = torch.ones_like(ours[f"{name}.projections.k_norm.weight"])
        else:
            tensors[f"{target}.{public}"] = ours[f"{name}.{norm}"]
