"""What mistakes are made of."""

from collections.abc import Callable
from typing import Any

import torch

import thalweg
from thalweg.types import Text

FACTS = thalweg.Facts(shape=(4, 8, 8), classes=10)
DIT = {"type": "dit", "width": 16, "depth": 2, "heads": 2, "patch": 4}
MMDIT = {"type": "mmdit", "width": 16, "depth": 2, "heads": 2, "patch": 4}


class Mistake:
    """What is called, and parts of the sentence: the argument, and what is expected or was given."""

    def __init__(self, name: str, call: Callable[[], Any], *said: str) -> None:
        self.name, self.call, self.said = name, call, said


def net() -> thalweg.FlowNetwork:
    """Of two branches, with classes; no weight is zero."""
    network = thalweg.compose(backbone=DIT, refiner="plain", branches=2, facts=FACTS).eval()
    for number, weight in enumerate(network.parameters()):
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(number))
    return network


def blind() -> thalweg.FlowNetwork:
    """Unconditional."""
    return thalweg.compose(backbone=DIT, facts=thalweg.Facts(shape=(4, 8, 8)))


def reading() -> thalweg.FlowNetwork:
    """Of captions."""
    return thalweg.compose(backbone=MMDIT, facts=thalweg.Facts(shape=(4, 8, 8), text=(5, 6)))


def labelled(*labels: Any, **options: Any) -> thalweg.Condition:
    """A condition of these labels."""
    return thalweg.Condition(torch.tensor(labels, **options))


def captions(count: int = 2, length: int = 5, width: int = 6) -> Text:
    """Encoded captions."""
    tokens, mask = torch.randn(count, length, width), torch.ones(count, length, dtype=torch.bool)
    return Text(tokens, mask, torch.zeros(length, width), torch.arange(length) < 1)


def heun_config(steps: Any) -> Any:
    """A config as Python makes it, which looks at no type."""
    try:
        return thalweg.registry().config_class("sampler", "heun")(steps=steps)
    except TypeError:
        return {"type": "heun", "steps": steps}


def guidance_config() -> Any:
    """Of another kind than a sampler."""
    return thalweg.registry().config_class("guidance", "cfg")()


def dit_class() -> Any:
    """The config class of the backbone."""
    return thalweg.registry().config_class("backbone", "dit")
