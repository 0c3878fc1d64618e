"""Devices that can be computed on here, and how exactly."""

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from thalweg.arguments import PROCESSES, described
from thalweg.errors import ConfigError


def usable_device(device: Any) -> torch.device:
    """A device by name or as it is, once it has answered.

    Raises:
        ConfigError: there is no such device, or it cannot be used here.
    """
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    # What a build without the device raises differs from one to the next.
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = "no name of a device" if isinstance(error, TypeError) else str(error).splitlines()[0]
        raise ConfigError(f"the device {described(device)} cannot be used here: {reason}") from error


def devices_of(device: str, processes: int | str = 1) -> list[str]:
    """The device of each of several processes.

    Args:
        device: ``cpu``, ``cuda``, ``mps`` or another that torch knows; one of several, such as ``cuda:1``,
            which all share; or ``auto``, the best there is.
        processes: how many, on accelerators one each; those on the processor share it out. ``auto``: one for
            each accelerator, or one on the processor.

    Raises:
        ConfigError: if there are no such devices.
    """
    best = torch.accelerator.current_accelerator(check_available=True)
    here = (best or torch.device("cpu")) if device == "auto" else usable_device(device)
    place = here.type if here.index is None else str(here)
    single = here.type == "cpu" or here.index is not None
    there = 1 if single else torch.get_device_module(place).device_count()
    if isinstance(processes, str):
        if processes != "auto" and not (processes.isdecimal() and int(processes) >= 1):
            raise ConfigError(
                f"devices is '{processes}'; it must be a number of processes, at least 1, or auto"
            )
        processes = there if processes == "auto" else int(processes)
    count = PROCESSES.check("devices", processes)
    if count > there and not single:
        raise ConfigError(f"{count} devices are requested, but this machine has {there} of {place}")
    return [place] if count == 1 else [place if single else f"{place}:{rank}" for rank in range(count)]


def exact(x: Float[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """In float64, on the CPU where the device has none."""
    return x.cpu().double() if x.device.type == "mps" else x.double()
