"""Files that lie, byte by byte: zip, npy, safetensors, PNG."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any


def bomb(size: int, header: bytes = b"") -> bytes:
    """A zip member's deflated content: a header and so many zeros, in a thousandth of that."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    if not size:
        return begin + b"\x03\x00"
    block = 2**20
    middle = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = middle.compress(bytes(block)) + middle.flush(zlib.Z_FULL_FLUSH)
    return begin + part * (size // block) + b"\x03\x00"


def zipped(path: Path, members: dict[str, tuple[bytes, int]]) -> None:
    """A zip of members whose deflated content, and size when unpacked, is given; checksums are wrong."""
    out, central = io.BytesIO(), io.BytesIO()
    for name, (content, size) in members.items():
        said = name.encode()
        at = out.tell()
        big = min(size, 0xFFFFFFFF)
        extra = struct.pack("<HHQQ", 1, 16, size, len(content)) if size >= 0xFFFFFFFF else b""
        small = 0xFFFFFFFF if extra else len(content)
        head = (20, 0, 8, 0, 0, 0, small, big, len(said), len(extra))
        out.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, *head) + said + extra + content)
        central.write(
            struct.pack(
                "<IHHHHHHIIIHHHHHII",
                0x02014B50,
                20,
                20,
                0,
                8,
                0,
                0,
                0,
                small,
                big,
                len(said),
                len(extra),
                0,
                0,
                0,
                0,
                at,
            )
            + said
            + extra
        )
    start = out.tell()
    count, size = len(members), central.tell()
    out.write(central.getvalue() + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size, start, 0))
    path.write_bytes(out.getvalue())


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """The beginning of an .npy file of that shape."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape!r}, }}"
    padded = text + " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode()


def safetensors(header: dict[str, Any] | bytes, data: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(start: int, stop: int, shape: list[int] | None = None, kind: str = "U8") -> dict[str, Any]:
    return {"dtype": kind, "shape": [stop - start] if shape is None else shape, "data_offsets": [start, stop]}


def png(
    width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 1, rows: bytes | None = None
) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    if rows is None:
        packer = zlib.compressobj(9)
        line = bytes(1 + (width * depth + 7) // 8)
        rows = (
            b"".join(packer.compress(line * 64) for _ in range(min(height, 4096) // 64 + 1)) + packer.flush()
        )
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = [chunk(b"IHDR", head), *(chunk(*one) for one in chunks), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)
