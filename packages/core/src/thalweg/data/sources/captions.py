"""Captions: as text files hold them, and all those of a source."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from thalweg.errors import DataError
from thalweg.protocols import Source

_THREADS = 8


def captions_in_order(source: Source) -> list[tuple[str, ...]]:
    """The captions of each image of a source; images are read only where it cannot do without.

    Raises:
        DataError: naming the file, if one is damaged.
    """
    return all_captions(getattr(source, "captions", lambda index: source[index].captions), len(source))


def all_captions(read: Callable[[int], tuple[str, ...]], count: int) -> list[tuple[str, ...]]:
    """What ``read`` gives of each of so many images, asked for side by side, since remote files are slow.

    Raises:
        DataError: as ``read`` does.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(read, range(count)))


def captions_of(data: bytes, name: str) -> tuple[str, ...]:
    """The captions of a text file, one a line.

    Raises:
        DataError: if it is not UTF-8 or holds none.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text ({error.reason}); save it as UTF-8") from error
    captions = tuple(line.strip() for line in lines if line.strip())
    if not captions:
        raise DataError(f"{name} holds no caption; write at least one line")
    return captions
