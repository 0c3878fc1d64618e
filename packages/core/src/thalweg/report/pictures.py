"""Pictures of runs: only whole PNG files of sane size go into a report."""

import io
import warnings
import zlib

LARGEST = 64 * 2**20
"""Bytes of a picture's file."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST_SIDE, _MOST_PIXELS = 16384, 32 * 2**20


def check_picture(content: bytes) -> None:
    """Make sure that a file is a PNG that can be shown.

    Raises:
        ValueError: if it is none, damaged, cut off, or of a size that no grid of samples has.
    """
    # Only where there is a picture.
    from PIL import Image

    width, height = (int.from_bytes(content[begin : begin + 4], "big") for begin in (16, 20))
    if not _is_whole(content):
        raise ValueError("it is no whole PNG file")
    # Before anything is unpacked.
    if max(width, height) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise ValueError(f"it has {width:,} x {height:,} pixels")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                picture.load()
    # Pillow raises whatever comes up in a damaged file.
    except Exception as error:
        raise ValueError("it is no whole PNG file") from error


def _is_whole(content: bytes) -> bool:
    """Whether all chunks of a PNG are there and match their checksums, which Pillow looks at in part."""
    at, kind = len(_SIGNATURE), b""
    if not content.startswith(_SIGNATURE):
        return False
    while kind != b"IEND":
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        kind, stated = content[at + 4 : at + 8], int.from_bytes(content[end : end + 4], "big")
        if end + 4 > len(content) or zlib.crc32(memoryview(content)[at + 4 : end]) != stated:
            return False
        at = end + 4
    return True
