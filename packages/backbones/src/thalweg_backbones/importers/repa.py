"""Checkpoints of REPA on SiT: our time direction already."""

import logging
from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg_backbones.importers import arguments as stated
from thalweg_backbones.importers.layout import Tensors, channels_of, dit, readout

_NAME = "REPA"


@attrs.frozen
class REPAImporterConfig:
    """Reads REPA's class-conditional checkpoints; the alignment projectors are left out."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_repa


def read_repa(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Rename.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    aligned = tensors.drop("projectors")
    # With projectors, only arguments that are another's alone speak against it.
    stated.refuse_another(resolver, _NAME, spelling=not aligned)
    backbone, facts, ours = dit(tensors, resolver)
    channels_of(tensors, "final_layer", backbone["patch"], _NAME, (facts.shape[0],))
    readout(tensors, "final_layer", ours, "velocity_readout")
    tensors.finish()
    path = stated.path(resolver)
    stated.prediction(resolver, sure=aligned)
    resolver.finish()
    if not aligned and not stated.whose(options):
        logging.getLogger("thalweg").warning(
            "nothing in the file says whose it is, and SiT's files without variances have the same "
            "tensors with time the other way: make sure that this is REPA's"
        )
    composition = {"backbone": backbone, "branches": 1, "interpolant": path}
    return Imported(composition, facts, ours, resolver.found)
