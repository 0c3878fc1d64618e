"""metrics.jsonl: checked before a run is resumed from it, and protected while the run writes it."""

import contextlib
import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from thalweg import files
from thalweg.errors import DataError, ThalwegError
from thalweg.files import Seal, open_own, write_bytes
from thalweg.regular import opened, parse_json, read_bytes

KEPT = "metrics-kept.jsonl"
"""Where a run's own lines go when somebody else writes in metrics.jsonl."""

_LARGEST = 2**33
"""Bytes; a line a step of the longest runs has a tenth of it."""

_TAIL = 2**16  # bytes in which the last line stands

_HASHED_EACH_TIME = 16 * 2**20
"""Bytes; a larger file is hashed again only if its time of change says that it was touched."""


class MetricsFile:
    """metrics.jsonl: one JSON object a line, by step.

    It holds what this run wrote and nothing else. The run keeps its lines in memory too, compressed, so
    that a file that was removed or cut is written again.

    Args:
        path: the file. A link is replaced, never written through.
        step: the step that the run is resumed from.
        seal: what the file was at that step; later lines of an earlier attempt are removed, and a line that
            was cut off while it was written. None for a run that begins.
        say: called with what was repaired.

    Raises:
        DataError: if the file is damaged or something else.
        ThalwegError: if it cannot be read or written.

    Attributes:
        newest: the last line; empty if there is none.
        fault: why no line is written any more; empty while all is well.
    """

    def __init__(
        self, path: Path, step: int, seal: Seal | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._path, self._say, self.fault = path, say, ""
        content = _lines_until(path, step, seal, say)
        self.newest: Mapping[str, Any] = json.loads(content.splitlines()[-1]) if content else {}
        self._digest, self._size, self._time = hashlib.sha256(content), len(content), 0
        self._compressor = zlib.compressobj(1)
        self._compressed = [self._compressor.compress(content)]
        self._write_anew(content)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line, readable at once; what is not finite becomes null, as JSON has no NaN."""
        finite = {
            name: None if isinstance(number, float) and not math.isfinite(number) else number
            for name, number in line.items()
        }
        text = (json.dumps(finite, allow_nan=False) + "\n").encode()
        with self._writing():
            # What somebody else has changed stays as it is until it is looked at.
            if not self.fault and os.fstat(self._file.fileno()).st_size == self._size:
                self._file.write(text)
                self._file.flush()
                self._time = os.fstat(self._file.fileno()).st_mtime_ns
        self._digest.update(text)
        self._size += len(text)
        self._compressed.append(self._compressor.compress(text))
        self.newest = line

    def sync(self) -> Seal:
        """Make sure that the lines outlive a power cut, as a checkpoint does, and are all there; their seal.

        A file that was removed or cut is written again. If somebody else wrote in it, :attr:`fault` says so,
        and the lines of this run are kept in a file beside it.
        """
        with self._writing():
            if not self.fault:
                files.disk.sync(self._file.fileno())
                self._look()
        return Seal(self._size, self._digest.hexdigest())

    def leave(self, why: str) -> None:
        """Leave the file to somebody else from now on, and keep the lines of this run beside it."""
        if not self.fault:
            kept = self._path.with_name(KEPT)
            write_bytes(kept, self._own())
            self.fault = f"{why}; the numbers of this run are in {kept}"

    def close(self) -> None:
        """Close the file; what could not be written was reported before."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _look(self) -> None:
        """Whether the file is what was written, and what to do if not."""
        if self._is_whole():
            return
        try:
            content, gone = read_bytes(self._path, 2 * self._size + _HASHED_EACH_TIME), False
        except FileNotFoundError:
            content, gone = b"", True
        except OSError:
            content, gone = b"?", False  # not ours any more, or far too long
        own = self._own()
        self._file.close()
        if own.startswith(content.rstrip(b"\0")):
            self._write_anew(own)
            if content != own:
                what = "was removed" if gone else "has lost lines"
                self._say(f"warning: {self._path} {what} while the run wrote it, and is written again")
            return
        self.leave(
            f"somebody else has written in {self._path}, a second run or an editor: end that one, move "
            f"{KEPT} to {self._path.name}, and start the same command again"
        )

    def _is_whole(self) -> bool:
        try:
            named = self._path.lstat()
        except OSError:
            return False
        mine = os.fstat(self._file.fileno())
        if not os.path.samestat(named, mine) or mine.st_size != self._size:
            return False
        if mine.st_mtime_ns == self._time and self._size > _HASHED_EACH_TIME:
            return True
        try:
            return files.sha256(self._path) == self._digest.hexdigest()
        except OSError:
            return False

    def _own(self) -> bytes:
        return zlib.decompress(b"".join([*self._compressed, self._compressor.copy().flush()]))

    def _write_anew(self, content: bytes) -> None:
        # Never in place: the file may have other names, such as in a copy that is made of hard links.
        write_bytes(self._path, content)
        with self._writing():
            self._file = open_own(self._path)
            self._file.seek(0, os.SEEK_END)
            self._time = os.fstat(self._file.fileno()).st_mtime_ns

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ThalwegError(
                f"cannot write {self._path} ({error.strerror or error}); make room or give permission there, "
                f"then run the same command again"
            ) from error


def _lines_until(path: Path, step: int, seal: Seal | None, say: Callable[[str], None]) -> bytes:
    """The lines of a metrics file up to the step that a run is resumed from."""
    content = _content(path)
    if content is None:
        if seal is not None and seal.bytes:
            say(f"warning: {path} is gone, and the run continues without its numbers up to step {step}")
        return b""
    if seal is None:
        # All of it goes; a file of another kind is not ours to remove.
        first, line_break, _ = content.partition(b"\n")
        fault = _fault(first) if line_break else ""
        if fault:
            raise DataError(
                f"line 1 of {path} {fault}, so it is no metrics file or is damaged; put a copy in its "
                f"place, or move it away"
            )
        return b""
    sealed = content[: seal.bytes]
    if len(sealed) == seal.bytes and hashlib.sha256(sealed).hexdigest() == seal.sha256:
        return sealed
    raise DataError(
        f"{path} is damaged: {_damage(content, seal, step)}; put a copy in its place, or move it away, "
        f"and the run continues without its numbers up to step {step}"
    )


def last_step(path: Path) -> int:
    """The step of the last whole line of a metrics file; 0 if it cannot be read."""
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


def _damage(content: bytes, seal: Seal, step: int) -> str:
    """In words, the first thing that is wrong."""
    whole, last = content[: content.rfind(b"\n") + 1], 0
    for number, line in enumerate(whole[: seal.bytes].split(b"\n")[:-1], start=1):
        fault = _fault(line)
        if not fault and _step(line) <= last:
            fault = f"is of step {_step(line)} and follows step {last}"
        if fault:
            return f"line {number} {fault}"
        last = _step(line)
    if len(whole) < seal.bytes:
        return f"it ends at step {last} and lacks {seal.bytes - len(whole)} bytes of lines up to step {step}"
    return "a number in it is not the one that the run wrote, or a line is missing"


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
    return parse_json(line)["step"]  # type: ignore[no-any-return]
