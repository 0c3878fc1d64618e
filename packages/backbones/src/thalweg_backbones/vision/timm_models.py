"""timm's networks, with weights of our choice."""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.suggestions import one_line


def timm_module(name: str) -> Any:
    """timm or a module of it.

    Args:
        name: such as ``timm.layers``.

    Raises:
        PluginError: if timm is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PluginError(
            "this needs timm, which is not installed; pip install 'thalweg-backbones[timm]'"
        ) from error


def vision_model(name: str, **options: Any) -> nn.Module:
    """A network of timm's, without weights.

    Args:
        name: as timm calls it.
        options: of ``timm.create_model``.

    Raises:
        PluginError: if timm is not installed.
        ConfigError: if it knows no such network.
    """
    timm = timm_module("timm")
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:8]}*")[:3])
        raise ConfigError(
            f"timm knows no network '{name}'{f'; there are {near}' if near else ''}; see timm.list_models()"
        )
    # The initialisation that the weights replace must not draw from the process-wide generator.
    with torch.random.fork_rng(devices=[]):
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model.eval().requires_grad_(False)


def load_exactly(model: nn.Module, tensors: Mapping[str, Tensor], what: str, path: object) -> None:
    """Load weights, none missing, none left over.

    Raises:
        DataError: if they are another network's.
    """
    try:
        # A network on the meta device takes the tensors themselves.
        model.load_state_dict(tensors, assign=any(one.is_meta for one in model.parameters()))
    except RuntimeError as error:
        raise DataError(
            f"{path} does not hold the weights of {what}: {one_line(error)}; give the file of that network"
        ) from error
