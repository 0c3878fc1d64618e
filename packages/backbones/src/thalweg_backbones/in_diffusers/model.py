"""A network of ours as a model of diffusers."""

import os
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin

import thalweg
from thalweg.errors import ConfigError
from thalweg.network import FlowNetwork
from thalweg.types import Condition


class NetworkModel(ModelMixin, ConfigMixin):  # type: ignore[misc]  # some of diffusers bears no types
    """A saved network that diffusers loads, moves and saves with a pipeline.

    Args:
        network: ours.
    """

    def __init__(self, network: FlowNetwork) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> "NetworkModel":
        """Open a saved network; of the options only ``torch_dtype`` and ``subfolder`` mean anything here.

        Raises:
            ConfigError: another type than float32 is requested, in which states of samplers are kept.
        """
        folder = Path(pretrained_model_name_or_path) / (options.get("subfolder") or "")
        model: NetworkModel = cls(thalweg.load(folder)).eval()
        if options.get("torch_dtype") not in (None, torch.float32):
            raise ConfigError(
                f"a network of Thalweg is run in float32, not in {options['torch_dtype']}; leave the dtype "
                "out, and call the pipeline under torch.autocast"
            )
        return model

    def save_pretrained(self, save_directory: str | os.PathLike[str], **_: Any) -> None:
        """Save the network as :func:`thalweg.save` does."""
        more: dict[str, Any] = {"sampling": dict(self.network.sampling)} if self.network.sampling else {}
        thalweg.save(Path(save_directory), self.network, **more)

    def forward(self, x: torch.Tensor, t: torch.Tensor, condition: Condition) -> torch.Tensor:
        """The velocity at x and t.

        Args:
            x: (N, *shape).
            t: (N,), 0 for data and 1 for noise.
            condition: labels and captions.
        """
        return self.network.velocity(x, t, condition)
