"""Checkpoints of REPA on SiT: our time direction already."""

import logging
from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.told import Settling, Told
from thalweg_backbones.importers import told as stated
from thalweg_backbones.importers.tensors import Imported, Tensors, channels_of, dit, readout

_NAME = "REPA"


@attrs.frozen
class REPAImporterConfig:
    """Reads REPA's class-conditional checkpoints; the alignment projectors are left out."""

    def build(self, facts: Facts | None = None) -> "REPAImporter":  # noqa: ARG002 - the tensors tell
        """Build it."""
        return REPAImporter()


class REPAImporter:
    """See :class:`REPAImporterConfig`. Fulfils :class:`thalweg.protocols.Importer`."""

    def __call__(self, state_dict: Mapping[str, Tensor], told: Told) -> Imported:
        """Rename.

        Raises:
            DataError: if the file is another's, or its network cannot be represented.
            ConfigError: if something has to be told.
        """
        tensors, settling = Tensors(_NAME, state_dict), Settling(_NAME, told)
        aligned = tensors.drop("projectors")
        # With projectors, only arguments that are another's alone speak against it.
        stated.refuse_another(settling, "repa", _NAME, spelling=not aligned)
        backbone, facts, ours = dit(tensors, settling)
        channels_of(tensors, "final_layer", backbone["patch"], _NAME, (facts.shape[0],))
        readout(tensors, "final_layer", ours, "velocity_readout")
        tensors.finish()
        path = stated.path(settling)
        stated.prediction(settling, sure=aligned)
        settling.finish()
        if not aligned and not stated.whose(told):
            logging.getLogger("thalweg").warning(
                "nothing in the file says whose it is, and SiT's files without variances have the same "
                "tensors with time the other way: make sure that this is REPA's"
            )
        composition = {"backbone": backbone, "branches": 1, "interpolant": path}
        return Imported(composition, facts, ours, settling.found)
