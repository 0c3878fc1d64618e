"""From the bytes of an image file to its pixels, trusting nothing that the file says."""

import io
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from thalweg.errors import DamagedImageError

LARGEST_IMAGE = 2**29
"""Bytes of an image's file that are read at all."""

LIMIT_PIXELS = 100_000_000

MOST_PIXELS = 1_000_000_000
"""What ``limit_pixels`` may be raised to."""

_GREY = ("1", "L", "LA", "I", "I;16", "I;16B")
_ANCILLARY = 0x20  # of the first letter of a PNG chunk's name: a decoder may leave it out
_WHITE = (255, 255, 255, 255)


def decode(
    data: bytes, name: str, *, limit_pixels: int = LIMIT_PIXELS, mode: Literal["RGB", "L"] | None = None
) -> UInt8[np.ndarray, "height width channels"]:
    """The pixels of a jpg, png or webp file, 0..255.

    Transparent pixels are composited onto white. Orientation tags are not obeyed, as the papers' code does
    not. Of an animation it is the first frame.

    Args:
        data: the file.
        name: what it is called in errors.
        limit_pixels: height times width above which it is refused before anything is decoded.
        mode: ``RGB`` for 3 channels, ``L`` for 1; None for as many as the file has.

    Raises:
        DamagedImageError: if it is of another type, damaged, cut off or too large.
    """
    image = _opened(data, name)
    width, height = image.size
    if width * height > limit_pixels:
        raise DamagedImageError(
            f"{name} is {width}x{height} pixels, beyond the limit of {limit_pixels}; shrink it or raise "
            "limit_pixels"
        )
    try:
        image.load()
        pixels_HWC = _pixels(image, mode)
    except Exception as error:
        raise _damaged(name, error) from error
    return pixels_HWC


def _opened(data: bytes, name: str) -> JpegImageFile | PngImageFile | WebPImageFile:
    """The file with its header read.

    Its type is determined by its first bytes and its class called here, rather than by Image.open, which
    tries every format that Pillow knows and warns by a limit of its own.
    """
    file = io.BytesIO(data)
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return JpegImageFile(file)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return PngImageFile(io.BytesIO(_pixel_chunks(data)))
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return WebPImageFile(file)
    except Image.DecompressionBombError as error:
        raise DamagedImageError(f"{name} has far more pixels than an image may have; shrink it") from error
    except Exception as error:  # decoders stumble over damage in every way there is
        raise _damaged(name, error) from error
    kind = "is empty" if not data else f"begins with {data[:8]!r}"
    raise DamagedImageError(f"{name} {kind}, so it is no jpg, png or webp image; convert it or take it away")


def _pixel_chunks(data: bytes) -> bytes:
    """A PNG without what no pixel depends on, such as texts and colour profiles.

    Pillow unpacks these when it opens a file, up to a bound beyond which it takes the whole for damaged, and
    valid ones do go beyond it.
    """
    view, place = memoryview(data), 8
    kept = [view[:place]]
    while place + 8 <= len(data):
        stop = place + 12 + int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if kind == b"IEND":
            break
        if kind == b"tRNS" or not kind[0] & _ANCILLARY:
            kept.append(view[place:stop])
        place = stop
    # What is cut off at its end is the decoder's to see.
    return b"".join([*kept, view[place:]])


def _pixels(image: Image.Image, mode: str | None) -> UInt8[np.ndarray, "height width channels"]:
    target = mode or ("L" if image.mode in _GREY else "RGB")
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        levels_HW = np.asarray(image).astype(np.int64)
        image = Image.fromarray(((levels_HW + 128) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image.convert("RGBA"))
    pixels = np.array(image.convert(target))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _damaged(name: str, error: Exception) -> DamagedImageError:
    reason = str(error) or type(error).__name__
    return DamagedImageError(f"{name} is damaged or cut off ({reason}); replace it or take it away")
