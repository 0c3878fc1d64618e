"""Captions: as text files hold them, and all those of a source.

One rule holds wherever a caption stands: white space around it does not count, and an empty one is none. An
image may so be without a caption, and is then learnt under the encoder's empty one.
"""

import logging
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from thalweg.errors import DataError
from thalweg.protocols import Source

_THREADS = 8
_LINE_ENDS = re.compile(r"\r\n|\r|\n")

_log = logging.getLogger("thalweg")


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


def captions_to_learn(source: Source) -> list[tuple[str, ...]]:
    """The same, where a network is to learn them: images without a caption are counted in one line.

    Raises:
        DataError: naming the file, if one is damaged; or if no image has a caption.
    """
    found = captions_in_order(source)
    bare = sum(not captions for captions in found)
    if found and bare == len(found):
        raise DataError(f"all captions of the {bare} images are empty; write some, or leave 'text' out")
    if bare:
        _log.warning("%d of %d images have no caption, and are learnt under the empty one", bare, len(found))
    return found


def captions_of(data: bytes, name: str) -> tuple[str, ...]:
    """The captions of a text file, one a line; none of an empty one.

    Raises:
        DataError: if it is not UTF-8.
    """
    return stripped(_LINE_ENDS.split(text_of(data, name)))


def text_of(data: bytes, name: str) -> str:
    """A text file's content, without a byte order mark.

    Raises:
        DataError: if it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text ({error.reason}); save it as UTF-8") from error


def stripped(captions: Iterable[str | None]) -> tuple[str, ...]:
    """Captions without white space around them, and without those that are empty."""
    return tuple(text for caption in captions if (text := (caption or "").strip()))


def joined(text: str, described: tuple[str, ...]) -> tuple[str, ...]:
    """Captions that stand both in a text and in JSON, each once.

    img2dataset writes the same caption into both, with its line ends, if it has any.

    Args:
        text: one caption a line.
        described: those of the JSON.
    """
    if " ".join(text.split()) == " ".join(" ".join(described).split()):
        return described
    return tuple(dict.fromkeys((*stripped(_LINE_ENDS.split(text)), *described)))
