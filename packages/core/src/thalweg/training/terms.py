"""The terms of a loss: what their names may be, when they end, and what an objective may answer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from thalweg.arguments import described
from thalweg.errors import ConfigError, PluginError
from thalweg.protocols import Objective

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TAKEN = frozenset(
    ("loss", "grad_norm", "step", "lr", "seconds", "images_per_second", "skipped", "replaced", "validation")
)
"""Numbers that a line of metrics holds besides."""


def check_terms(objectives: Mapping[str, Objective], steps: int | None = None) -> None:
    """Check that there is a loss to the end, and that its terms have names of their own.

    Args:
        objectives: by the name that their numbers bear.
        steps: of the run; None where it is not known.

    Raises:
        ConfigError: if not.
        PluginError: if a weight is no number, or hidden states are asked for otherwise than by depths.
    """
    if not objectives and steps is not None:
        raise ConfigError("there are no objectives, so nothing can be trained; name one, such as velocity")
    for name, objective in objectives.items():
        if name in _TAKEN or not _NAME.fullmatch(name):
            reason = (
                "which another number of metrics.jsonl is called" if name in _TAKEN else "which is no name"
            )
            raise ConfigError(
                f"an objective is called {name!r}, {reason}; call it by other letters, digits, dashes and "
                f"underscores, and state its kind by type"
            )
        weight: Any = objective.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float | Tensor):
            raise PluginError(f"the weight of objectives.{name} is {described(weight)}; give it a number")
        hidden: Any = getattr(objective, "hidden", ())
        if not isinstance(hidden, Sequence) or not all(type(depth) is int for depth in hidden):
            raise PluginError(
                f"objectives.{name} wants hidden = {described(hidden)}; give it numbers of blocks, as in (2,)"
            )
    ends = [getattr(one, "stop_after", None) for one in objectives.values()]
    last = max((one for one in ends if one is not None), default=0)
    if steps is not None and None not in ends and last < steps:
        raise ConfigError(
            f"all objectives have stopped after step {last} and training.steps is {steps}, so nothing would "
            "be trained from there on; leave out one's stop_after, or do fewer steps"
        )


def total_of(name: str, objective: Objective, value: Any, like: Tensor) -> Tensor:
    """What an objective says of a batch, as one number.

    Args:
        name: of the objective.
        objective: which is a loss of the batch if it says so.
        value: what it answered.
        like: samples of the batch, on their device.

    Raises:
        PluginError: if that is no loss of each sample, nor one of the batch where it may be.
    """
    count = len(like)
    total: Any = getattr(value, "total", None)
    parts: Any = getattr(value, "parts", {})
    if not isinstance(total, Tensor):
        found = described(value) if total is None else f"a total that is {described(total)}"
        raise PluginError(
            f"objectives.{name} answers {found}; return thalweg.ObjectiveValue(total) with a tensor of "
            f"{count} losses, one a sample"
        )
    of_batch = bool(getattr(objective, "of_batch", False))
    if tuple(total.shape) != (count,) and not (of_batch and total.dim() == 0):
        wanted = "one number, or one a sample" if of_batch else "a loss of each sample"
        advice = "" if of_batch else ", or state of_batch = True if it is a loss of the batch"
        raise PluginError(
            f"the total of objectives.{name} has shape {tuple(total.shape)}; give {wanted}, shape "
            f"({count},){advice}"
        )
    if total.device != like.device:
        raise PluginError(
            f"the total of objectives.{name} is on {total.device} and the batch on {like.device}; compute it "
            "where the batch is"
        )
    for part, number in parts.items():
        if not isinstance(number, Tensor) or number.dim():
            found = f"of shape {tuple(number.shape)}" if isinstance(number, Tensor) else described(number)
            raise PluginError(
                f"the part {part!r} of objectives.{name} is {found}; give a tensor with one number, such as "
                "a mean"
            )
    return total.float().mean()
