"""Bounds on what a description of a network may ask for: by its numbers first, then while it is built.

A description is untrusted. Its size is that of the tensors beside it, so nothing that needs more of them
than there are is built to its end, whosever plugin builds it.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from thalweg.errors import DataError

_DEEPEST = 16
_MOST_VALUES = 10_000
_LONGEST = 10_000  # characters
_LARGEST_INTEGER = 2**20

# What a network registers beyond what it saves: layers that it takes out again, buffers that it makes anew.
_SPARE_TENSORS, _SPARE_ELEMENTS, _SPARE_MODULES = 64, 2**20, 1_000
_BUFFER_ELEMENTS = 2**26  # of positions and the like, which are made anew rather than saved


class OversizedError(DataError):
    """More is described than there is, or than anything of use would take."""


def check_description(description: Mapping[str, Any], elements: int) -> None:
    """Make sure that plain values are small, before anything is made of them.

    Args:
        description: composition and facts.
        elements: of all tensors that are there.

    Raises:
        OversizedError: naming what is too large.
    """
    largest = max(_LARGEST_INTEGER, elements)
    seen = 0
    waiting: list[tuple[Any, int]] = [(description, 0)]
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise OversizedError(f"it has more than {_MOST_VALUES:,} values")
        if depth > _DEEPEST:
            raise OversizedError(f"it is nested deeper than {_DEEPEST} tables")
        if isinstance(value, str) and len(value) > _LONGEST:
            raise OversizedError(f"it has a text of {len(value):,} characters")
        if isinstance(value, int) and abs(value) > largest:
            raise OversizedError(f"it has a number of more than {largest:,}")
        if isinstance(value, Mapping):
            waiting += [(one, depth + 1) for pair in value.items() for one in pair]
        elif isinstance(value, list | tuple):
            waiting += [(one, depth + 1) for one in value]


@contextmanager
def at_most(tensors: int, elements: int) -> Iterator[None]:
    """Stop whatever builds modules in this thread once it has clearly made more than there are tensors.

    Args:
        tensors: that are there.
        elements: of all of them together.

    Raises:
        OversizedError: from inside the building.
    """
    thread = threading.get_ident()
    left = {
        "tensors": 2 * tensors + _SPARE_TENSORS,
        "elements": 2 * elements + _SPARE_ELEMENTS,
        "modules": 8 * tensors + _SPARE_MODULES,
        "buffered": max(_BUFFER_ELEMENTS, 2 * elements),
    }

    def count(name: str, more: int) -> None:
        if threading.get_ident() != thread:
            return
        left[name] -= more
        if left[name] < 0:
            raise OversizedError(
                f"what is described is larger than the {tensors:,} tensors of {elements:,} numbers beside it"
            )

    def parameter(_: nn.Module, __: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            count("tensors", 1)
            count("elements", _numel(value))

    def buffer(_: nn.Module, __: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            count("buffered", _numel(value))

    handles = [
        hooks.register_module_parameter_registration_hook(parameter),
        hooks.register_module_buffer_registration_hook(buffer),
        hooks.register_module_module_registration_hook(lambda *_: count("modules", 1)),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _numel(tensor: torch.Tensor) -> int:
    # Lazy parameters have no shape yet.
    return 0 if nn.parameter.is_lazy(tensor) else tensor.numel()
