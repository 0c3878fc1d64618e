"""Imports run one way: no module imports, however late or for types alone, what imports it."""

import ast
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

SIBLINGS = ("authoring", "backbones", "eval", "refiners", "samplers")
PACKAGES = ("thalweg", *(f"thalweg_{name}" for name in SIBLINGS))


def modules(package: str) -> dict[str, Path]:
    """The files of a package by the names of their modules."""
    folder = Path(find_spec(package).origin).parent
    found = {}
    for file in folder.rglob("*.py"):
        parts = (package, *file.relative_to(folder).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(text: str, known: set[str]) -> set[str]:
    """The known modules that a module imports: at its head, within functions, and for types."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known
            if inner - known:  # names of the module itself
                found |= {node.module} & known
    return found


def circle(texts: dict[str, str]) -> list[str]:
    """The names of one circle of imports; none if there is none."""
    graph = {name: imported(text, set(texts)) - {name} for name, text in texts.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_of_imports():
    texts = {name: file.read_text() for package in PACKAGES for name, file in modules(package).items()}
    assert len(texts) > 300
    assert not circle(texts)


@pytest.mark.parametrize(
    "back",
    [
        "import a.first",
        "from a import first",
        "from a.first import name",
        "def late():\n    from a.first import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.first",
    ],
)
def test_a_circle_is_found_however_it_closes(back):
    texts = {"a": "", "a.first": "from a import second", "a.second": "import a.third", "a.third": back}
    assert set(circle(texts)) == {"a.first", "a.second", "a.third"}
    assert not circle({**texts, "a.third": "import os"})
