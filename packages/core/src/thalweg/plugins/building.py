"""Building components, so that one that raises is named (no torch here)."""

from typing import Any

from thalweg.errors import PluginError, ThalwegError
from thalweg.plugins.catalogue import Registry
from thalweg.suggestions import one_line


class BrokenBuildError(PluginError):
    """A component's own ``build`` is at fault, and not what it was given or what is installed."""


def build_with(registry: Registry, config: Any, *arguments: Any) -> Any:
    """Call a config's ``build``; a part that is built already is returned as it is.

    Args:
        registry: which knows whose component it is.
        config: of the component, or the component.
        *arguments: what its kind is built from: facts, the run directory, or nothing.

    Raises:
        BrokenBuildError: ``build`` raised what is no :class:`ThalwegError`, or returned nothing.
    """
    if not is_config(config):
        return config
    try:
        built = config.build(*arguments)
    except ThalwegError:
        raise
    except Exception as error:
        raise BrokenBuildError(
            f"{_whose(registry, config)} cannot be built: its build raises {one_line(error)}; "
            f"mend {type(config).__qualname__}.build in {type(config).__module__}"
        ) from error
    if built is None:
        raise BrokenBuildError(
            f"{_whose(registry, config)} cannot be built: its build returns None; return the component from "
            f"{type(config).__qualname__}.build in {type(config).__module__}"
        )
    return built


def is_config(part: Any) -> bool:
    """Whether what a slot holds is a config, which has ``build``, and no part that is built."""
    return callable(getattr(part, "build", None))


def _whose(registry: Registry, config: Any) -> str:
    cls = type(config)
    for one in registry:
        if registry.is_config_of(one, cls):
            return str(one)
    return f"{cls.__qualname__} of {cls.__module__}"
