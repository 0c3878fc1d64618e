"""Folders that diffusers' DiffusionPipeline opens: our network, run by our code, inside diffusers."""

import json
from typing import Any

import attrs

from thalweg.documents import text_of
from thalweg.exported import Exported
from thalweg.facts import Facts
from thalweg.saved_network import CALIBRATION, DESCRIPTION, TENSORS, described, refuse_objects
from thalweg.tensor_files import tensors_sha256
from thalweg_backbones.exporters.layout import owned

_NETWORK, _SCHEDULER = "network", "scheduler"
_INDEX = {
    "_class_name": ["pipeline", "ThalwegPipeline"],
    _NETWORK: ["thalweg_backbones.in_diffusers.model", "NetworkModel"],
    _SCHEDULER: ["diffusers", "FlowMatchEulerDiscreteScheduler"],
}
# Without a shift its times are equal steps, as those of our samplers.
_STEPS = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}
_CODE = '''"""The pipeline of this folder, which thalweg-backbones[diffusers] brings."""

from thalweg_backbones.in_diffusers.pipeline import ThalwegPipeline

__all__ = ["ThalwegPipeline"]
'''


@attrs.frozen
class DiffusersPipelineExporterConfig:
    """A folder that diffusers' DiffusionPipeline opens with its own code; the network is saved as ours is."""

    def build(self, _: Facts | None = None) -> "DiffusersPipelineExporter":
        """Build it."""
        return DiffusersPipelineExporter()


class DiffusersPipelineExporter:
    """See :class:`DiffusersPipelineExporterConfig`. Fulfils :class:`thalweg.protocols.Exporter`."""

    suffixes: tuple[str, ...] = ()

    def __call__(self, network: Any) -> Exported:
        """All of the network: heads, refiner, calibration and how its run samples.

        Raises:
            ConfigError: a part of it was made in Python, which no file can make again.
        """
        refuse_objects(network.composition, "a pipeline")
        tensors = owned(network)
        description = {**described(network), "sha256": tensors_sha256(tensors)}
        if network.sampling:
            description["sampling"] = dict(network.sampling)
        if network.calibration is not None:
            description[CALIBRATION] = network.calibration.plain()
        files = {
            "model_index.json": _json(_INDEX),
            "pipeline.py": _CODE,
            f"{_SCHEDULER}/scheduler_config.json": _json(_STEPS),
            f"{_NETWORK}/{DESCRIPTION}": text_of(description, sealed=True),
        }
        return Exported(tensors, place=f"{_NETWORK}/{TENSORS}", files=files)


def _json(table: dict[str, Any]) -> str:
    return json.dumps(table, indent=2) + "\n"
