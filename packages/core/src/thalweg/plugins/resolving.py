"""From what a plugin registered to a config class that keeps the contract."""

import importlib
from operator import attrgetter
from typing import Any

import attrs

from thalweg.errors import PluginError
from thalweg.suggestions import one_line


def resolve(what: str, config: str | type) -> type[Any]:
    """Import a config class, if it is given as ``"module:Class"``, and check it.

    Args:
        what: the component for messages: ``sampler 'euler' of thalweg-samplers 0.1.0``.
        config: what was registered.

    Raises:
        PluginError: it cannot be imported, or is no frozen attrs class with ``build``.
    """
    found = _imported(what, config) if isinstance(config, str) else config
    problem = problem_of_class(found)
    if problem:
        raise PluginError(f"{what} cannot be used: its config {config} {problem}")
    return found


def _imported(what: str, target: str) -> Any:
    module, _, path = target.partition(":")
    try:
        return attrgetter(path)(importlib.import_module(module))
    # SystemExit too: a module that ends the process at import is as broken as any.
    except (Exception, SystemExit) as error:
        raise PluginError(f"{what} cannot be used: importing {target} failed: {one_line(error)}") from error


def problem_of_class(config: Any) -> str:
    """What keeps a class from being a config; empty if nothing does."""
    if not isinstance(config, type) or not attrs.has(config):
        return "is no attrs class"
    if not _is_frozen(config):
        return "is not frozen; decorate it with attrs.frozen"
    if not callable(getattr(config, "build", None)):
        return "has no method build"
    if any(field.alias == "type" for field in attrs.fields(config)):
        return "has a field 'type', the word that names the component itself"
    return ""


def _is_frozen(config: type) -> bool:
    # By behaviour, as the ways to ask attrs differ between its versions.
    try:
        object.__new__(config).__setattr__("any", None)
    except attrs.exceptions.FrozenInstanceError:
        return True
    except Exception:
        return False
    return False
