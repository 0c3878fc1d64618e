"""Checkpoints as SiT's training script leaves them: time runs the other way, velocities point to the data."""

from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import arguments, dit, owned, readout
from thalweg_backbones.importers.layout import flip_time, flipped_time

_TARGET = "sit"
_PATHS = {"linear": "Linear", "cosine": "GVP"}
_TIME = "t_embedder.mlp.0.weight"


@attrs.frozen
class SiTExporterConfig:
    """SiT's layout; the channels that it has for variances, which nothing trains, are zero."""

    def build(self, _: Facts | None = None) -> "SiTExporter":
        """Build it."""
        return SiTExporter()


class SiTExporter:
    """See :class:`SiTExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = (".pt", ".safetensors", ".dcp")

    def __call__(self, network: Any) -> Exported:
        """v_SiT(x, t) = -v(x, 1 - t): two layers absorb both changes, as in importing.

        The layer that absorbs the flip of time is kept in float64, from which importing restores ours to
        the bit.

        Raises:
            ConfigError: the network is no plain DiT.
        """
        config = fitting.plain_dit(network, _TARGET)
        ours = owned(network)
        tensors = dit(network, ours)
        own = tensors[_TIME]
        tensors[_TIME] = flipped_time(own)
        # Zeros beside numbers of ordinary size may come back as 1e-18.
        changed = int((flip_time(tensors[_TIME]) != own).sum())
        notes = (f"{changed} numbers of '{_TIME}' come back changed by rounding",) if changed else ()
        readout(tensors, "final_layer", ours, "velocity_readout")
        pixels = config.patch**2
        for part in ("weight", "bias"):
            name = f"final_layer.linear.{part}"
            tensors[name] = _with_variances(-tensors[name], pixels)
        stated = arguments(network, config, "SiT")
        stated |= {"path_type": _PATHS[str(network.interpolant.name)], "prediction": "velocity"}
        return Exported(tensors, arguments=stated, left=fitting.left(network), notes=notes)


def _with_variances(projection: Tensor, pixels: int) -> Tensor:
    """Rows of the channels, and behind those of each pixel as many of zeros."""
    each = projection.unflatten(0, (pixels, -1))
    return torch.cat([each, torch.zeros_like(each)], dim=1).flatten(0, 1)
