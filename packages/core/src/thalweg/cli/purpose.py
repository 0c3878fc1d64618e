"""What a component is, in a sentence from its docstring, for which nothing is imported."""

import ast
import inspect
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from thalweg.plugins import Component

_LARGEST = 2**20  # bytes of a source


def purpose(component: Component) -> str:
    """The first paragraph of its config's docstring; empty if it has none or its source is not found.

    Args:
        component: whose module may be broken, slow or missing.
    """
    if isinstance(component.config, str):
        module, _, name = component.config.partition(":")
        text = _docstrings(module).get(name, "")
    else:
        text = inspect.getdoc(component.config) or ""
    return " ".join(text.strip().partition("\n\n")[0].split()).replace("``", "")


@cache
def _docstrings(module: str) -> dict[str, str]:
    """The docstrings of a module's classes by name."""
    # What is not there, cannot be read or is no Python shows once the component is used.
    with suppress(OSError, ValueError, SyntaxError, ImportError, RecursionError, MemoryError):
        path = _source(module)
        if path is not None and path.stat().st_size <= _LARGEST:
            classes = [one for one in ast.parse(path.read_bytes()).body if isinstance(one, ast.ClassDef)]
            return {one.name: ast.get_docstring(one) or "" for one in classes}
    return {}


def _source(module: str) -> Path | None:
    package, *below = module.split(".")
    spec = find_spec(package)  # of a module within a package, this would import the package
    if spec is None:
        return None
    if not below:
        return None if spec.origin is None else Path(spec.origin)
    paths = [Path(place).joinpath(*below) for place in spec.submodule_search_locations or ()]
    files = [file for path in paths for file in (path / "__init__.py", path.with_name(f"{path.name}.py"))]
    return next((file for file in files if file.is_file()), None)
