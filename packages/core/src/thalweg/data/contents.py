"""What a source holds, in a description that is small enough to be kept and full enough to name a difference.

Nothing in it depends on where the images are stored or when they were written. Of up to :data:`EACH` images
every one is distinguished; of more, blocks of them.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import attrs

T = TypeVar("T")

EACH = 4096
"""Images that are distinguished one by one."""

SAMPLED = 1024
"""Images whose content counts, evenly spaced; of the others the size does."""

SAMPLED_BYTES = 64 * 2**20
"""What is read of them in all, about."""

_BLOCKS = 1024
_PIECE = 2**20  # bytes that are read of an image
_MOST_CLASSES = 10_000  # whose images are counted
_MARK = 8  # hexadecimal digits
_AT_ONCE = 16
_TASKS = 1024


@attrs.frozen
class Contents:
    """All that is read of a source, by digest.

    Attributes:
        images: how many.
        classes: number of classes; None where images bear no labels.
        class_names: their names in the order of labels.
        class_counts: images of each class; empty without labels, and for very many classes.
        held_out: what the source keeps back.
        keys: the images' names in their order; empty if there are more than :data:`EACH`.
        digests: SHA-256 of the ``names`` in their order, and of the ``files``, ``labels`` and ``captions`` of
            all images.
        marks: the first digits of the same of each image or block, one after another.
    """

    images: int
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    held_out: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    digests: Mapping[str, str] = attrs.field(factory=dict)
    marks: Mapping[str, str] = attrs.field(factory=dict)

    def identity(self, kind: str) -> str:
        """What the source is, in one word: its type and a SHA-256 of all this."""
        rest = [self.images, self.classes, self.class_names, self.held_out, sorted(self.digests.items())]
        return f"{kind}:{hashlib.sha256(repr(rest).encode()).hexdigest()}"

    def marked(self, aspect: str) -> list[str]:
        """The marks of ``names``, ``files``, ``labels`` or ``captions``; empty where there are none."""
        marks = self.marks.get(aspect, "")
        return [marks[place : place + _MARK] for place in range(0, len(marks), _MARK)]


def contents_of(
    keys: Sequence[str],
    *,
    files: Iterable[str] | None = None,
    labels: Sequence[int] | None = None,
    captions: Iterable[Sequence[str]] | None = None,
    classes: int | None = None,
    class_names: Sequence[str] = (),
    held_out: Sequence[str] = (),
) -> Contents:
    """Describe a source.

    Args:
        keys: the images' names in the order of the source.
        files: what is known of each image's file without its place, as :func:`fingerprints` puts it.
        labels: of each image; None where there are none.
        captions: of each image; None where there are none.
        classes: number of classes.
        class_names: their names.
        held_out: what is kept back.
    """
    aspects: dict[str, Iterable[bytes]] = {"names": (_bytes(_name(key)) for key in keys)}
    if files is not None:
        aspects["files"] = map(_bytes, files)
    if labels is not None:
        aspects["labels"] = (str(label).encode() for label in labels)
    if captions is not None:
        aspects["captions"] = (_joined(map(_bytes, several)) for several in captions)
    found = {name: _digested(rows, block_of(len(keys))) for name, rows in aspects.items()}
    return Contents(
        images=len(keys),
        classes=classes,
        class_names=tuple(map(_text, class_names)),
        class_counts=_counts(labels, classes),
        held_out=tuple(map(_text, held_out)),
        keys=tuple(map(_text, keys)) if len(keys) <= EACH else (),
        digests={name: digest for name, (digest, _) in found.items()},
        marks={name: marks for name, (_, marks) in found.items()},
    )


def fingerprints(sizes: Sequence[int], read: Callable[[int, int], bytes]) -> list[str]:
    """What is recorded of the files of images: each one's size, and of some the SHA-256 of their content.

    These are all of up to :data:`SAMPLED` images, else as many, evenly spaced; fewer where they are so large
    that more than :data:`SAMPLED_BYTES` would be read. Of each no more than the first MiB counts.

    Args:
        sizes: bytes of each.
        read: gives so many of the first bytes of an image; called from several threads.
    """
    rows = [str(size) for size in sizes]
    count = min(len(rows), SAMPLED)
    total = sum(min(sizes[place], _PIECE) for place in _spaced(len(rows), count))
    if total > SAMPLED_BYTES:
        count = max(1, count * SAMPLED_BYTES // total)
    chosen = _spaced(len(rows), count)

    def digest(number: int) -> str:
        place = chosen[number]
        return hashlib.sha256(read(place, min(sizes[place], _PIECE))).hexdigest()

    for place, found in zip(chosen, side_by_side(digest, count), strict=True):
        rows[place] += f" {found}"
    return rows


def side_by_side(read: Callable[[int], T], count: int) -> list[T]:
    """What ``read`` gives of each number below ``count``, by several threads, since remote files are slow."""
    each = max(1, count // _TASKS)  # of a million, handing out one by one takes longer than many a read

    def some(start: int) -> list[T]:
        return [read(number) for number in range(start, min(start + each, count))]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [one for part in pool.map(some, range(0, count, each)) for one in part]


def block_of(images: int) -> int:
    """Images that one mark stands for, of so many."""
    return 1 if images <= EACH else -(-images // _BLOCKS)


def _spaced(every: int, count: int) -> list[int]:
    """The middles of ``count`` equal stretches."""
    return [(2 * place + 1) * every // (2 * count) for place in range(count)]


def _digested(rows: Iterable[bytes], block: int) -> tuple[str, str]:
    """SHA-256 of all rows, and the marks of their blocks."""
    whole, marks, part, filled = hashlib.sha256(), [], hashlib.sha256(), 0
    for row in rows:
        part.update(b"%d:" % len(row) + row)
        filled += 1
        if filled == block:
            whole.update(part.digest())
            marks.append(part.hexdigest()[:_MARK])
            part, filled = hashlib.sha256(), 0
    if filled:
        whole.update(part.digest())
        marks.append(part.hexdigest()[:_MARK])
    return whole.hexdigest(), "".join(marks)


def _counts(labels: Sequence[int] | None, classes: int | None) -> tuple[int, ...]:
    if labels is None or classes is None or classes > _MOST_CLASSES:
        return ()
    counts = Counter(labels)
    return tuple(counts[label] for label in range(classes))


def _bytes(text: str) -> bytes:
    # Names of files need not be text.
    return text.encode(errors="surrogatepass")


def _name(name: str) -> str:
    """A name as most systems encode accents: some give it back in another form."""
    return unicodedata.normalize("NFC", name)


def _text(name: str) -> str:
    return _name(name).encode(errors="backslashreplace").decode()


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(b"%d:" % len(part) + part for part in parts)
