"""Samplers and guidance for Thalweg, one small file each.

Names are looked up when they are first used: plugins load without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg_samplers.autoguidance import Autoguidance
    from thalweg_samplers.classifier_free import ClassifierFree
    from thalweg_samplers.dopri5 import Dopri5
    from thalweg_samplers.euler import Euler
    from thalweg_samplers.euler_maruyama import EulerMaruyama
    from thalweg_samplers.heun import Heun
    from thalweg_samplers.internal import Internal

__all__ = ["Autoguidance", "ClassifierFree", "Dopri5", "Euler", "EulerMaruyama", "Heun", "Internal"]

_HOMES = {
    "Autoguidance": "autoguidance",
    "ClassifierFree": "classifier_free",
    "Dopri5": "dopri5",
    "Euler": "euler",
    "EulerMaruyama": "euler_maruyama",
    "Heun": "heun",
    "Internal": "internal",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thalweg_samplers' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"thalweg_samplers.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
