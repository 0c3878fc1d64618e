"""Floating-point operations of what runs on the meta device, fast where layers repeat."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_PLAIN = (bool, int, float, torch.dtype, torch.device, torch.layout, torch.memory_format)


class _Like(NamedTuple):
    """What a tensor on meta is: nothing else of it can matter to an operation without data."""

    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype


class FlopCounter(TorchDispatchMode):
    """Counts inside, by torch's own formulas: multiply-adds as two, of products and convolutions.

    An operation that was met before with tensors of the same shapes is not worked out again, as torch does
    so in Python on the meta device, which is slow: layers of one kind cost little after the first. Inside
    there are no gradients.

    Attributes:
        total: operations so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0
        self._seen: dict[Any, tuple[Any, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation, or remember it."""
        kwargs = kwargs or {}
        key = _key(func, args, kwargs)
        if key is not None and key in self._seen:
            described, flop = self._seen[key]
            self.total += flop
            return _made(described)
        count = flop_registry.get(func._overloadpacket)
        if count is None and func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        flop = 0 if count is None else int(count(*args, **kwargs, out_val=result))
        self.total += flop
        if key is not None:
            described = _described(result)
            if described is not NotImplemented:
                self._seen[key] = described, flop
        return result


def _key(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operation's result depends on; None where it may change what it is given."""
    if func._schema.is_mutable:
        return None
    given, named = _described(args), _described(tuple(kwargs.items()))
    return None if given is NotImplemented or named is NotImplemented else (func, given, named)


def _described(one: Any) -> Any:
    """Hashable values for what may stand in an operation's arguments; NotImplemented for anything else."""
    if isinstance(one, Tensor):
        if one.device.type != "meta" or one.layout != torch.strided:
            return NotImplemented
        return _Like(one.shape, one.stride(), one.dtype)
    if isinstance(one, tuple | list):
        several = tuple(map(_described, one))
        return NotImplemented if any(part is NotImplemented for part in several) else (type(one), several)
    if one is None or isinstance(one, str):
        return one
    # True, 1 and 1.0 are one key of a dict, and give other types.
    return (type(one), one) if isinstance(one, _PLAIN) else NotImplemented


def _made(described: Any) -> Any:
    if isinstance(described, _Like):
        return torch.empty_strided(described.shape, described.strides, dtype=described.dtype, device="meta")
    if isinstance(described, tuple):
        kind, value = described
        return kind(map(_made, value)) if kind in (tuple, list) else value
    return described
