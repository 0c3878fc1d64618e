"""One part by itself, from whatever names it."""

from typing import Any

from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.plugins import build_component
from thalweg.plugins.records import UNINFORMED


def build(kind: str, part: Any, facts: Facts | None = None) -> Any:
    """Build a component as a recipe's slot does::

        data = thalweg.build("dataset", "two_moons")
        velocity = thalweg.build("objective", {"type": "velocity", "beta": 0.5}, network.facts)

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`, such as ``objective``.
        part: its name, ``{"type": name, **fields}``, a config, or one that is built, which is returned as
            it is.
        facts: of the data and the network, such as ``network.facts``; none for data sets, sources,
            autoencoders, text encoders and importers, which state them or do without.

    Raises:
        ConfigError: there is no such component, a field is wrong, or facts are missing.
        PluginError: there is no such kind, or the component's plugin is broken.
    """
    if kind == "logger":
        raise ConfigError("a logger is built by the run that it follows; state it in [loggers]")
    config = component(kind, part)
    if kind in UNINFORMED:
        return build_component(config)
    if kind == "importer":
        return build_component(config, None)
    if not isinstance(facts, Facts):
        raise ConfigError(
            f"to build the {kind.replace('_', ' ')} facts are needed; give them, such as network.facts"
        )
    return build_component(config, facts)
