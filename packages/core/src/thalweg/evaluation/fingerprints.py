"""What tells objects of this process apart: their tensors, what they state in plain values, and their code.

Names say where a class is from, and not whether it is what it was before an interruption. So the source of
the classes counts, as far as it can be read; what hides in other objects that they hold does not.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from thalweg.errors import ConfigError
from thalweg.objects import object_name
from thalweg.tensor_files import FILED, tensors_sha256

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_PLAIN = (bool, int, float, str, type(None))


def tensors_of(part: Any) -> dict[str, Tensor]:
    """All that it computes with, by name: a module's as they are saved; of another object those it holds."""
    if isinstance(part, nn.Module):
        return dict(part.state_dict())
    found = {name: value for name, value in _fields(part) if isinstance(value, Tensor)}
    for name, module in modules_of(part).items():
        found.update({f"{name}.{key}": tensor for key, tensor in module.state_dict().items()})
    return found


def modules_of(part: Any) -> dict[str, nn.Module]:
    """The modules that an object which is none itself holds, by name."""
    return {name: value for name, value in _fields(part) if isinstance(value, nn.Module)}


def code_of(part: Any) -> str:
    """SHA-256 of what an object and its modules state in plain values, and of their source."""
    parts = dict(part.named_modules()) if isinstance(part, nn.Module) else {"": part}
    if not isinstance(part, nn.Module):
        for name, module in modules_of(part).items():
            parts.update({f"{name}.{key}": below for key, below in module.named_modules()})
    digest, sources = hashlib.sha256(), dict[Any, str]()
    for name, one in sorted(parts.items()):
        kind = one if inspect.isfunction(one) else type(one)
        if kind not in sources:
            sources[kind] = _source(kind)
        stated = sorted((key, repr(value)) for key, value in _fields(one) if _is_stated(key, value))
        stated += sorted((key, _source(value)) for key, value in _functions(one))
        digest.update(repr((name, object_name(one), sources[kind], stated)).encode(errors="replace"))
    return digest.hexdigest()


def state_of(part: Any) -> str:
    """SHA-256 of all of it: :func:`code_of` and :func:`tensors_of`.

    Raises:
        ConfigError: one of its tensors cannot be saved.
    """
    tensors = tensors_of(part)
    check_filed(tensors, object_name(part))
    return hashlib.sha256(f"{code_of(part)} {tensors_sha256(tensors)}".encode()).hexdigest()


def check_filed(tensors: dict[str, Tensor], whose: str) -> None:
    """Make sure that tensors are there and of types that a file can hold.

    Raises:
        ConfigError: naming the first that is not.
    """
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ConfigError(
                f"{whose} has no weights on this machine ('{name}' is on the device meta); build it on "
                "another device, or load it"
            )
        if tensor.dtype not in FILED:
            raise ConfigError(f"'{name}' of {whose} is {tensor.dtype}, which cannot be saved; convert it")


def _source(kind: Any) -> str:
    """A text of a class or function; none of torch's own, whose version is in the passport."""
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        code = getattr(kind, "__code__", None)
        return "" if code is None else repr((code.co_code, code.co_names))


def _functions(part: Any) -> Iterator[tuple[str, Any]]:
    """Functions that an object has of its own: hooks, and a ``forward`` put in place of its class's."""
    yield from ((key, value) for key, value in _fields(part) if inspect.isroutine(value))
    for key in _HOOKS if isinstance(part, nn.Module) else ():
        yield from ((key, hook) for hook in getattr(part, key, {}).values() if inspect.isroutine(hook))


def _is_stated(key: str, value: Any) -> bool:
    if key.startswith("_") or key == "training":  # which is set while it is drawn from
        return False
    return isinstance(value, _PLAIN) or (
        isinstance(value, tuple | list) and all(isinstance(one, _PLAIN) for one in value)
    )


def _fields(part: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(part, "__dict__", {}).items()
    if inspect.isfunction(part):
        yield from inspect.getclosurevars(part).nonlocals.items()
        yield "defaults", part.__defaults__ or ()
    if isinstance(part, functools.partial):
        yield from part.keywords.items()
        yield from ((f"argument {place}", value) for place, value in enumerate(part.args))
        yield "function", object_name(part.func)
    for kind in type(part).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__weakref__", "__dict__") and hasattr(part, name):
                yield name, getattr(part, name)
