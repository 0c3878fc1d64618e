"""Tensors under our own names, and a description of what they are, for programs that know neither."""

from typing import Any

import attrs

from thalweg.documents import text_of
from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg.saved_network import described
from thalweg.tensor_files import tensors_sha256
from thalweg_backbones.exporters import fitting
from thalweg_backbones.exporters.layout import owned

_TENSORS, _DESCRIPTION = "network.safetensors", "network.json"
_CONVENTION = {
    "t": "0 is data, 1 is noise",
    "x_t": "alpha(t) x_0 + sigma(t) x_1, x_1 ~ N(0, I); of the linear path (1 - t) x_0 + t x_1",
    "velocity": "d x_t / d t; of the linear path x_1 - x_0",
}
_OF_FLOW_MAP = {
    "average": "u, the last branch's read-out with the first branch at t and the last at r <= t, whose "
    "refiner is told the gap r - t; x_r = x_t - (t - r) u"
}


@attrs.frozen
class PlainExporterConfig:
    """A folder of network.safetensors, every tensor under our name, and network.json, which says what."""

    def build(self, _: Facts | None = None) -> "PlainExporter":
        """Build it."""
        return PlainExporter()


class PlainExporter:
    """See :class:`PlainExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = ()

    def __call__(self, network: Any) -> Exported:
        """All tensors, heads included."""
        tensors = owned(network)
        made = described(network)
        described_as = {
            "convention": _CONVENTION | (_OF_FLOW_MAP if network.facts.flow_map else {}),
            "facts": made["facts"],
            "composition": made["composition"],
            "parameters": sum(one.numel() for one in network.parameters()),
            "tensors": {
                name: [str(one.dtype).removeprefix("torch."), *one.shape] for name, one in tensors.items()
            },
            "sha256": tensors_sha256(tensors),
        }
        return Exported(
            tensors,
            place=_TENSORS,
            files={_DESCRIPTION: text_of(described_as)},
            notes=fitting.notes(network),
        )
