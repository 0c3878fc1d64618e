"""The idx format of the MNIST family: a magic number, the sizes of each dimension, then bytes.

Y. LeCun, C. Cortes and C. Burges, The MNIST Database of Handwritten Digits, 1998.
"""

import math
import zlib

import numpy as np
from jaxtyping import UInt8

from thalweg.errors import DataError

_BYTES = 0x08  # the only type of element that the family uses
_LARGEST = 2**31  # bytes that a file may hold, far beyond any of the family
_GZIP = 16 + zlib.MAX_WBITS


def parse(data: bytes, name: str, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array that an idx file holds.

    Args:
        data: the file, gzipped if ``name`` ends so.
        name: what it is called in errors.
        dimensions: how many the array must have.

    Raises:
        DataError: if it is anything else, cut off, or longer than its header says. A gzipped file is
            unpacked no further than that.
    """
    zipped = name.endswith(".gz")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        header_size = 4 + 4 * dimensions
        header = unpacker.decompress(data, header_size) if zipped else data[:header_size]
        shape = _shape(header, name, dimensions)
        size = math.prod(shape)
        # One byte more than it should hold, to see whether there is one.
        content = unpacker.decompress(unpacker.unconsumed_tail, size + 1) if zipped else data[header_size:]
    except zlib.error as error:
        raise DataError(f"{name} is damaged ({error}); copy it again") from error
    if len(content) != size:
        relation = "less" if len(content) < size else "more"
        raise DataError(f"{name} holds {relation} than its header says, {size} bytes; copy it again")
    if zipped and (not unpacker.eof or unpacker.unused_data):
        raise DataError(f"{name} is cut off, or goes on where it should end; copy it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(header: bytes, name: str, dimensions: int) -> tuple[int, ...]:
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes([0, 0, _BYTES, dimensions]):
        raise DataError(
            f"{name} is no idx file of bytes in {dimensions} dimensions (it begins with {header[:4]!r}); "
            "give the original file"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", dimensions, 4))
    if math.prod(shape) > _LARGEST:
        raise DataError(f"{name} claims to hold {math.prod(shape)} bytes, beyond {_LARGEST}; it is damaged")
    if 0 in shape:
        raise DataError(f"{name} holds no samples; give a file that does")
    return shape
