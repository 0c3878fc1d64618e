"""Checkpoints of SiT: time runs the other way and the velocity points from noise to data."""

from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg_backbones.importers.tensors import Imported, Tensors, dit, flip_time, readout


@attrs.frozen
class SiTImporterConfig:
    """Reads SiT checkpoints, with or without learned variances (whose velocity is the first half)."""

    def build(self, facts: Facts | None = None) -> "SiTImporter":  # noqa: ARG002 - the tensors tell
        """Build it."""
        return SiTImporter()


class SiTImporter:
    """See :class:`SiTImporterConfig`. Fulfils :class:`thalweg.protocols.Importer`."""

    def __call__(self, state_dict: Mapping[str, Tensor], heads: int | None) -> Imported:
        """Our velocity is v(x, t) = -v_SiT(x, 1 - t); both changes are absorbed by two layers."""
        tensors = Tensors("SiT", state_dict)
        backbone, facts, ours = dit(tensors, heads)
        first = "backbone.time.mlp.layers.0.weight"
        ours[first] = flip_time(ours[first])
        patch, channels = backbone["patch"], facts.shape[0]

        def change(projection: Tensor) -> Tensor:
            # Outputs are ordered (row, column, channel); learned variances are the last channels.
            per_pixel: Tensor = projection.unflatten(0, (patch * patch, -1))[:, :channels]
            return -per_pixel.flatten(0, 1)

        readout(tensors, "final_layer", ours, "velocity_readout", change)
        tensors.finish()
        return Imported({"backbone": backbone, "branches": 1}, facts, ours)
