"""A network's inputs, checked before it runs: shapes and types always, values where that is free.

Shapes that do not fit broadcast more often than they fail, and a failure deep in a backbone says nothing of
its cause. Nothing here waits for a device: values are read of plain tensors on the CPU alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.arguments import described
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.types import Condition, Text

_ROUNDING = 1e-5  # by which a time may miss 0 or 1
_INTEGERS = (torch.int64, torch.int32)


def check_samples(name: str, x: Any, facts: Facts) -> None:
    """Samples (N, ...) of the network's shape, of floating point.

    Raises:
        DataError: they are something else.
    """
    wanted = f"(N, {', '.join(map(str, facts.shape))})"
    _check_tensor(name, x, f"of shape {wanted}")
    if x.dim() != 1 + len(facts.shape) or tuple(x.shape[1:]) != facts.shape:
        raise DataError(f"{name} has the shape {tuple(x.shape)}; the network is built for {wanted}")
    _check_floating(name, x)


def check_times(name: str, times: Any, count: int, branches: int | None = None) -> None:
    """Times from 0 (data) to 1 (noise).

    Args:
        name: of the argument.
        times: what was given for it.
        count: samples.
        branches: k, where there may be a time of each branch and sample; otherwise one a sample.

    Raises:
        DataError: they are something else.
    """
    shape = (count,) if branches is None else (branches, count)
    what = "a time of each sample" if branches is None else "a time of each branch and sample"
    allowed = {shape, (count,)}
    if not isinstance(times, Tensor):
        example = f"torch.full({shape}, 0.5)"
        raise DataError(f"{name} is {described(times)}; give a tensor with {what}, such as {example}")
    if tuple(times.shape) not in allowed:
        also = "" if branches is None else f", or ({count},), one of each sample for all branches"
        raise DataError(f"{name} has the shape {tuple(times.shape)}; it must be {shape}, {what}{also}")
    _check_floating(name, times)
    # Written so that what is no number is outside.
    outside = _first(times, lambda: ~((times >= -_ROUNDING) & (times <= 1 + _ROUNDING)))
    if outside is not None:
        raise DataError(f"{name} holds {outside:.6g}; times run from 0 (data) to 1 (noise)")


def check_condition(condition: Any, facts: Facts, x: Tensor) -> None:
    """What samples ``x`` are conditioned on.

    Raises:
        DataError: it does not fit the samples or the network.
    """
    if not isinstance(condition, Condition):
        raise DataError(
            f"condition is {described(condition)}; give a thalweg.Condition, such as "
            "thalweg.Condition(labels=torch.tensor([3, 7])), or None"
        )
    labels, dropped, text = condition
    if labels is not None:
        _check_labels(labels, facts, x)
    if dropped is not None:
        _check_of("condition.dropped", dropped, (len(x),), torch.bool, "a truth value a sample")
    if text is not None:
        check_text("condition.text", text, facts, len(x))


def check_text(name: str, text: Any, facts: Facts, count: int) -> None:
    """Encoded captions of ``count`` samples.

    Raises:
        DataError: they are none, of another encoder, or the network reads none.
    """
    if facts.text is None:
        raise DataError("captions were given, but the network reads none; leave them out")
    if not isinstance(text, Text):
        raise DataError(
            f"{name} is {described(text)}; give a thalweg.types.Text of captions that the network's text "
            "encoder has read"
        )
    length, width = facts.text
    what = f"{length} tokens of {width} a caption, as the network reads them"
    _check_of(f"{name}.tokens", text.tokens, (count, length, width), None, what)
    _check_of(f"{name}.mask", text.mask, (count, length), torch.bool, "True where there is a token")
    _check_of(f"{name}.empty_tokens", text.empty_tokens, (length, width), None, "the empty caption's")
    _check_of(f"{name}.empty_mask", text.empty_mask, (length,), torch.bool, "the empty caption's")


def check_hidden(hidden: Any, depth: int) -> tuple[int, ...]:
    """The depths after which tokens are kept, in order and each once.

    Raises:
        ConfigError: they are no sequence of integers, or lie outside the network.
    """
    numbers = isinstance(hidden, tuple | list | set | frozenset) and all(type(one) is int for one in hidden)
    if not numbers or any(not 1 <= one <= depth for one in hidden):
        raise ConfigError(
            f"hidden is {described(hidden)}; hidden states can be kept after 1 to {depth} blocks, as by "
            f"hidden=({depth},)"
        )
    return tuple(sorted(set(hidden)))


def explain(error: Exception, own: Tensor | None, inputs: Mapping[str, Tensor | None]) -> DataError | None:
    """What of the inputs made a network fail: they are elsewhere, or computed in another type.

    Only asked once it has failed: autocast, sharding and a backbone's own conversions may all make good what
    looks wrong.

    Args:
        error: what it failed with.
        own: a tensor of the network's own.
        inputs: what it was given, by name.
    """
    given = {name: one for name, one in inputs.items() if one is not None}
    if own is None or isinstance(error, torch.OutOfMemoryError):
        return None
    for name, one in given.items():
        if one.device != own.device:
            return DataError(f"{name} is on {one.device} and the network on {own.device}; move one of them")
    for name, one in given.items():
        if one.is_floating_point() and one.dtype != own.dtype:
            return DataError(f"{name} is {_type(one)} and the network {_type(own)}; convert one of them")
    return None


def _check_labels(labels: Any, facts: Facts, x: Tensor) -> None:
    name, classes = "condition.labels", facts.classes
    if classes is None:
        raise DataError("the network is unconditional and was given labels; leave them out")
    _check_of(name, labels, (len(x),), None, "the class of each sample")
    if labels.dtype not in _INTEGERS:
        raise DataError(f"{name} are {_type(labels)}; classes are integers, of int64 or int32")
    if labels.device != x.device:
        raise DataError(f"{name} are on {labels.device} and the samples on {x.device}; move one of them")
    outside = _first(labels, lambda: (labels < 0) | (labels >= classes))
    if outside is not None:
        raise DataError(
            f"label {outside} lies outside 0..{classes - 1}; "
            f"to hide a label use Condition(labels, dropped) or Condition()"
        )


def _check_of(name: str, found: Any, shape: tuple[int, ...], dtype: torch.dtype | None, what: str) -> None:
    _check_tensor(name, found, f"of shape {shape}, {what}")
    if tuple(found.shape) != shape:
        raise DataError(f"{name} has the shape {tuple(found.shape)}; it must be {shape}, {what}")
    if dtype is not None and found.dtype != dtype:
        raise DataError(f"{name} is {_type(found)}; it must be {str(dtype).removeprefix('torch.')}, {what}")


def _check_tensor(name: str, found: Any, wanted: str) -> None:
    if not isinstance(found, Tensor):
        raise DataError(f"{name} is {described(found)}; give a tensor {wanted}")


def _check_floating(name: str, found: Tensor) -> None:
    if not found.is_floating_point():
        raise DataError(f"{name} is {_type(found)}; it must be of floating point, as by {name}.float()")


def _first(values: Tensor, wrong: Callable[[], Tensor]) -> int | float | None:
    """The first of the values that are wrong, of a plain tensor on the CPU; elsewhere, and under a trace,
    nobody is asked and nothing is computed."""
    if type(values) is not Tensor or values.device.type != "cpu":
        return None
    try:
        mask = wrong()
        return values[mask][0].item() if mask.any() else None
    except RuntimeError:  # vmap decides on no values
        return None


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
