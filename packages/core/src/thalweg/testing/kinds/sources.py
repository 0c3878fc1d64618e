"""What a source keeps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from thalweg.testing.rules import require, rule
from thalweg.testing.subject import Subject

_MOST = 64


def _count(source: object) -> int:
    return min(len(source), _MOST)  # type: ignore[arg-type]


@rule("source")
def records_are_images_under_keys_of_their_own(subject: Subject) -> None:
    """Every record is a writable image of bytes with a key that no other has."""
    source = subject.build()
    records = [source[index] for index in range(_count(source))]
    require(records, "it holds no image")
    require(
        len({one.key for one in records}) == len(records), "two records bear the same key; make keys unique"
    )
    for one in records:
        good = one.image.dtype == np.uint8 and one.image.ndim == 3 and one.image.shape[2] in (1, 3)
        require(
            good,
            f"'{one.key}' is {one.image.dtype} of shape {one.image.shape}; return bytes,"
            " height x width x 1 or 3",
        )
        require(one.image.flags.writeable, f"'{one.key}' cannot be written to; hand out a copy")


@rule("source")
def classes_and_captions_are_what_it_says(subject: Subject) -> None:
    """``classes``, ``class_names``, ``captioned`` and ``labels`` say what the records hold."""
    source = subject.build()
    records = [source[index] for index in range(_count(source))]
    labels = [one.label for one in records]
    if source.classes is None:
        require(set(labels) == {None}, "classes is None and records have labels; make both agree")
        require(not source.class_names, "classes is None and class_names is not empty")
    else:
        require(
            all(one is not None and 0 <= one < source.classes for one in labels),
            "a label lies outside 0..classes-1",
        )
        require(len(source.class_names) in (0, source.classes), "class_names has another length than classes")
    captioned = any(one.captions for one in records)  # of a captioned source, some may have none
    require(captioned == source.captioned, f"captioned is {source.captioned} and the records say otherwise")
    listed = getattr(source, "labels", None)
    require(listed is None or list(listed)[: len(labels)] == labels, "labels differs from the records' own")


@rule("source")
def an_index_outside_is_an_error(subject: Subject) -> None:
    """Reading beyond the end raises IndexError."""
    source = subject.build()
    try:
        source[len(source)]
    except IndexError:
        return
    require(False, "an index beyond the end is taken; raise IndexError")


@rule("source")
def two_of_one_source_are_the_same(subject: Subject) -> None:
    """Building it twice gives the same identity and the same records."""
    first, second = subject.build(), subject.build()
    require(first.identity == second.identity, "two of one config have different identities")
    require(
        first.identity.startswith(f"{subject.name}:"),
        f"identity is '{first.identity}'; begin it with '{subject.name}:', so that sources are told apart",
    )
    for index in range(_count(first)):
        a, b = first[index], second[index]
        same = (a.key, a.label, a.captions) == (b.key, b.label, b.captions) and np.array_equal(
            a.image, b.image
        )
        require(same, f"record {index} differs between two of one config; read in a fixed order")


@rule("source")
def several_threads_read_what_one_does(subject: Subject) -> None:
    """Read by several threads at once, the records are the same."""
    source = subject.build()
    count = _count(source)
    alone = [source[index].image for index in range(count)]
    fresh = subject.build()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: fresh[index % count].image, range(3 * count)))
    same = all(np.array_equal(image, alone[i % count]) for i, image in enumerate(together))
    require(same, "several threads read something else than one; share no open file or cursor without a lock")
