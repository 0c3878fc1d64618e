"""Transformers of Stable Diffusion 3 and 3.5 as diffusers saves them: rectified flows, our MMDiT."""

from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg.storage.redaction import excerpt
from thalweg_backbones.foreign.diffusers_folder import SETTINGS
from thalweg_backbones.importers.diffusers_dit import FLOW_TIME
from thalweg_backbones.importers.diffusers_layout import (
    Settings,
    feed_forward,
    heads,
    joined,
    patches,
    shift_first,
)
from thalweg_backbones.importers.layout import Tensors, place

_NAME = "diffusers' SD3"
_CLASSES = ("SD3Transformer2DModel",)
_IMAGE, _CONTEXT = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")
_ARCHITECTURE = "the architecture, a rectified flow"


@attrs.frozen
class DiffusersSD3ImporterConfig:
    """Reads folders of diffusers' SD3Transformer2DModel, with pooled embeddings and dual attention."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_diffusers_sd3


def read_diffusers_sd3(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Rename; a caption's pooled embedding becomes its last token.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    settings = Settings(_CLASSES, options)
    ours: dict[str, Tensor] = {}
    width, channels, patch = patches(tensors, ours)
    table = tensors.take("pos_embed.pos_embed")
    for layer in (0, 1):
        name = f"linear_{layer + 1}"
        time = tensors.linear(f"time_text_embed.timestep_embedder.{name}")
        place(ours, f"backbone.time.mlp.layers.{layer}", time)
        pooled = tensors.linear(f"time_text_embed.text_embedder.{name}")
        place(ours, f"backbone.pooled.layers.{layer}", pooled)
    place(ours, "backbone.context", tensors.linear("context_embedder"))
    depth = tensors.count("transformer_blocks")
    settings.check_given()
    normed = settings.other("qk_norm", None)
    if normed not in (None, "rms_norm"):
        raise DataError(
            f"{SETTINGS} states qk_norm = {excerpt(repr(normed), 60)}, for which backbone mmdit has no "
            "counterpart; only networks with 'rms_norm' or none can be imported"
        )
    dual = _dual(settings.other("dual_attention_layers", ()), depth)
    for index in range(depth):
        last = index == depth - 1
        _block(tensors, index, ours, normed=bool(normed), last=last, dual=index in dual)
    place(ours, "velocity_readout.modulation", shift_first(tensors.linear("norm_out.linear")))
    place(ours, "velocity_readout.projection", tensors.linear("proj_out"))
    tensors.finish()
    context = ours["backbone.context.weight"].shape[1]
    pooled_width = ours["backbone.pooled.layers.0.weight"].shape[1]
    side = _sizes(settings, (width, channels, patch, depth), context, pooled_width)
    ours["backbone.patches.positions"] = _cropped(settings, table, side // patch, width)
    backbone = {
        "type": "mmdit",
        "width": width,
        "depth": depth,
        "heads": heads(settings, resolver, width, (18, 64)),
        "patch": patch,
        "qk_norm": bool(normed),
        "pooled_width": pooled_width,
        "dual_attention": dual,
        "mask_padding": False,
        "stored_positions": True,
        "time_scale": FLOW_TIME,
    }
    settings.finish()
    for name, value in (("path", "linear"), ("prediction", "velocity")):
        resolver.resolve(name, argument=(value, _ARCHITECTURE))
    ask = "333 where T5 gives 256 beside CLIP's 77"
    tokens = resolver.resolve("tokens", ask=ask) or 1
    resolver.finish()
    # One more, which holds the pooled embedding.
    facts = Facts(shape=(channels, side, side), text=(tokens + 1, context))
    composition = {"backbone": backbone, "branches": 1, "interpolant": "linear"}
    return Imported(composition, facts, ours, resolver.found)


def _block(
    tensors: Tensors, index: int, ours: dict[str, Tensor], *, normed: bool, last: bool, dual: bool
) -> None:
    theirs, target = f"transformer_blocks.{index}", f"backbone.blocks.{index}"
    image, context = f"{target}.image", f"{target}.context"
    place(ours, f"{image}.modulation", tensors.linear(f"{theirs}.norm1.linear"))
    place(ours, f"{image}.projections.qkv", joined(tensors, f"{theirs}.attn", _IMAGE))
    place(ours, f"{image}.out", tensors.linear(f"{theirs}.attn.to_out.0"))
    feed_forward(tensors, f"{theirs}.ff", ours, f"{image}.mlp")
    modulation = tensors.linear(f"{theirs}.norm1_context.linear")
    # The last one gives scale before shift, and nothing else.
    place(ours, f"{context}.modulation", shift_first(modulation) if last else modulation)
    place(ours, f"{context}.projections.qkv", joined(tensors, f"{theirs}.attn", _CONTEXT))
    if not last:
        place(ours, f"{context}.out", tensors.linear(f"{theirs}.attn.to_add_out"))
        feed_forward(tensors, f"{theirs}.ff_context", ours, f"{context}.mlp")
    if dual:
        place(ours, f"{image}.dual.qkv", joined(tensors, f"{theirs}.attn2", _IMAGE))
        place(ours, f"{image}.dual.out", tensors.linear(f"{theirs}.attn2.to_out.0"))
    if not normed:
        return
    for part in ("q", "k"):
        weight = tensors.take(f"{theirs}.attn.norm_{part}.weight")
        ours[f"{image}.projections.{part}_norm.weight"] = weight
        added = tensors.take(f"{theirs}.attn.norm_added_{part}.weight")
        if added.shape != weight.shape:
            raise DataError(f"'{theirs}.attn.norm_added_{part}.weight' has the shape {tuple(added.shape)}")
        # Nobody reads what the last context's queries find.
        if not (last and part == "q"):
            ours[f"{context}.projections.{part}_norm.weight"] = added
        if dual:
            ours[f"{image}.dual.{part}_norm.weight"] = tensors.take(f"{theirs}.attn2.norm_{part}.weight")


def _dual(stated: object, depth: int) -> tuple[int, ...]:
    """Blocks with an attention of the image to itself.

    Raises:
        DataError: if they are none.
    """
    blocks = tuple(stated) if isinstance(stated, list | tuple) else (stated,)
    if not all(type(one) is int and 0 <= one < depth for one in blocks):
        raise DataError(
            f"{SETTINGS} states dual_attention_layers = {excerpt(repr(stated), 60)}, and the tensors are of "
            f"{depth} blocks; check the folder"
        )
    return blocks


def _sizes(settings: Settings, sizes: tuple[int, int, int, int], context: int, pooled: int) -> int:
    """Side of the latents.

    Raises:
        DataError: if the settings are of other tensors.
    """
    width, channels, patch, depth = sizes
    outputs = settings.other("out_channels", None) or channels
    if outputs != channels:
        raise DataError(
            f"{SETTINGS} states out_channels = {excerpt(repr(outputs), 60)} and in_channels = {channels}, "
            "and a velocity has as many as what it moves; only such networks can be imported"
        )
    stated = {
        "in_channels": (channels, 16),
        "patch_size": (patch, 2),
        "num_layers": (depth, 18),
        "caption_projection_dim": (width, 1152),
        "joint_attention_dim": (context, 4096),
        "pooled_projection_dim": (pooled, 2048),
    }
    for name, (found, usual) in stated.items():
        if settings.count(name, usual) != found:
            raise DataError(
                f"the tensors have {found} where {SETTINGS} states another {name}; check the folder"
            )
    if pooled > context:
        raise DataError(
            f"pooled_projection_dim is {pooled}, more than the {context} numbers of a token, so that no "
            "token of backbone mmdit can hold the pooled embedding; such a network cannot be imported"
        )
    side = settings.count("sample_size", 128)
    if side % patch:
        raise DataError(f"{SETTINGS} states sample_size = {side}, which patches of {patch} do not divide")
    return side


def _cropped(settings: Settings, table: Tensor, rows: int, width: int) -> Tensor:
    """The middle of the table of positions, which is what images of this size see.

    Raises:
        DataError: if the table is of another shape, or too small.
    """
    most = settings.count("pos_embed_max_size", 96)
    if table.shape != (1, most**2, width) or rows > most:
        raise DataError(
            f"'pos_embed.pos_embed' has the shape {tuple(table.shape)}, and {SETTINGS} states "
            f"pos_embed_max_size = {most} for images of {rows} patches a side; check the folder"
        )
    first = (most - rows) // 2
    middle: Tensor = table.unflatten(1, (most, most))[:, first : first + rows, first : first + rows]
    return middle.flatten(1, 2).contiguous()
