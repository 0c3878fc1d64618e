"""Which class each sample is drawn for."""

from collections.abc import Sequence
from typing import Literal

import torch

from thalweg.randomness import generator

LabelRule = Literal["balanced", "random"]
"""``balanced``: the classes in turn, sample i of class i mod classes, so that all come equally often.
``random``: uniform and independent, from a generator addressed by (seed, i)."""


def labels_of(rule: LabelRule, classes: Sequence[int], seed: int, indices: Sequence[int]) -> list[int]:
    """The classes of the samples at these indices, each a function of (seed, index) alone.

    Args:
        rule: how they are chosen.
        classes: those to choose from, in order.
        seed: of the samples.
        indices: which samples.
    """
    if rule == "balanced":
        return [classes[index % len(classes)] for index in indices]
    draws = (generator(seed, "sample label", index) for index in indices)
    return [classes[int(torch.randint(len(classes), (), generator=one))] for one in draws]
