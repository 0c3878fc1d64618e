"""A network in memory that is judged: looked at before it is asked, and what passports say of it."""

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import nn

from thalweg.arguments import described
from thalweg.config import plain
from thalweg.errors import ConfigError, DataError
from thalweg.evaluation.fingerprints import (
    check_filed,
    code_of,
    modules_of,
    state_of,
    tensors_of,
)
from thalweg.evaluation.own import Own
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.network_field import VelocityNetwork
from thalweg.objects import OBJECT, object_name
from thalweg.tensor_files import tensors_sha256


@attrs.frozen(eq=False)
class HeldNetwork:
    """A network of this process, as :class:`thalweg.evaluation.models.Model` is one on disk.

    Attributes:
        network: the network.
        sha256: of its tensors: the digest that :func:`thalweg.save` states of them.
        identity: what it is, in plain values: that digest, its class, composition and path, and the SHA-256
            of its ``code``, which is the source of its modules' classes as far as it can be read, with their
            plain attributes. An evaluation that was interrupted goes on with the same network only.
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
        modules = [self.network] if isinstance(self.network, nn.Module) else modules_of(self.network).values()
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
    tensors = tensors_of(network)
    check_filed(tensors, "the network")
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
        "class": object_name(network),
        "composition": plain(dict(composition)) if isinstance(composition, Mapping) else None,
        **_path_of(network),
        "code": code_of(network),
    }
    return HeldNetwork(network, digest, identity)


def _path_of(network: VelocityNetwork) -> dict[str, Any]:
    """The path that its score is taken from, which may be another than its composition names."""
    path = getattr(network, "interpolant", None)
    if not isinstance(path, Interpolant):
        return {}
    made = {OBJECT: str(path), "state": state_of(path.schedule)}
    return {"interpolant": path.name or made}
