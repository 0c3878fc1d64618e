"""Grids of small images, drawn large enough to look at."""

import io
import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from thalweg.files import write_bytes

_SMALLEST_EDGE = 48  # pixels that an image is drawn with at least
_PAPER = 255  # gaps and empty places are white


def grid(
    images: UInt8[Tensor, "N channels height width"], columns: int, scale: int = 1, gap: int = 2
) -> Image.Image:
    """The images in rows from left to right, on white.

    Args:
        images: 0..255, of 1 (grey) or 3 (RGB) channels.
        columns: images a row; the last row may stay short.
        scale: edge in pixels that one pixel is drawn with; never interpolated.
        gap: pixels between neighbours and around the whole.

    Raises:
        ValueError: for no images, other channel counts, or sizes below 1 (a gap may be 0).
    """
    count, channels, height, width = images.shape
    if count == 0 or channels not in (1, 3):
        raise ValueError(f"a grid takes images of 1 or 3 channels, not {count} of {channels}")
    if columns < 1 or scale < 1 or gap < 0:
        raise ValueError(f"columns {columns}, scale {scale}, gap {gap}: at least 1, 1 and 0")
    rows = -(-count // columns)
    columns = min(columns, count)
    cell_height, cell_width = height * scale + gap, width * scale + gap
    canvas = np.full((rows * cell_height + gap, columns * cell_width + gap, channels), _PAPER, dtype=np.uint8)
    for number, image in enumerate(images.cpu().permute(0, 2, 3, 1).numpy()):
        row, column = divmod(number, columns)
        top, left = gap + row * cell_height, gap + column * cell_width
        large = image.repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + height * scale, left : left + width * scale] = large
    return Image.fromarray(canvas[:, :, 0] if channels == 1 else canvas)


def enlargement(images: UInt8[Tensor, "N channels height width"]) -> int:
    """The ``scale`` with which :func:`grid` draws them large enough to look at."""
    return max(1, math.ceil(_SMALLEST_EDGE / images.shape[-1]))


def save_png(image: Image.Image, path: Path) -> None:
    """Write a picture so that whoever looks at ``path`` sees all of it or none.

    Raises:
        ThalwegError: if it cannot be written there.
    """
    write_bytes(path, png_bytes(image))


def png_bytes(image: Image.Image) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
