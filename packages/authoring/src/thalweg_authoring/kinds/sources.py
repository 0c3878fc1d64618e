"""What a source keeps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from thalweg_authoring.kinds.identities import records, require_word
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject


@rule("source")
def records_are_images_under_keys_of_their_own(subject: Subject) -> None:
    """Every record is a writable image of bytes with a key that no other has."""
    found = records(subject.build())
    require(found, "it holds no image")
    require(len({one.key for one in found}) == len(found), "two records bear the same key; make keys unique")
    for one in found:
        good = one.image.dtype == np.uint8 and one.image.ndim == 3 and one.image.shape[2] in (1, 3)
        require(
            good,
            f"'{one.key}' is {one.image.dtype} of shape {one.image.shape}; return bytes, height x width x 1 "
            "or 3",
        )
        require(one.image.flags.writeable, f"'{one.key}' cannot be written to; hand out a copy")


@rule("source")
def classes_and_captions_are_what_it_says(subject: Subject) -> None:
    """``classes``, ``class_names``, ``captioned`` and ``labels`` say what the records hold."""
    source = subject.build()
    found = records(source)
    labels = [one.label for one in found]
    if source.classes is None:
        require(set(labels) == {None}, "classes is None and records have labels; make both agree")
        require(not source.class_names, "classes is None and class_names is not empty")
    else:
        require(
            all(one is not None and 0 <= one < source.classes for one in labels),
            "a label lies outside 0..classes-1",
        )
        require(len(source.class_names) in (0, source.classes), "class_names has another length than classes")
    captioned = any(one.captions for one in found)  # of a captioned source, some may have none
    require(captioned == source.captioned, f"captioned is {source.captioned} and the records say otherwise")
    listed = getattr(source, "labels", None)
    require(listed is None or list(listed)[: len(labels)] == labels, "labels differs from the records' own")


@rule("source")
def two_of_one_source_are_the_same(subject: Subject) -> None:
    """Building it twice gives the same identity and the same records."""
    first, second = subject.build(), subject.build()
    require_word(subject, first.identity, second.identity)
    for index, (a, b) in enumerate(zip(records(first), records(second), strict=True)):
        same = (a.key, a.label, a.captions) == (b.key, b.label, b.captions)
        same = same and np.array_equal(a.image, b.image)
        require(same, f"record {index} differs between two of one config; read in a fixed order")


@rule("source")
def several_threads_read_what_one_does(subject: Subject) -> None:
    """Read by several threads at once, the records are the same."""
    alone, fresh = records(subject.build()), subject.build()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: fresh[index].image, 3 * list(range(len(alone)))))
    same = all(map(np.array_equal, together, 3 * [one.image for one in alone]))
    require(same, "several threads read something else than one; share no open file or cursor without a lock")
