"""What cannot be composed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import thalweg
from argument_mistakes.making import DIT, FACTS, Mistake, dit_class


def mistakes(_: Path) -> list[Mistake]:
    """What cannot be composed."""

    def composed(**changed: Any) -> Callable[[], Any]:
        return lambda: thalweg.compose(**{"backbone": DIT, "facts": FACTS, "device": "meta", **changed})

    return [
        Mistake("facts in a table", composed(facts={"shape": (4, 8, 8)}), "facts", "dict", "thalweg.Facts"),
        Mistake("no facts", composed(facts=None), "facts", "None", "thalweg.Facts"),
        Mistake("a backbone of none", composed(backbone=None), "backbone", "None"),
        Mistake("a backbone of a number", composed(backbone=4), "backbone", "4"),
        Mistake("a backbone of a class", composed(backbone=dit_class()), "backbone", "class"),
        Mistake(
            "a config of half a width",
            composed(backbone=dit_class()(width=16.5, depth=2, heads=2)),
            "backbone.width",
            "16.5",
        ),
        Mistake("branches of a half", composed(branches=1.5, refiner="plain"), "branches", "1.5"),
        Mistake("branches of True", composed(branches=True), "branches", "True"),
        Mistake("branches of none", composed(branches=0), "branches", "0"),
        Mistake("branches in words", composed(branches="2", refiner="plain"), "branches", "'2'"),
        Mistake("an interpolant of a number", composed(interpolant=1), "interpolant", "1"),
        Mistake("an unknown interpolant", composed(interpolant="liner"), "interpolant", "liner"),
        Mistake("a device of a number", composed(device=1.5), "device", "1.5"),
        Mistake("an unknown device", composed(device="gpu"), "device", "gpu"),
        Mistake("a seed of a fraction", composed(seed=0.5), "seed", "0.5"),
        Mistake("a seed below 0", composed(seed=-1), "seed", "-1"),
        Mistake("a shape of a number", lambda: thalweg.Facts(shape=64), "facts.shape", "64"),
        Mistake(
            "images without channels",
            composed(facts=thalweg.Facts(shape=(64, 64))),
            "the data have the shape (64, 64)",
            "(channels, height, width)",
        ),
        Mistake("a shape of halves", lambda: thalweg.Facts(shape=(4, 8.0, 8)), "facts.shape", "8.0"),
        Mistake(
            "classes of a half", lambda: thalweg.Facts(shape=(4, 8, 8), classes=10.0), "facts.classes", "10.0"
        ),
        Mistake(
            "classes in a list",
            lambda: thalweg.Facts(shape=(4, 8, 8), classes=["cat"]),
            "facts.classes",
            "cat",
        ),
        Mistake("captions of a number", lambda: thalweg.Facts(shape=(4, 8, 8), text=5), "facts.text", "5"),
    ]
