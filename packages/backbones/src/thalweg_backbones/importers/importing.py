"""Tensors of released networks, read through importers. Nothing is unpickled, ever."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from thalweg.arguments import check_instance
from thalweg.composition import compose
from thalweg.config import component
from thalweg.errors import ConfigError, DataError
from thalweg.import_options import ImportOptions, Resolved
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.saved_network import compare_shapes
from thalweg.suggestions import one_line


@attrs.frozen(eq=False)
class Import:
    """A network that was imported, and what was taken from where.

    Attributes:
        network: speaks our convention.
        resolved: what the tensors alone do not show, such as ``heads``, with where each comes from.
    """

    network: FlowNetwork
    resolved: Mapping[str, Resolved]


def import_weights(
    source: str,
    state_dict: Mapping[str, Tensor],
    *,
    heads: int | None = None,
    branches_at: Sequence[int] | None = None,
    path: str | None = None,
    prediction: str | None = None,
    clamp: bool | None = None,
    classes: int | None = None,
    tokens: int | None = None,
    args: Mapping[str, Any] | argparse.Namespace | None = None,
) -> FlowNetwork:
    """Read a released checkpoint's tensors as a network of ours.

    The network speaks our convention (t = 0 is data, velocity = noise - data) whatever the source's. What
    neither the tensors nor ``args`` state has to be given; nothing is guessed.

    Args:
        source: an importer's name: ``deepflow``, ``sit``, ``repa``, ``repa-t2i``, ``lightningdit``,
            ``diffusers-dit`` or ``diffusers-sd3``.
        state_dict: the tensors under their public names, or what :func:`read_foreign` gives.
        heads: attention heads.
        branches_at: depths after which DeepFlow's branches end, all but the last.
        path: ``linear`` or ``cosine``, which SiT calls GVP.
        prediction: what the network was trained to predict: ``velocity``, or ``noise`` of a DiT of diffusers.
        clamp: whether DeepFlow bounds the time gap's scale (``legacy_scaling``).
        classes: number of classes, without the null class.
        tokens: of a caption of Stable Diffusion 3.
        args: arguments of the script that trained it; those of :func:`read_foreign` unless given.

    Raises:
        DataError: if the tensors are not of that source, or of a network that cannot be represented.
        ConfigError: if something is needed and missing, or contradicts the file.
    """
    found = getattr(state_dict, "arguments", {}) if args is None else args
    found = vars(found) if isinstance(found, argparse.Namespace) else found
    check_instance("args", found, Mapping, "a mapping or an argparse.Namespace of the script's arguments")
    options = ImportOptions(heads, branches_at, path, prediction, clamp, classes, tokens, found)
    return import_checkpoint(source, state_dict, options).network


def import_checkpoint(source: str, state_dict: Mapping[str, Tensor], options: ImportOptions) -> Import:
    """As :func:`import_weights`, with what was taken from where.

    Args:
        source: an importer's name.
        state_dict: the tensors under their public names.
        options: options, and arguments of the file.

    Raises:
        DataError: if the tensors are not of that source, or of a network that cannot be represented.
        ConfigError: if something is needed and missing, or contradicts the file.
    """
    _check_tensors(state_dict)
    _check_numbers(state_dict)
    importer = build_component(component("importer", source), None)
    try:
        imported = importer(state_dict, options)
    except (IndexError, ValueError, RuntimeError) as fault:  # what tensors of other shapes end in
        raise DataError(
            f"the checkpoint's tensors cannot be read as those of {source} ({one_line(fault)}); name its "
            f"source or check the file"
        ) from fault
    network = compose(**imported.composition, facts=imported.facts)
    tensors = dict(imported.state_dict)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    compare_shapes(network, shapes, f"the {source} checkpoint")
    network.load_state_dict(tensors)
    return Import(network, imported.resolved)


def _check_tensors(state_dict: Mapping[str, Tensor]) -> None:
    mapping = "a mapping of names to tensors, as thalweg_backbones.read_foreign reads it from a file"
    check_instance("state_dict", state_dict, Mapping, mapping)
    for name, tensor in state_dict.items():
        check_instance("a key of state_dict", name, str, "the name of a tensor")
        if isinstance(tensor, Mapping):
            raise ConfigError(
                f"state_dict[{name!r}] is a table itself, as in a whole checkpoint; give {mapping}"
            )
        check_instance(f"state_dict[{name!r}]", tensor, Tensor, "a tensor")


def _check_numbers(state_dict: Mapping[str, Tensor]) -> None:
    """Make sure that all tensors can be the weights of a network.

    Raises:
        DataError: naming the first that cannot.
    """
    for name, tensor in state_dict.items():
        if tensor.is_quantized or not tensor.is_floating_point():
            raise DataError(
                f"the checkpoint's '{name}' is of {tensor.dtype}, and weights are floating-point numbers; "
                f"export them as such, without counters"
            )
        # As the network will hold it: what is too large for float32 is lost there.
        if not tensor.float().isfinite().all():
            raise DataError(
                f"the checkpoint's '{name}' holds numbers that are not finite, such as NaN; take a "
                f"checkpoint from before training diverged"
            )
