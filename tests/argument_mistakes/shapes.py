"""Shapes that no data have, and samples of another shape than the network's, which are points here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import thalweg
from argument_mistakes.making import Mistake, labelled

SIZES = "the sizes of one sample"


def mistakes(_: Path) -> list[Mistake]:
    """Shapes, and samples of other ones."""
    facts = thalweg.Facts(shape=(2,), classes=3)
    net = thalweg.compose(backbone={"type": "mlp", "width": 8, "depth": 2}, facts=facts)
    x, times, three = torch.randn(3, 2), torch.rand(1, 3), labelled(0, 1, 2)

    def of(shape: Any) -> Callable[[], Any]:
        return lambda: thalweg.Facts(shape=shape)

    return [
        Mistake("a shape of nothing", of(()), "facts.shape is ()", SIZES),
        Mistake("a shape with none of it", of((2, 0)), "facts.shape is (2, 0)", SIZES),
        Mistake("a shape below 0", of((-2,)), "facts.shape is (-2,)", SIZES),
        Mistake("a shape of a whole float", of((2.0,)), "facts.shape is (2.0,)", SIZES),
        Mistake("a shape of no number", of((float("nan"),)), "facts.shape is (nan,)", SIZES),
        Mistake("a shape of True", of((True,)), "facts.shape is (True,)", SIZES),
        Mistake("a shape of a billion", of((10**9,)), "facts.shape", "67,108,864", SIZES),
        Mistake("a shape of many axes", of((1,) * 17), "facts.shape", "1 to 16", SIZES),
        Mistake("a shape in words", of("2"), "facts.shape is '2'", SIZES),
        Mistake("a shape of words", of(("2",)), "facts.shape is ('2',)", SIZES),
        Mistake("a shape in bytes", of(b"23"), "facts.shape", SIZES),
        Mistake("a shape in a table", of({2: 3}), "facts.shape is {2: 3}", SIZES),
        Mistake("a nested shape", of(((2, 3),)), "facts.shape is ((2, 3),)", SIZES),
        Mistake("no shape", of(None), "facts.shape is None", SIZES),
        Mistake("a shape of a tensor", of(torch.ones(2)), "facts.shape", SIZES),
        Mistake("one point", lambda: net(x[0], times[:, :1]), "x_t", "(2,)", "(N, 2)"),
        Mistake("points as images", lambda: net(x[..., None, None], times, three), "(3, 2, 1, 1)", "(N, 2)"),
        Mistake("points of space", lambda: net(torch.randn(3, 3), times, three), "(3, 3)", "(N, 2)"),
        Mistake("points in columns", lambda: net(x.T, times, three), "(2, 3)", "(N, 2)"),
        Mistake("a number for points", lambda: net(torch.tensor(0.5), times, three), "x_t", "()", "(N, 2)"),
        Mistake("points of integers", lambda: net(x.long(), times, three), "x_t", "int64", "floating point"),
        Mistake("a velocity of one point", lambda: net.velocity(x[0], times[0], three), "x has", "(N, 2)"),
        Mistake("labels for two of three points", lambda: net(x, times, labelled(0, 1)), "labels", "(3,)"),
    ]
