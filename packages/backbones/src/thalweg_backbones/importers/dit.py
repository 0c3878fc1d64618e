"""Checkpoints of DiT in its own layout: they predict the noise of a DDPM."""

from collections.abc import Mapping

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.import_options import Imported, ImportOptions, OptionResolver
from thalweg.protocols import Importer
from thalweg_backbones.importers import arguments as stated
from thalweg_backbones.importers.layout import Tensors, channels_of, dit, readout, without_variances
from thalweg_backbones.importers.noise import noise_schedule

_NAME = "DiT"
_BETAS, _STEPS = (0.0001, 0.02), 1000  # as DiT's code has them for all networks


@attrs.frozen
class DiTImporterConfig:
    """Reads DiT checkpoints, with or without learned variances; noise becomes a velocity at each call."""

    def build(self, _: Facts | None = None) -> Importer:
        """Build it."""
        return read_dit


def read_dit(state_dict: Mapping[str, Tensor], options: ImportOptions) -> Imported:
    """Rename; learned variances are dropped, and the network states the diffusion that it was trained on.

    Raises:
        DataError: if the file is another's, or its network cannot be represented.
        ConfigError: if something has to be stated.
    """
    tensors, resolver = Tensors(_NAME, state_dict), OptionResolver(_NAME, options)
    stated.refuse_another(resolver, _NAME)
    backbone, facts, ours = dit(tensors, resolver)
    patch, channels = backbone["patch"], facts.shape[0]
    found = channels_of(tensors, "final_layer", patch, _NAME, (channels, 2 * channels))
    readout(tensors, "final_layer", ours, "velocity_readout", without_variances(patch, channels))
    tensors.finish()
    if found > channels:
        resolver.note("variances", "left out", "the tensors, with two outputs a channel")
    _noise(resolver)
    resolver.finish()
    backbone |= noise_schedule(resolver, _BETAS, "linear", _STEPS, "all DiTs have it")
    composition = {"backbone": backbone, "branches": 1, "interpolant": "linear"}
    return Imported(composition, facts, ours, resolver.found)


def _noise(resolver: OptionResolver) -> None:
    """Make sure that noise is predicted.

    Raises:
        DataError: if something else is.
    """
    known: tuple[str | None, str] = (None, "")
    if stated.whose(resolver.options):
        known = ("noise", f"the model '{resolver.options.argument('model')[0]}' of the file's args")
    ask = "noise; SiT's file has the same tensors and predicts the velocity"
    found = resolver.resolve("prediction", argument=known, ask=ask)
    if found not in (None, "noise"):
        raise DataError(
            f"the network predicts the {found} by {resolver.found['prediction'].origin}, and DiTs predict "
            "noise; networks in their layout that predict the velocity are imported as sit or repa"
        )
