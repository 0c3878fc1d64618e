"""What an earlier sitting left in metrics.jsonl: checked before a run goes on from it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from thalweg.errors import DataError, ThalwegError
from thalweg.files import Seal
from thalweg.regular import opened, parse_json, read_bytes

_LARGEST = 2**33
"""Bytes; a line a step of the longest runs has a tenth of it."""

_TAIL = 2**16  # bytes in which the last line stands


def lines_until(path: Path, step: int, seal: Seal | None, say: Callable[[str], None]) -> bytes:
    """The lines of a metrics file up to the step that a run goes on from.

    Args:
        path: the file; may be missing.
        step: that of the checkpoint; 0 to begin.
        seal: what the file was when the checkpoint was saved; None if nobody noted it.
        say: told if the file is gone.

    Raises:
        DataError: if the file is damaged or something else, saying where and what to do.
        ThalwegError: if it cannot be read.
    """
    content = _content(path)
    if content is None:
        if seal is not None and seal.bytes:
            say(f"warning: {path} is gone, and the run goes on without its numbers up to step {step}")
        return b""
    # What follows the last line break was cut off while it was written.
    lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    if step == 0:
        # All of it goes; a file of another kind is not ours to remove.
        for line in lines[:1]:
            _refuse(path, 1, line)
        return b""
    if seal is not None:
        if _is(content[: seal.bytes], seal):
            return content[: seal.bytes]
        raise DataError(
            f"{path} is damaged: {_damage(content, seal, step)}; put a copy in its place, or move it away, "
            f"and the run goes on without its numbers up to step {step}"
        )
    kept = []
    for number, line in enumerate(lines, start=1):
        _refuse(path, number, line)
        if _step(line) <= step:
            kept.append(line)
    return b"".join(kept)


def last_step(path: Path) -> int:
    """The step of the last whole line of a metrics file; 0 if it cannot be told."""
    try:
        with opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().splitlines(keepends=True)
        return _step(next(line for line in reversed(lines) if line.endswith(b"\n")))
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return 0


def _content(path: Path) -> bytes | None:
    try:
        return read_bytes(path, _LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            return None  # it leads to nothing that could be read
        raise ThalwegError(
            f"{path} cannot be read ({error.strerror or error}); give permission there, or move it away"
        ) from error


def _is(content: bytes, seal: Seal) -> bool:
    return len(content) == seal.bytes and hashlib.sha256(content).hexdigest() == seal.sha256


def _refuse(path: Path, number: int, line: bytes) -> None:
    fault = _fault(line)
    if fault:
        raise DataError(
            f"line {number} of {path} {fault}, so it is no metrics file or is damaged; put a copy in its "
            f"place, or move it away"
        )


def _damage(content: bytes, seal: Seal, step: int) -> str:
    """In words, the first thing that is wrong."""
    whole, last = content[: content.rfind(b"\n") + 1], 0
    for number, line in _numbered(whole[: seal.bytes]):
        fault = _fault(line)
        if not fault and _step(line) <= last:
            fault = f"is of step {_step(line)} and follows step {last}"
        if fault:
            return f"line {number} {fault}"
        last = _step(line)
    if len(whole) < seal.bytes:
        return f"it ends at step {last} and lacks {seal.bytes - len(whole)} bytes of lines up to step {step}"
    return "a number in it is not the one that the run wrote, or a line is missing"


def _numbered(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Whole lines, from 1."""
    lines = content.split(b"\n")[:-1]
    return enumerate(lines, start=1)


def _fault(line: bytes) -> str:
    """What keeps it from being a line of numbers; nothing if it is one."""
    try:
        found = parse_json(line.decode())
    except UnicodeDecodeError:
        return "is no text"
    except ValueError:
        return "is no JSON"
    return "" if isinstance(found, dict) and type(found.get("step")) is int else "has no step"


def _step(line: bytes) -> int:
    step: int = parse_json(line)["step"]
    return step
