"""What a data set keeps."""

from collections.abc import Sequence
from typing import Any

import torch

from thalweg.protocols import Split
from thalweg.types import Batch
from thalweg_authoring.numbers import require_shape
from thalweg_authoring.rules import does_not_apply, require, require_raises, rule
from thalweg_authoring.subject import Subject

_MOST = 4096
"""Samples that are read of a split."""


def read(split: Split, indices: Sequence[int] | None = None, seed: int = 0) -> Batch:
    """Samples of a split, all of a small one."""
    indices = range(min(len(split), _MOST)) if indices is None else indices
    return split.batch(list(indices), torch.Generator().manual_seed(seed))


def labels_of(batch: Batch) -> list[int] | None:
    """Its labels, if there are any."""
    return None if batch.condition.labels is None else batch.condition.labels.tolist()


def splits(data: Any) -> list[Split]:
    """Both parts."""
    return [data.train, data.validation]


@rule("dataset")
def config_and_data_set_state_the_same_facts(subject: Subject) -> None:
    """The config knows the facts before anything is built, and samples have that shape."""
    config = subject.config()
    require(
        hasattr(config, "facts"),
        "its config has no property 'facts'; state shape and classes without reading",
    )
    stated = config.facts
    data = subject.build(config=config)
    require(stated == data.facts, f"the config states {stated}, the data set {data.facts}; make both agree")
    for split in splits(data):
        require(isinstance(split, Split), f"a split is a {type(split).__name__} without len and batch")
        require(len(split) > 0, "a split is empty; hold out at least one sample")
        require_shape("Batch.clean", read(split, [0]).clean, (1, *data.facts.shape), torch.float32)


@rule("dataset")
def splits_are_disjoint_and_the_same_every_time(subject: Subject) -> None:
    """Nothing that is validated on is trained on, and building it twice gives the same samples."""
    first, second = subject.build(), subject.build()
    parts = []
    for ours, theirs in zip(splits(first), splits(second), strict=True):
        a, b = read(ours), read(theirs)
        same = torch.equal(a.clean, b.clean) and labels_of(a) == labels_of(b)
        require(same, "two data sets of one config differ; draw from a generator with a fixed seed")
        parts.append({row.numpy().tobytes() for row in a.clean})
    require(
        parts[0].isdisjoint(parts[1]),
        "a sample of the validation part is trained on too; split without overlap",
    )


@rule("dataset")
def labels_lie_within_the_classes(subject: Subject) -> None:
    """Labels are int64 in 0..classes-1, or there are none."""
    data = subject.build()
    for split in splits(data):
        batch = read(split)
        labels = batch.condition.labels
        if labels is None or data.facts.classes is None:
            agree = labels is None and data.facts.classes is None
            require(agree, "one of facts.classes and the labels of batches is None; make both agree")
            continue
        require_shape("Condition.labels", labels, (len(batch.clean),), torch.int64)
        low, high = int(labels.min()), int(labels.max())
        require(
            low >= 0 and high < data.facts.classes,
            f"labels reach from {low} to {high}, of {data.facts.classes} classes",
        )


@rule("dataset")
def samples_come_in_the_order_asked_for(subject: Subject) -> None:
    """Samples come in the order of the indices, and as often as they are requested."""
    split = subject.build().train
    if len(split) < 3:
        does_not_apply("it has fewer than three samples")
    whole = read(split, [0, 1, 2])
    chosen = read(split, [2, 0, 2, 1])
    message = "samples do not come in the order of the indices; sort nothing, drop no repetition"
    require(torch.equal(chosen.clean, whole.clean[[2, 0, 2, 1]]), message)
    labels = labels_of(whole)
    require(labels_of(chosen) == (labels and [labels[index] for index in (2, 0, 2, 1)]), message)


@rule("dataset", "source")
def an_index_outside_is_an_error(subject: Subject) -> None:
    """Reading beyond the end raises IndexError."""
    one = subject.build()
    with require_raises(IndexError, "an index beyond the end is taken; raise IndexError"):
        one[len(one)] if subject.kind == "source" else read(one.train, [len(one.train)])


@rule("dataset")
def a_batch_may_be_written_to(subject: Subject) -> None:
    """What is handed out is a copy."""
    split = subject.build().train
    kept = read(split, [0]).clean.clone()
    read(split, [0]).clean.fill_(7.0)
    require(
        torch.equal(read(split, [0]).clean, kept),
        "writing into a batch changes the data set; hand out copies",
    )


@rule("dataset")
def images_are_bytes_where_there_are_any(subject: Subject) -> None:
    """``images`` gives bytes of one or three channels, or None."""
    data = subject.build()
    found = data.images(read(data.train, [0, 1 % len(data.train)]).clean)
    if found is None:
        does_not_apply("its samples are no images")
    require(found.dtype == torch.uint8, f"images are {found.dtype}; return bytes 0..255")
    require(
        found.ndim == 4 and found.shape[0] == 2 and found.shape[1] in (1, 3),
        f"images have the shape {tuple(found.shape)}",
    )
    require(found.float().std() > 0, "images are all of one colour")
