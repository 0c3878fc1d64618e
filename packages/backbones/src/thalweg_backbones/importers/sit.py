"""Checkpoints of SiT: time runs the other way and the velocity points from noise to data."""

import logging
from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg_backbones.importers import arguments as stated
from thalweg_backbones.importers.layout import (
    Tensors,
    channels_of,
    dit,
    flip_time,
    readout,
    without_variances,
)

_NAME = "SiT"


@attrs.frozen
class SiTImporterConfig:
    """Reads SiT checkpoints, with or without learned variances (whose velocity is the first half)."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_sit


def read_sit(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Our velocity is v(x, t) = -v_SiT(x, 1 - t); both changes are absorbed by two layers.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    stated.refuse_another(resolver, _NAME)
    backbone, facts, ours = dit(tensors, resolver)
    first = "backbone.time.mlp.layers.0.weight"
    ours[first] = flip_time(ours[first])
    patch, channels = backbone["patch"], facts.shape[0]
    found = channels_of(tensors, "final_layer", patch, _NAME, (channels, 2 * channels))
    variances = tensors.seen("final_layer.linear.weight").unflatten(0, (patch * patch, -1))[:, channels:]

    kept = without_variances(patch, channels)
    readout(tensors, "final_layer", ours, "velocity_readout", lambda projection: -kept(projection))
    tensors.finish()
    path = stated.path(resolver)
    stated.prediction(resolver, sure=False)
    resolver.finish()
    if not stated.whose(options):
        _doubt(found > channels, bool(variances.any()))
    composition = {"backbone": backbone, "branches": 1, "interpolant": path}
    return Imported(composition, facts, ours, resolver.found)


def _doubt(variances: bool, trained: bool) -> None:
    """Say what else a file without arguments may be."""
    if variances and trained:
        # SiT computes variances and drops them, so that they stay at their initial zero.
        logging.getLogger("thalweg").warning(
            "the channels for variances have weights, which SiT never trains and DiT does: make sure that "
            "this is no DiT, which predicts noise; import that as dit"
        )
    elif not variances:
        logging.getLogger("thalweg").warning(
            "nothing in the file says whose it is, and REPA's files without projectors have the same "
            "tensors with time the other way: make sure that this is SiT's"
        )
