"""Ways to damage a file."""

import os
import random
from collections.abc import Callable
from pathlib import Path

SECTOR = 512


def _bit(data: bytearray, draw: random.Random) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _digit(data: bytearray, draw: random.Random) -> None:
    places = [at for at, byte in enumerate(data) if 0x30 <= byte <= 0x39] or range(len(data))
    at = draw.choice(places)
    data[at] = draw.choice([one for one in range(0x30, 0x3A) if one != data[at]])


def _byte(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data))
    data[at] = (data[at] + draw.randrange(1, 256)) % 256


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def _zeros(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(0, len(data), SECTOR)
    stop = min(at + SECTOR, len(data))
    data[at:stop] = bytes(stop - at)


def _swap(data: bytearray, draw: random.Random) -> None:
    size = min(SECTOR, max(1, len(data) // 4))
    one, other = (draw.randrange(0, max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


def _line(data: bytearray, draw: random.Random) -> None:
    line = draw.choice([b"\n", b"x = 1\n", b"{}\n", b'"a": 1,\n', b"\xff\xfe\n", b"null\n", b"[[[[\n"])
    breaks = [at + 1 for at, byte in enumerate(data[:100_000]) if byte == 0x0A] or [0]
    at = draw.choice(breaks)
    data[at:at] = line


def _doubled(data: bytearray, draw: random.Random) -> None:
    """A line, or a value with its key, stands there twice."""
    lines = bytes(data).split(b"\n")
    at = draw.randrange(len(lines))
    data[:] = b"\n".join([*lines[: at + 1], *lines[at:]])


def _emptied(data: bytearray, _: random.Random) -> None:
    data.clear()


def _longer(data: bytearray, draw: random.Random) -> None:
    data += draw.randbytes(draw.choice([1, 100, SECTOR]))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere-at-all")


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


CHANGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "a bit": _bit, "a byte": _byte, "a digit": _digit, "cut": _cut, "a sector of zeros": _zeros,
    "sectors swapped": _swap, "a line more": _line, "a line twice": _doubled, "emptied": _emptied,
    "bytes behind": _longer,
}  # fmt: skip
REPLACEMENTS: dict[str, Callable[[Path], None]] = {
    "a folder": _folder, "a FIFO": _fifo, "a dangling link": _dangling, "a link to a device": _device,
    "a link to itself": _circle,
}  # fmt: skip
_WEIGHTS = {"a bit": 4, "a digit": 4, "a byte": 2, "a sector of zeros": 3, "cut": 3}


def damage(path: Path, draw: random.Random) -> str:
    """Damage a file in one way.

    Returns:
        How, or an empty text if that left it as it was.
    """
    if draw.random() < 0.2:
        how = draw.choice(list(REPLACEMENTS))
        REPLACEMENTS[how](path)
        return how
    before = path.read_bytes()
    data = bytearray(before)
    how = draw.choices(list(CHANGES), [_WEIGHTS.get(name, 1) for name in CHANGES])[0]
    if data:
        CHANGES[how](data, draw)
    if bytes(data) == before:
        return ""
    path.write_bytes(data)
    return how
