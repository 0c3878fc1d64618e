"""timm's networks with weights that lie on this machine."""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.suggestions import one_line


def vision_model(name: str, **options: Any) -> nn.Module:
    """A network of timm's, without weights.

    Raises:
        PluginError: if timm is not installed.
        ConfigError: if it knows no such network.
    """
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError as error:
        raise PluginError(
            "this extractor is a network of timm, which is not installed; pip install 'thalweg-eval[timm]'"
        ) from error
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:8]}*")[:3])
        raise ConfigError(
            f"timm knows no network '{name}'{f'; there are {near}' if near else ''}; see timm.list_models()"
        )
    # The initialisation that the weights replace must not draw from the process-wide generator.
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model.eval().requires_grad_(False)


def load_exactly(model: nn.Module, tensors: dict[str, Tensor], what: str, path: object) -> None:
    """Load weights, none missing, none left over.

    Raises:
        DataError: if they are another network's.
    """
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise DataError(
            f"{path} does not hold the weights of {what}: {one_line(error)}; give the file of that network"
        ) from error
