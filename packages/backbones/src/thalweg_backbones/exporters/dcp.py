"""Folders of ``torch.distributed.checkpoint`` under our own names, which sharded training loads.

Every tensor stands under ``model`` and our name; ``network.json`` says what the network is.
"""

from typing import Any

import attrs

from thalweg.documents import text_of
from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg.saved_network import described
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import owned
from thalweg_backbones.foreign.dcp import METADATA

_DESCRIPTION = "network.json"


@attrs.frozen
class DCPExporterConfig:
    """A folder that torch.distributed.checkpoint loads into a network of ours on any number of ranks."""

    def build(self, _: Facts | None = None) -> "DCPExporter":
        """Build it."""
        return DCPExporter()


class DCPExporter:
    """See :class:`DCPExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = ()

    def __call__(self, network: Any) -> Exported:
        """All tensors, heads included."""
        made = described(network)
        text = text_of({"facts": made["facts"], "composition": made["composition"]})
        return Exported(
            owned(network), place=METADATA, files={_DESCRIPTION: text}, notes=fitting.notes(network)
        )
