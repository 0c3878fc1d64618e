"""A network in memory that is judged: looked at before it is asked, and what passports say of it."""

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from thalweg.arguments import described
from thalweg.config import plain
from thalweg.drawing import VelocityNetwork
from thalweg.errors import ConfigError, DataError
from thalweg.evaluation.own import Own
from thalweg.facts import Facts
from thalweg.tensor_files import FILED, tensors_sha256

_PLAIN = (bool, int, float, str, type(None))


@attrs.frozen(eq=False)
class HeldNetwork:
    """A network of this process, as :class:`thalweg.evaluation.models.Model` is one on disk.

    Attributes:
        network: the network.
        sha256: of its tensors: the digest that :func:`thalweg.importing.save` states of them.
        identity: what it is, in plain values: that digest, its class and composition, and the SHA-256 of its
            ``code``, which is the source of its modules' classes as far as it can be read, with their plain
            attributes. An evaluation that was interrupted goes on with the same network only.
        step: None, since nobody wrote it down.
        data: None, since it belongs to no run.
    """

    network: VelocityNetwork
    sha256: str
    identity: Mapping[str, Any]
    step: None = None
    data: None = None

    def own(self) -> Own:
        """How it is drawn from unless that is stated: what :func:`thalweg.load` found with it."""
        return Own(getattr(self.network, "sampling", None) or {}, "network")

    @property
    def home(self) -> str:
        """The device where its weights are; the CPU of what has none."""
        modules = [self.network] if isinstance(self.network, nn.Module) else _modules(self.network).values()
        found = (tensor.device for module in modules for tensor in module.parameters())
        return str(next(found, torch.device("cpu")))


def held(network: VelocityNetwork) -> HeldNetwork:
    """Look at a network.

    Raises:
        ConfigError: if it states no facts, or its weights are nowhere.
        DataError: if one of its weights is not finite.
    """
    facts: Any = network.facts
    if not isinstance(facts, Facts):
        raise ConfigError(f"the network's facts are {described(facts)}; state them as thalweg.Facts")
    tensors = _tensors(network)
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ConfigError(
                f"the network has no weights on this machine ('{name}' is on the device meta); build it on "
                "another device, or load it"
            )
        if tensor.dtype not in FILED:
            raise ConfigError(f"'{name}' of the network is {tensor.dtype}, which cannot be saved; convert it")
    weights = network.named_parameters() if isinstance(network, nn.Module) else tensors.items()
    for name, tensor in weights:
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DataError(f"'{name}' of the network holds values that are not finite; take earlier weights")
    digest = tensors_sha256(tensors)
    composition = getattr(network, "composition", None)
    identity = {
        "kind": "network",
        "origin": "in memory",
        "checkpoint": digest,
        "step": None,
        "class": _name(type(network)),
        "composition": plain(dict(composition)) if isinstance(composition, Mapping) else None,
        "code": _code(network),
    }
    return HeldNetwork(network, digest, identity)


def _tensors(network: Any) -> dict[str, Tensor]:
    """All that it computes with, by name: a module's as they are saved; of another object those it holds."""
    if isinstance(network, nn.Module):
        return dict(network.state_dict())
    found = {name: value for name, value in _fields(network) if isinstance(value, Tensor)}
    for name, module in _modules(network).items():
        found.update({f"{name}.{key}": tensor for key, tensor in module.state_dict().items()})
    return found


def _code(network: Any) -> str:
    parts = dict(network.named_modules()) if isinstance(network, nn.Module) else {"": network}
    if not isinstance(network, nn.Module):
        for name, module in _modules(network).items():
            parts.update({f"{name}.{key}": part for key, part in module.named_modules()})
    digest, sources = hashlib.sha256(), dict[type, str]()
    for name, part in sorted(parts.items()):
        kind = type(part)
        if kind not in sources:
            sources[kind] = _source(kind)
        attributes = sorted((key, repr(value)) for key, value in _fields(part) if _is_stated(key, value))
        digest.update(repr((name, _name(kind), sources[kind], attributes)).encode(errors="replace"))
    return digest.hexdigest()


def _source(kind: type) -> str:
    """A class's text; none of torch's own, whose version is in the passport, or where there is none."""
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        return ""


def _is_stated(key: str, value: Any) -> bool:
    if key.startswith("_") or key == "training":  # which is set while it is drawn from
        return False
    return isinstance(value, _PLAIN) or (
        isinstance(value, tuple | list) and all(isinstance(one, _PLAIN) for one in value)
    )


def _fields(part: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(part, "__dict__", {}).items()
    for kind in type(part).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__weakref__", "__dict__") and hasattr(part, name):
                yield name, getattr(part, name)


def _modules(network: Any) -> dict[str, nn.Module]:
    return {name: value for name, value in _fields(network) if isinstance(value, nn.Module)}


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
