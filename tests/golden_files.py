"""Reads the reference outputs under tests/golden."""

import json
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors import safe_open
from torch import Tensor

from thalweg.import_options import ImportOptions
from thalweg.types import Condition

FOLDER = Path(__file__).parent / "golden"


@attrs.frozen(eq=False)
class Golden:
    """One file: weights under public names, inputs and expected outputs, and its config."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def weights(self) -> dict[str, Tensor]:
        return {
            name.removeprefix("weights."): tensor
            for name, tensor in self.tensors.items()
            if name.startswith("weights.")
        }

    @property
    def stated(self) -> ImportOptions:
        """What has to be stated beside the weights, as options."""
        ends = self.config.get("df_idxs")
        return ImportOptions(
            heads=self.config["num_heads"],
            path="linear",
            prediction="velocity",
            branches_at=ends,
            clamp=None if ends is None else "ssl_align" in self.config,
        )

    @property
    def options(self) -> dict[str, Any]:
        """The same as ``thalweg_backbones.import_weights`` takes it."""
        return attrs.asdict(self.stated, filter=lambda field, value: field.name != "arguments")

    def stacked(self, name: str) -> Tensor:
        """``name.0``, ``name.1``, ... in one tensor."""
        count = sum(key.startswith(f"{name}.") for key in self.tensors)
        return torch.stack([self.tensors[f"{name}.{index}"] for index in range(count)])

    def condition(self, name: str) -> Condition:
        """Labels as the public implementations write them: the null class is the one past the last."""
        labels, null = self.tensors[name], self.config["num_classes"]
        return Condition(labels.clamp(max=null - 1), labels == null)


def golden(name: str) -> Golden:
    with safe_open(FOLDER / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
        return Golden(json.loads(file.metadata()["config"]), tensors)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())
