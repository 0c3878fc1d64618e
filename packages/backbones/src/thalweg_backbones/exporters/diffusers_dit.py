"""Folders of diffusers' DiTTransformer2DModel."""

import json
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg.layers import time_frequencies
from thalweg.network import FlowNetwork
from thalweg_backbones.dit import DiTConfig
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import linear, owned
from thalweg_backbones.foreign.diffusers_folder import SETTINGS, STEM
from thalweg_backbones.importers.diffusers_dit import FLOW_TIME

_TARGET = "diffusers-dit"
_SCHEDULER = "scheduler_config.json"
# Relative to the largest output; ridge relative to the mean of the diagonal, where float32 loses least.
_CLOSE, _NODES, _RIDGE = 1e-6, 2048, 1e-12


@attrs.frozen
class DiffusersDiTExporterConfig:
    """A folder that diffusers' DiTTransformer2DModel.from_pretrained opens, asked at 1000 t."""

    def build(self, _: Facts | None = None) -> "DiffusersDiTExporter":
        """Build it."""
        return DiffusersDiTExporter()


class DiffusersDiTExporter:
    """See :class:`DiffusersDiTExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = ()

    def __call__(self, network: Any) -> Exported:
        """Rename, and give every block the embeddings.

        diffusers embeds times by other frequencies than the DiT does. Where ours are not those already, the
        first layer behind them is fitted anew: on [0, 1] the sinusoids of either are combinations of the
        other's to the accuracy of float32.

        Raises:
            ConfigError: the network is no plain DiT.
        """
        config = fitting.dit_config(network, _TARGET)
        kept = ("time_scale", "closed_frequencies", "mlp_norm_eps", "betas")
        odd = [
            *fitting.unbranched(network),
            *fitting.odd_settings(config, but=kept),
            *fitting.unclassed(network),
        ]
        fitting.refuse(
            _TARGET, [*odd, *_moved(config, network), *fitting.not_square(network), *fitting.path(network)]
        )
        ours = owned(network)
        first, notes = "backbone.time.mlp.layers.0.weight", []
        scale = 1.0 if config.betas is not None else FLOW_TIME
        if (config.time_scale, config.closed_frequencies) != (scale, True):
            ours[first], off = _fitted(ours[first], config)
            notes.append(
                "the first layer of the time embedding was fitted to diffusers' frequencies; its outputs for "
                f"t in [0, 1] are at most {off:.1e} of the largest one off"
            )
        notes += _asked(network, config)
        return Exported(
            _tensors(network, ours),
            place=f"{STEM}.safetensors",
            files={SETTINGS: _json(_settings(network, config)), **_scheduler(network, config)},
            left=fitting.left(network),
            notes=tuple(notes),
        )


def _moved(config: DiTConfig, network: FlowNetwork) -> list[str]:
    """Positions other than the fixed table, which diffusers computes; noise asked for at other times."""
    found = []
    if config.stored_positions:
        found.append("backbone.stored_positions = True")
    if config.betas is not None and (config.time_scale, config.closed_frequencies) != (1.0, True):
        found.append("noise predicted with another embedding of times")
    if config.betas is not None and network.interpolant.name != "linear":
        found.append(f"noise predicted on the interpolant {network.interpolant}")
    return found


def _asked(network: FlowNetwork, config: DiTConfig) -> list[str]:
    """How the network has to be asked there."""
    if config.betas is not None:
        return ["it predicts noise, as it did where it is from"]
    words = "it predicts the velocity, noise minus data, at timestep = 1000 t, with noise at 1000"
    return [words if network.interpolant.name == "linear" else f"{words}, on the {network.interpolant} path"]


def _tensors(network: FlowNetwork, ours: dict[str, Tensor]) -> dict[str, Tensor]:
    backbone: Any = network.backbone
    channels, patch = network.facts.shape[0], backbone.patches.patch
    projection = ours["backbone.patches.projection.weight"]
    tensors = {
        "pos_embed.proj.weight": projection.unflatten(1, (channels, patch, patch)),
        "pos_embed.proj.bias": ours["backbone.patches.projection.bias"],
    }
    linear(tensors, "proj_out_1", ours, "velocity_readout.modulation")
    linear(tensors, "proj_out_2", ours, "velocity_readout.projection")
    for index in range(backbone.depth):
        name, target = f"backbone.blocks.{index}", f"transformer_blocks.{index}"
        embedder = f"{target}.norm1.emb"
        linear(tensors, f"{embedder}.timestep_embedder.linear_1", ours, "backbone.time.mlp.layers.0")
        linear(tensors, f"{embedder}.timestep_embedder.linear_2", ours, "backbone.time.mlp.layers.1")
        tensors[f"{embedder}.class_embedder.embedding_table.weight"] = ours["backbone.classes.weight"]
        linear(tensors, f"{target}.norm1.linear", ours, f"{name}.modulation")
        linear(tensors, f"{target}.attn1.to_out.0", ours, f"{name}.attention.out")
        linear(tensors, f"{target}.ff.net.0.proj", ours, f"{name}.mlp.layers.0")
        linear(tensors, f"{target}.ff.net.2", ours, f"{name}.mlp.layers.1")
        for part in ("weight", "bias"):
            parts = ours[f"{name}.attention.qkv.{part}"].chunk(3)
            for letter, one in zip("qkv", parts, strict=True):
                tensors[f"{target}.attn1.to_{letter}.{part}"] = one
    return tensors


def _settings(network: FlowNetwork, config: DiTConfig) -> dict[str, Any]:
    size, facts = config.dimensions, network.facts
    return {
        "_class_name": "DiTTransformer2DModel",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_head_dim": size.width // size.heads,
        "dropout": 0.0,
        "in_channels": facts.shape[0],
        "norm_elementwise_affine": False,
        "norm_eps": config.mlp_norm_eps,
        "norm_type": "ada_norm_zero",
        "num_attention_heads": size.heads,
        "num_embeds_ada_norm": facts.classes,
        "num_layers": size.depth,
        "out_channels": facts.shape[0],
        "patch_size": config.patch,
        "sample_size": facts.shape[1],
    }


def _scheduler(network: FlowNetwork, config: DiTConfig) -> dict[str, str]:
    """Settings of the scheduler that goes with it; none is known for velocities of the cosine path."""
    if config.betas is not None:
        settings: dict[str, Any] = {
            "_class_name": "DDIMScheduler",
            "beta_start": config.betas[0],
            "beta_end": config.betas[1],
            "beta_schedule": config.beta_schedule,
            "num_train_timesteps": config.diffusion_steps,
            "prediction_type": "epsilon",
            "clip_sample": False,
        }
    elif network.interpolant.name == "linear":
        settings = {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": 1.0,
        }
    else:
        return {}
    return {_SCHEDULER: _json(settings)}


def _json(table: dict[str, Any]) -> str:
    return json.dumps(table, indent=2, sort_keys=True) + "\n"


def _fitted(weight: Tensor, config: DiTConfig) -> tuple[Tensor, float]:
    """The first layer behind diffusers' sinusoids, and how far its outputs are off, of the largest.

    Least squares over times in [0, 1], with a little weight decay, as neighbouring frequencies are almost
    alike and large weights of opposite signs would cost accuracy.

    Raises:
        ConfigError: the sinusoids are no combinations of diffusers'.
    """
    t = (1 - torch.cos(torch.linspace(0, torch.pi, _NODES, dtype=torch.float64))) / 2
    ours = _sinusoids(config.time_scale * t, config.closed_frequencies)
    theirs = _sinusoids(FLOW_TIME * t, closed=True)
    gram = theirs.T @ theirs
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    combined = torch.linalg.solve(gram + ridge, theirs.T @ ours)
    fitted = (weight.double() @ combined.T).float()
    expected = ours @ weight.double().T
    off = float((theirs @ fitted.double().T - expected).abs().max() / expected.abs().max())
    if not off < _CLOSE:
        raise ConfigError(
            f"diffusers-dit embeds times by frequencies of its own, of which those of this network "
            f"(backbone.time_scale = {config.time_scale}) are no combinations: outputs would be {off:.1e} off"
        )
    return fitted, off


def _sinusoids(times: Tensor, closed: bool) -> Tensor:
    angles = times[:, None] * time_frequencies(closed).double()
    return torch.cat([angles.cos(), angles.sin()], dim=1)
