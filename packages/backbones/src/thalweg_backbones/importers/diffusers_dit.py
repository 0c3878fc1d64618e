"""DiTs as diffusers saves them: they predict the noise of a DDPM, or are flows that were saved so."""

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg.storage.redaction import excerpt
from thalweg_backbones.foreign.diffusers_folder import SETTINGS
from thalweg_backbones.importers.diffusers_layout import (
    Settings,
    feed_forward,
    heads,
    joined,
    patches,
)
from thalweg_backbones.importers.layout import Tensors, place
from thalweg_backbones.importers.noise import noise_schedule

_NAME = "diffusers' DiT"
_CLASSES = ("DiTTransformer2DModel", "Transformer2DModel")
_EMBEDDER = "norm1.emb"
_FLOW = "FlowMatchEulerDiscreteScheduler"
FLOW_TIME = 1000.0
"""The time at which diffusers asks a flow for noise; for data it is 0."""


@attrs.frozen
class DiffusersDiTImporterConfig:
    """Reads folders of diffusers' DiTTransformer2DModel; what predicts noise becomes a flow at each call."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_diffusers_dit


def read_diffusers_dit(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Rename; learned variances are dropped, and of the embeddings, which each block has, one is kept.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    settings = Settings(_CLASSES, options)
    ours: dict[str, Tensor] = {}
    width, channels, patch = patches(tensors, ours)
    depth = tensors.count("transformer_blocks")
    classes = _embeddings(tensors, depth, ours)
    for index in range(depth):
        _block(tensors, index, ours)
    place(ours, "velocity_readout.modulation", tensors.linear("proj_out_1"))
    settings.check_given()
    variances = _readout(tensors, settings, channels, patch, ours)
    tensors.finish()
    side = _sizes(settings, patch, channels, depth)
    stated = settings.count("num_embeds_ada_norm", 1000)
    if stated + 1 != classes:
        raise DataError(
            f"{SETTINGS} states {stated} classes, and the table has {classes} rows; one more than classes is "
            "needed, the last for the null class"
        )
    resolver.resolve("classes", argument=(stated, f"'num_embeds_ada_norm' of {SETTINGS}"))
    backbone: dict[str, Any] = {
        "type": "dit",
        "width": width,
        "depth": depth,
        "heads": heads(settings, resolver, width, (16, 72)),
        "patch": patch,
        "closed_frequencies": True,
        "mlp_norm_eps": settings.number("norm_eps", 1e-5),
    }
    if variances:
        resolver.note("variances", "left out", "the tensors, with two outputs a channel")
    path = _predicted(settings, resolver, backbone)
    _expected(settings)
    settings.finish()
    resolver.finish()
    facts = Facts(shape=(channels, side, side), classes=stated)
    composition = {"backbone": backbone, "branches": 1, "interpolant": path}
    return Imported(composition, facts, ours, resolver.found)


def _embeddings(tensors: Tensors, depth: int, ours: dict[str, Tensor]) -> int:
    """Times and classes, which every block has for itself; rows of the table.

    Raises:
        DataError: if they differ between blocks.
    """
    names = {
        "backbone.time.mlp.layers.0.weight": "timestep_embedder.linear_1.weight",
        "backbone.time.mlp.layers.0.bias": "timestep_embedder.linear_1.bias",
        "backbone.time.mlp.layers.1.weight": "timestep_embedder.linear_2.weight",
        "backbone.time.mlp.layers.1.bias": "timestep_embedder.linear_2.bias",
        "backbone.classes.weight": "class_embedder.embedding_table.weight",
    }
    for target, name in names.items():
        first = tensors.take(f"transformer_blocks.0.{_EMBEDDER}.{name}")
        for index in range(1, depth):
            full = f"transformer_blocks.{index}.{_EMBEDDER}.{name}"
            if not torch.equal(tensors.take(full), first):
                raise DataError(
                    f"'{full}' differs from that of block 0, and backbone dit embeds times and classes once "
                    "for all blocks; only networks whose blocks share them, as released ones do, can be "
                    "imported"
                )
        ours[target] = first
    return len(ours["backbone.classes.weight"]) if ours["backbone.classes.weight"].dim() else 0


def _block(tensors: Tensors, index: int, ours: dict[str, Tensor]) -> None:
    theirs, target = f"transformer_blocks.{index}", f"backbone.blocks.{index}"
    place(ours, f"{target}.modulation", tensors.linear(f"{theirs}.norm1.linear"))
    place(ours, f"{target}.attention.qkv", joined(tensors, f"{theirs}.attn1", ("to_q", "to_k", "to_v")))
    place(ours, f"{target}.attention.out", tensors.linear(f"{theirs}.attn1.to_out.0"))
    feed_forward(tensors, f"{theirs}.ff", ours, f"{target}.mlp")


def _readout(
    tensors: Tensors, settings: Settings, channels: int, patch: int, ours: dict[str, Tensor]
) -> bool:
    """The projection to pixels; whether there were variances, which are dropped.

    Raises:
        DataError: if it has other channels.
    """
    outputs = settings.other("out_channels", None) or channels
    parts = tensors.linear("proj_out_2")
    rows = len(parts["weight"]) if parts["weight"].dim() == 2 else 0
    wanted = (outputs * patch**2,)
    if outputs not in (channels, 2 * channels) or (rows,) != wanted or parts["bias"].shape != wanted:
        raise DataError(
            f"'proj_out_2' has {rows} rows and {SETTINGS} states out_channels = "
            f"{excerpt(repr(outputs), 20)}; {channels} or, with learned variances, {2 * channels} are needed "
            f"for each of {patch**2} pixels"
        )
    # Outputs are ordered (row, column, channel); variances are the last channels.
    kept = {
        part: one.unflatten(0, (patch**2, outputs))[:, :channels].flatten(0, 1) for part, one in parts.items()
    }
    place(ours, "velocity_readout.projection", kept)
    return outputs != channels


def _sizes(settings: Settings, patch: int, channels: int, depth: int) -> int:
    """Side of the latents.

    Raises:
        DataError: if the settings are of other tensors.
    """
    for name, found, usual in (
        ("patch_size", patch, 2),
        ("in_channels", channels, 4),
        ("num_layers", depth, 28),
    ):
        if settings.count(name, usual) != found:
            raise DataError(
                f"the tensors have {found} where {SETTINGS} states another {name}; check the folder"
            )
    side = settings.count("sample_size", 32)
    if side % patch:
        raise DataError(f"{SETTINGS} states sample_size = {side}, which patches of {patch} do not divide")
    return side


def _expected(settings: Settings) -> None:
    settings.expect(
        "dit",
        activation_fn="gelu-approximate",
        attention_bias=True,
        dropout=0.0,
        norm_elementwise_affine=False,
        norm_type="ada_norm_zero",
        # Of the general Transformer2DModel, under whose name DiTs were released.
        caption_channels=None,
        cross_attention_dim=None,
        double_self_attention=False,
        num_vector_embeds=None,
        only_cross_attention=False,
        use_linear_projection=False,
        attention_type="default",
        interpolation_scale=None,
        use_additional_conditions=None,
    )
    settings.ignore("upcast_attention", "norm_num_groups")


def _predicted(settings: Settings, resolver: OptionResolver, backbone: dict[str, Any]) -> str:
    """What is predicted, put into the backbone's config; the path that the network follows."""
    scheduler = settings.scheduler
    flow = scheduler.get("_class_name") == _FLOW
    kind = "velocity" if flow else {"epsilon": "noise"}.get(scheduler.get("prediction_type", ""))
    if scheduler and kind is None:
        raise DataError(
            f"the scheduler states prediction_type = {excerpt(repr(scheduler.get('prediction_type')), 60)}; "
            f"only networks that predict noise ('epsilon') or, of {_FLOW}, the velocity can be imported"
        )
    where = "scheduler_config.json"
    ask = "noise for every released DiT, with the pipeline's scheduler, or velocity"
    predicted = resolver.resolve("prediction", argument=(kind, where), ask=ask)
    if predicted == "score":
        raise DataError(
            "the network predicts the score by --prediction; only noise and velocity can be imported"
        )
    if predicted != "noise":
        backbone["time_scale"] = _noisiest(scheduler) if flow else FLOW_TIME
        straight = ("linear", where) if flow else (None, "")
        path = resolver.resolve("path", argument=straight, ask="linear or cosine")
        if path not in (None, "linear", "cosine"):
            raise DataError(
                f"the path is {path} by --path, which no network here follows; take linear or cosine"
            )
        return path or "linear"
    if not scheduler:
        raise ConfigError(
            "a network that predicts noise needs the schedule that it was trained on, which only the "
            "pipeline's scheduler states; give the pipeline's folder, or put its scheduler_config.json "
            "beside config.json"
        )
    backbone |= noise_schedule(resolver, *_schedule(scheduler), where)
    return "linear"


def _noisiest(scheduler: Mapping[str, Any]) -> float:
    """The time at which a flow is asked for noise.

    Raises:
        DataError: the scheduler states none.
    """
    steps = scheduler.get("num_train_timesteps", int(FLOW_TIME))
    if type(steps) is not int or steps < 1:
        raise DataError(
            f"the scheduler states num_train_timesteps = {excerpt(repr(steps), 30)}, which is no positive "
            "integer; check its file"
        )
    return float(steps)


def _schedule(scheduler: Mapping[str, Any]) -> tuple[tuple[float, float], str, int]:
    """The betas of a scheduler's settings, how they rise, and in how many steps.

    Raises:
        DataError: if they rise in another way, or are none.
    """
    rises = scheduler.get("beta_schedule", "linear")
    for name, expected in (("trained_betas", None), ("rescale_betas_zero_snr", False)):
        if scheduler.get(name, expected) not in (expected, None):
            raise DataError(f"the scheduler states {name}, which cannot be imported; only plain betas can")
    if rises not in ("linear", "scaled_linear"):
        raise DataError(
            f"the scheduler states beta_schedule = {excerpt(repr(rises), 60)}; only linear and scaled_linear "
            "ones can be imported"
        )
    betas = scheduler.get("beta_start", 0.0001), scheduler.get("beta_end", 0.02)
    steps = scheduler.get("num_train_timesteps", 1000)
    numbers = all(type(one) in (int, float) for one in betas) and type(steps) is int
    if not numbers or not 0 < betas[0] <= betas[1] < 1 or steps < 2:
        raise DataError(
            f"the scheduler states betas from {excerpt(repr(betas[0]), 30)} to {excerpt(repr(betas[1]), 30)} "
            f"in {excerpt(repr(steps), 30)} steps, which are no schedule; check its file"
        )
    return betas, rises, steps
