"""Checkpoints as REPA's training script leaves them, without the alignment projectors."""

from typing import Any

import attrs

from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import arguments, dit, owned, readout

_TARGET = "repa"


@attrs.frozen
class REPAExporterConfig:
    """REPA's layout on SiT; it has no alignment projectors, which its code leaves unused in sampling."""

    def build(self, _: Facts | None = None) -> "REPAExporter":
        """Build it."""
        return REPAExporter()


class REPAExporter:
    """See :class:`REPAExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = (".pt", ".safetensors", ".dcp")

    def __call__(self, network: Any) -> Exported:
        """Rename; the direction of time is ours.

        Raises:
            ConfigError: the network is no plain DiT.
        """
        config = fitting.plain_dit(network, _TARGET)
        ours = owned(network)
        tensors = dit(network, ours)
        readout(tensors, "final_layer", ours, "velocity_readout")
        stated = arguments(network, config, "SiT")
        stated |= {"path_type": network.interpolant.name, "prediction": "v"}
        return Exported(tensors, arguments=stated, left=fitting.left(network))
