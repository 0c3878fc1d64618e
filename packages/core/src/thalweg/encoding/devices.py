"""On which devices how many processes encode."""

import attrs
import torch

from thalweg.errors import ConfigError
from thalweg.integers import PROCESSES


@attrs.frozen
class Share:
    """What one process has of the machine.

    Attributes:
        device: where it encodes, such as ``cuda:1``.
        threads: of the processor, for encoding there and for decoding images.
    """

    device: str
    threads: int


def shares(accelerator: str, devices: str) -> list[Share]:
    """The machine dealt out to processes.

    Args:
        accelerator: ``cpu``, ``cuda``, another that torch knows, or ``auto`` for the best there is.
        devices: how many processes, one a device; several share out the processor. ``auto``: all
            accelerators, or one process on the processor.

    Raises:
        ConfigError: if there are no such devices.
    """
    kind = _kind(accelerator)
    there = 1 if kind == "cpu" else torch.get_device_module(kind).device_count()
    if devices == "auto":
        count = there
    elif devices.isdecimal() and int(devices) >= 1:
        count = int(devices)
        PROCESSES.check("devices", count)
    else:
        raise ConfigError(f"devices is '{devices}'; give a number of processes, at least 1, or auto")
    if kind != "cpu" and count > there:
        raise ConfigError(f"{count} devices are asked for, but this machine has {there} of {kind}")
    threads = max(1, torch.get_num_threads() // count)
    return [Share("cpu" if kind == "cpu" else f"{kind}:{number}", threads) for number in range(count)]


def _kind(accelerator: str) -> str:
    best = torch.accelerator.current_accelerator(check_available=True)
    if accelerator == "auto":
        return "cpu" if best is None else best.type
    if accelerator == "cpu" or (best is not None and best.type == accelerator):
        return accelerator
    there = "cpu" if best is None else f"cpu, {best.type}"
    raise ConfigError(f"there is no accelerator '{accelerator}' here; choose one of auto, {there}")
