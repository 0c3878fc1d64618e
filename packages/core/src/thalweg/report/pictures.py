"""Pictures of runs: only whole PNG files of sane size go into a report."""

import io
import warnings

LARGEST = 64 * 2**20
"""Bytes of a picture's file."""

_LONGEST_SIDE, _MOST_PIXELS = 16384, 64 * 2**20


def check_picture(content: bytes) -> None:
    """Make sure that a file is a PNG that can be shown.

    Raises:
        ValueError: if it is none, damaged, cut off, or of a size that no grid of samples has.
    """
    # Only where there is a picture.
    from PIL import Image

    with warnings.catch_warnings():
        # Its size is looked at before anything is decoded.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                if max(picture.size) > _LONGEST_SIDE or picture.width * picture.height > _MOST_PIXELS:
                    raise ValueError(f"it has {picture.width:,} x {picture.height:,} pixels")
                picture.load()
        # Pillow raises whatever comes up in a damaged file.
        except Exception as error:
            said = str(error) if isinstance(error, ValueError) else ""
            raise ValueError(said if said.startswith("it has") else "it is no whole PNG file") from error
