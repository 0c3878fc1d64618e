"""Checkpoints of REPA on SiT: our time direction already."""

from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg_backbones.importers.tensors import Imported, Tensors, dit, readout


@attrs.frozen
class REPAImporterConfig:
    """Reads REPA's class-conditional checkpoints; the alignment projectors are left out."""

    def build(self, facts: Facts | None = None) -> "REPAImporter":  # noqa: ARG002 - the tensors tell
        """Build it."""
        return REPAImporter()


class REPAImporter:
    """See :class:`REPAImporterConfig`. Fulfils :class:`thalweg.protocols.Importer`."""

    def __call__(self, state_dict: Mapping[str, Tensor], heads: int | None) -> Imported:
        """Rename."""
        tensors = Tensors("REPA", state_dict)
        backbone, facts, ours = dit(tensors, heads)
        readout(tensors, "final_layer", ours, "velocity_readout")
        tensors.drop("projectors")
        tensors.finish()
        return Imported({"backbone": backbone, "branches": 1}, facts, ours)
