"""Conditions that do not fit the samples or the network."""

from pathlib import Path

import torch

import thalweg
from argument_mistakes import making
from argument_mistakes.making import Mistake, captions, labelled


def mistakes(_: Path) -> list[Mistake]:
    """Conditions that do not fit the samples or the network."""
    net, reading, blind = making.net(), making.reading(), making.blind()
    x, times, two = torch.randn(2, 4, 8, 8), torch.rand(2, 2), labelled(1, 2)
    return [
        Mistake(
            "labels instead of a condition",
            lambda: net(x, times, two.labels),
            "condition",
            "Tensor",
            "Condition(labels=",
        ),
        Mistake(
            "labels in a list", lambda: net(x, times, thalweg.Condition([1, 2])), "labels", "list", "tensor"
        ),
        Mistake(
            "labels of floats", lambda: net(x, times, labelled(1.0, 2.0)), "labels", "float32", "integers"
        ),
        Mistake(
            "labels of truth values",
            lambda: net(x, times, labelled(True, False)),
            "labels",
            "bool",
            "integers",
        ),
        Mistake(
            "labels one-hot",
            lambda: net(x, times, thalweg.Condition(torch.eye(10, dtype=torch.int64)[:2])),
            "labels",
            "(2, 10)",
            "(2,)",
        ),
        Mistake("labels for others", lambda: net(x, times, labelled(1, 2, 3)), "labels", "(3,)", "(2,)"),
        Mistake("one label for all", lambda: net(x, times, labelled(1)), "labels", "(1,)", "(2,)"),
        Mistake("labels below 0", lambda: net(x, times, labelled(1, -1)), "label", "-1", "0..9"),
        Mistake(
            "the null class as a label",
            lambda: net(x, times, labelled(1, 10)),
            "label",
            "10",
            "0..9",
            "dropped",
        ),
        Mistake("labels of the unconditional", lambda: blind(x, times[:1], two), "unconditional", "labels"),
        Mistake("labels elsewhere", lambda: net(x, times, two.to("meta")), "labels", "meta", "cpu"),
        Mistake(
            "dropped as numbers",
            lambda: net(x, times, two._replace(dropped=torch.tensor([0.0, 1.0]))),
            "dropped",
            "float32",
            "bool",
        ),
        Mistake(
            "dropped of others",
            lambda: net(x, times, two._replace(dropped=torch.ones(3, dtype=torch.bool))),
            "dropped",
            "(3,)",
            "(2,)",
        ),
        Mistake(
            "captions as strings",
            lambda: reading(x, times[:1], thalweg.Condition(text=["a", "b"])),
            "text",
            "list",
            "Text",
        ),
        Mistake(
            "captions for others",
            lambda: reading(x, times[:1], thalweg.Condition(text=captions(3))),
            "text.tokens",
            "(3, 5, 6)",
            "(2, 5, 6)",
        ),
        Mistake(
            "captions of another encoder",
            lambda: reading(x, times[:1], thalweg.Condition(text=captions(2, 5, 8))),
            "text.tokens",
            "(2, 5, 8)",
            "(2, 5, 6)",
        ),
        Mistake(
            "captions of another length",
            lambda: reading(x, times[:1], thalweg.Condition(text=captions(2, 7))),
            "text.tokens",
            "(2, 7, 6)",
            "(2, 5, 6)",
        ),
        Mistake(
            "a mask of numbers",
            lambda: reading(x, times[:1], thalweg.Condition(text=captions()._replace(mask=torch.ones(2, 5)))),
            "text.mask",
            "float32",
            "bool",
        ),
        Mistake(
            "captions of the unread",
            lambda: net(x, times, two._replace(text=captions())),
            "captions",
            "reads none",
        ),
        Mistake("no captions", lambda: reading(x, times[:1]), "caption"),
    ]
