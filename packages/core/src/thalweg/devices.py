"""Devices that can be computed on here."""

from typing import Any

import torch

from thalweg.arguments import described
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
