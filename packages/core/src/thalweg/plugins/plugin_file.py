"""One file of Python as a plugin: what it is, and its module."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from thalweg.errors import ConfigError, PluginError
from thalweg.plugins.loading import NotLoadedError
from thalweg.plugins.metadata import Reference
from thalweg.plugins.offers import Offer
from thalweg.regular import read_bytes
from thalweg.suggestions import one_line

_LARGEST = 16 * 2**20
_PREFIX = "thalweg_file_"
_SHOWN = 12  # digits of a SHA-256


@attrs.frozen
class PluginFile:
    """A file that was named by ``-p`` or :func:`thalweg.use_file`.

    Attributes:
        path: where it is, resolved.
        sha256: of what was loaded.
        module: under which it is imported: none that a statement ``import`` would find.
    """

    path: Path
    sha256: str
    module: str

    @property
    def name(self) -> str:
        """By which it is recorded: no folder of this machine is."""
        return self.path.name

    @property
    def offer(self) -> Offer:
        """What messages and lists call it."""
        version = self.sha256[:_SHOWN]
        return Offer(self.name, self.name, version, self.module, Reference(self.module, ""))


def read_file(path: Path) -> tuple[PluginFile, bytes]:
    """A file and what is in it.

    Raises:
        ConfigError: it is not there, cannot be read, or is not called ``*.py``.
    """
    if path.suffix != ".py" or not path.stem:
        raise ConfigError(
            f"the plugin file {path} is not called *.py; name a file of Python (or no:NAME to leave a "
            "plugin out)"
        )
    try:
        content = read_bytes(path, _LARGEST)
    except OSError as error:
        cure = "name one that is there" if isinstance(error, FileNotFoundError) else "name a file of Python"
        raise ConfigError(
            f"the plugin file {path} cannot be read: {error.strerror or error}; {cure}"
        ) from error
    module = _PREFIX + "".join(one if one.isalnum() else "_" for one in path.stem)
    return PluginFile(path.resolve(), hashlib.sha256(content).hexdigest(), module), content


def import_file(file: PluginFile, content: bytes) -> ModuleType:
    """Run the file as a module.

    Raises:
        NotLoadedError: it raises as it is run; nothing of it stays.
    """
    spec = importlib.util.spec_from_file_location(file.module, file.path)
    if spec is None:
        raise NotLoadedError("cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.module] = module
    try:
        # What was hashed is what runs, though the file may change this moment.
        exec(compile(content, str(file.path), "exec", dont_inherit=True), vars(module))  # noqa: S102
    except KeyboardInterrupt:
        forget(file)
        raise
    # Whatever it is, SystemExit too: a file that ends the process is as broken as any.
    except BaseException as error:
        forget(file)
        reason = f"cannot be imported: {one_line(error)}{_line_of(error, file)}"
        if isinstance(error, ModuleNotFoundError) and _is_neighbour(error.name, file):
            reason += f"; a plugin file stands alone, so put what it needs of {error.name}.py into it"
        raise NotLoadedError(reason) from error
    return module


def forget(file: PluginFile) -> None:
    """Take its module out again."""
    sys.modules.pop(file.module, None)


def refused(file: PluginFile, reason: Any) -> PluginError:
    """Why a file is not loaded, in one sentence."""
    return PluginError(f"the plugin file {file.path} {reason}")


def _is_neighbour(module: str | None, file: PluginFile) -> bool:
    return bool(module) and (file.path.parent / f"{module}.py").is_file()


def _line_of(error: BaseException, file: PluginFile) -> str:
    """In which line of the file it was, if in any."""
    if isinstance(error, SyntaxError):
        return ""  # which says it itself
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file.path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f" (line {line})"
