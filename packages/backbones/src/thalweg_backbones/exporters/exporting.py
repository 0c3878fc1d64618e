"""Networks for other programs: exported through a component and written."""

import logging
from pathlib import Path

from thalweg.arguments import check_instance
from thalweg.config import component
from thalweg.exported import Exported
from thalweg.network import FlowNetwork
from thalweg.network_parts import check_placed
from thalweg.plugins import build_component
from thalweg.protocols import Exporter
from thalweg.storage.places import local_path
from thalweg_backbones.exporters.writing import check_place, write


def checked_exporter(target: str, path: Path) -> Exporter:
    """The exporter of a name, once it is known that it may write there.

    Raises:
        ConfigError: something stands there, or it is called like something else.
        PluginError: there is no such exporter.
    """
    exporter: Exporter = build_component(component("exporter", target), None)
    check_place(path, target, tuple(exporter.suffixes))
    return exporter


def export_network(network: FlowNetwork, path: Path | str, to: str) -> Exported:
    """Write a network as another program reads it.

    Args:
        network: the weights are those that it has now.
        path: of the file or folder, which must not be there.
        to: an exporter's name, such as ``sit`` or ``diffusers-dit``.

    Returns:
        What was written. What the other program has no place for is warned of.

    Raises:
        ConfigError: the other program has no counterpart of something in the network, or something stands
            at ``path``.
        PluginError: there is no such exporter.
        ThalwegError: it cannot be written.
    """
    check_instance("network", network, FlowNetwork, "a network, as thalweg.load returns it")
    check_placed(network.state_dict())
    place = local_path(path, "the export")
    exporter = checked_exporter(to, place)
    exported = exporter(network)
    write(exported, place)
    if exported.left:
        logging.getLogger("thalweg").warning(
            "%s left out, for which %s has no place", f"{' and '.join(exported.left)} "
            f"{'is' if len(exported.left) == 1 else 'are'}", to,
        )  # fmt: skip
    return exported
