"""Which packages a component imports while it works."""

import builtins
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

# All that core itself cannot do without.
_ALWAYS = {*sys.stdlib_module_names, "PIL", "attr", "attrs", "numpy", "scipy", "sklearn", "thalweg", "torch"}


@contextmanager
def imported_by(component: Any) -> Iterator[set[str]]:
    """Packages that statements of the component's own package import meanwhile, whether they are loaded yet
    or not; without those that are always there."""
    own = type(component).__module__.partition(".")[0]
    found: set[str] = set()
    plain, by_name = builtins.__import__, importlib.import_module

    def note(name: str, namespace: Mapping[str, Any] | None) -> None:
        package = name.partition(".")[0]
        asking = str((namespace or {}).get("__name__")).partition(".")[0]
        if asking == own and package not in _ALWAYS | {own, ""}:
            found.add(package)

    def statement(name: str, namespace: Any = None, *rest: Any, **more: Any) -> Any:
        namespace = more.get("globals", namespace)
        if more.get("level", rest[2] if len(rest) > 2 else 0) == 0:
            note(name, namespace)
        return plain(name, namespace, *rest, **{key: more[key] for key in more if key != "globals"})

    def call(name: str, package: str | None = None) -> Any:
        note(name, sys._getframe(1).f_globals)
        return by_name(name, package)

    with (
        mock.patch.object(builtins, "__import__", statement),
        mock.patch.object(importlib, "import_module", call),
    ):
        yield found
