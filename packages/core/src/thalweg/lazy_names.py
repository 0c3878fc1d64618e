"""Names of a package that are imported when they are first used, so that importing the package is quick."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Args:
        package: its name. None of its modules may bear one of the names: importing it would put the module in
            its place.
        homes: the names that a module brings, separated by spaces, by the module.
    """
    module = sys.modules[package]
    found = {name: home for home, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in found:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(importlib.import_module(found[name]), name)
        setattr(module, name, value)
        return value

    every = sorted(found)
    return find, lambda: sorted({*vars(module), *every}), every
