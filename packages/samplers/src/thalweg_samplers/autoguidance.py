"""Autoguidance: another network, smaller or less trained, is the weak one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from thalweg.arguments import check_instance
from thalweg.config import url_field
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.generation.recording import check_filed, tensors_of
from thalweg.guidance import within
from thalweg.network_field import VelocityNetwork, check_alike
from thalweg.storage import redacted
from thalweg.tensor_files import tensors_sha256
from thalweg.types import ConditionalField, Query
from thalweg_samplers.intervals import Interval, check_interval
from thalweg_samplers.options import checked


class Autoguidance:
    """v = v_w + scale (v - v_w) while low <= t <= high, v elsewhere; v_w is the weak network's velocity.

    Of both the condition is the same, so no condition need be left out (Karras et al. 2024). The weak
    network is evaluated unguided, where and as the main one is, and counted with it.

    Args:
        network: the weak network, or where one is saved: its folder, a run or a checkpoint, a path or a URL.
        scale: 1 leaves the main network's velocity as it is.
        interval: low and high, both included.

    Attributes:
        network: the weak network.

    Raises:
        ConfigError: an option makes no sense, or the network is none.
        DataError: there is no network at that place, or it is damaged.
    """

    def __init__(self, network: Any, scale: float = 2.0, interval: Interval = (0.0, 1.0)) -> None:
        options = checked(AutoguidanceConfig, network="", scale=scale, interval=interval)
        self.scale, self.interval = options.scale, options.interval
        self._saved: Mapping[str, Any] | None = None
        if isinstance(network, str | Path):
            self.network, self._saved = _opened(network)
        else:
            check_instance(
                "network", network, VelocityNetwork, "the weak network, or the place where one is saved"
            )
            check_filed(tensors_of(network), "the weak network")
            self.network = network

    @property
    def identity(self) -> Mapping[str, Any]:
        """The SHA-256 of the weak network's tensors as they are now, and its step where that is known."""
        if self._saved is not None:
            return {"weak": self._saved}
        tensors = tensors_of(self.network)
        return {"weak": {"sha256": tensors_sha256(tensors) if tensors else None, "step": None}}

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field.

        Raises:
            ConfigError: the field is of other data than the weak network, or knows no way to a second one.
        """
        if self.scale == 1:
            return field
        beside = getattr(field, "beside", None)
        if beside is None:
            raise ConfigError(
                "autoguidance evaluates a second network, and the field that it is given offers no way to "
                "one; sample by thalweg.sample, or give the field a method beside(network)"
            )
        weak: ConditionalField = beside(self.network)

        def guided(query: Query) -> Tensor:
            weaker = weak(query)
            return weaker + self.scale * (field(query) - weaker)

        return within(field, guided, self.interval)


@attrs.frozen
class AutoguidanceConfig:
    """Autoguidance by another saved network of the same data.

    Attributes:
        network: the weak one: the folder of a saved network, a run or a checkpoint; a path or a URL.
        scale: 1 is no guidance; larger ones lead further away from what the weak network says.
        interval: low and high between which it acts (0 is data, 1 is noise), both included; both networks
            are evaluated inside, the main one alone outside.
    """

    network: str = url_field()
    scale: float = attrs.field(
        default=2.0, validator=[attrs.validators.ge(0), attrs.validators.lt(float("inf"))]
    )
    interval: Interval = attrs.field(default=(0.0, 1.0), converter=tuple, validator=check_interval)

    def build(self, facts: Facts) -> Autoguidance:
        """Open the weak network.

        Raises:
            ConfigError: it is of other data than the main one.
            DataError: there is none, or it is damaged.
        """
        built = Autoguidance(self.network, self.scale, self.interval)
        check_alike(built.network, facts)
        return built


def _opened(place: str | Path) -> tuple[VelocityNetwork, dict[str, Any]]:
    from thalweg.generation.models import model_at
    from thalweg.loading import load

    # A run continues while it is looked at: one and the same checkpoint is opened and written down.
    model = model_at(place)
    if model is None:
        raise DataError(
            f"{redacted(str(place))} holds no network to guide by; give a saved one, a run or a checkpoint"
        )
    return load(model.path), {"sha256": model.sha256, "step": model.step}
