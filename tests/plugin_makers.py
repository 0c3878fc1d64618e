"""Distributions made on the spot: a module and its dist-info in a folder on sys.path."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import thalweg.plugins
from thalweg.plugins import process
from thalweg.plugins.process import for_one_command

CONFIG = """
import attrs

@attrs.frozen
class Config:
    '''A stranger's component.'''

    size: int = 3

    def build(self, facts):
        return self.size
"""

GATE = '''
import attrs
import torch
from torch import nn

import thalweg
from thalweg.types import Refinement


@thalweg.register("refiner", "gate")
@attrs.frozen
class GateConfig:
    """Gated patch tokens.

    Attributes:
        start: of the gates.
    """

    start: float = 0.0

    def build(self, facts):
        return Gate(self.start, facts)


class Gate(nn.Module):
    readouts = ()

    def __init__(self, start, facts):
        super().__init__()
        self.gates = nn.Parameter(torch.full((facts.branches - 1, facts.width), start))

    def forward(self, stream, boundary):
        return Refinement(stream.tokens + self.gates[boundary.number] * boundary.patch_tokens)
'''
"""A file as a plugin: a refiner by the decorator."""


def plugin(*registrations: str, also: str = "") -> str:
    """The text of a plugin module that makes these calls of register, such as "'sampler', 'x', 'm:C'"."""
    calls = "".join(f"\n    register({one})" for one in registrations) or "\n    pass"
    head = f"import thalweg\n{textwrap.dedent(also)}\n"
    return f"{head}\n@thalweg.hookimpl\ndef thalweg_components(register):{calls}\n"


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        text: str,
        *,
        version: str = "1.0",
        module: str = "",
        name: str = "",
        **others: str,
    ) -> None:
        """Install a distribution whose entry point ``name`` is ``module``; others are further modules."""
        module = module or distribution.replace("-", "_")
        for file, content in {module: text, **others}.items():
            (self.folder / f"{file}.py").write_text(content)
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nName: not this one\n"
        self.dist_info(distribution, f"[thalweg]\n{name or module} = {module}\n", metadata)

    def dist_info(self, distribution: str, entry_points: str, metadata: str) -> None:
        """Only the metadata."""
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(entry_points)
        importlib.invalidate_caches()


@contextmanager
def site_at(folder: Path) -> Iterator[Site]:
    """A site on sys.path, for a while."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield Site(folder)
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        importlib.invalidate_caches()


@contextmanager
def plugins_of_one_test() -> Iterator[None]:
    """What a test registers, and the modules of its plugin files, go with it."""
    with for_one_command():
        yield
    process._Process.known.clear()
    for name in [one for one in sys.modules if one.startswith("thalweg_file_")]:
        del sys.modules[name]
    thalweg.plugins.block()
