"""Any network of timm's as a teacher."""

from collections.abc import Mapping
from typing import Any

import attrs
from attrs.validators import matches_re
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.config import secret_field, url_field
from thalweg.errors import ConfigError
from thalweg.facts import Facts, StoredFeatures
from thalweg.sampling import SamplingPrecision
from thalweg.storage import Location
from thalweg.vision.timm_models import load_exactly, vision_model
from thalweg.weights import read_weights
from thalweg_backbones.teachers.frozen import RESIZE, FrozenTeacher, Look, as_map
from thalweg_backbones.teachers.stored import check_stored
from thalweg_backbones.teachers.vit import DISTRIBUTION


@attrs.frozen
class TimmTeacherConfig:
    """A network of timm's: patch tokens of a vision transformer, the last map of features of any other.

    Attributes:
        model: its name, such as ``convnext_tiny``.
        weights: a ``.safetensors`` or ``.pth`` file with its tensors, a path or a URL.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is the former where
            the device computes in bfloat16 itself.
    """

    model: str = attrs.field(validator=matches_re(r"[\w.\-]+"))
    weights: str = url_field()
    storage_options: dict[str, Any] = secret_field()
    sha256: str = ""
    precision: SamplingPrecision = "auto"

    @property
    def name(self) -> str:
        """``timm-`` and the network's name."""
        return f"timm-{self.model}"

    def check_stored(self, stored: StoredFeatures) -> None:
        """Compare stored features with what this teacher would see.

        Raises:
            DataError: if another one has seen them.
        """
        check_stored(self.name, stored, self._described, self.sha256, self._place)

    def build(self, facts: Facts) -> FrozenTeacher:  # noqa: ARG002 - images of any size
        """Load it.

        Raises:
            PluginError: if timm is not installed.
            ConfigError: if timm knows no such network, or it gives no map of features.
            DataError: if the weights are missing, others than expected, or of another network.
        """
        what = f"timm's {self.model}"
        model: Any = _network(self.model)
        stages = getattr(model, "feature_info", None)
        if not stages or "reduction" not in stages[-1]:
            raise ConfigError(f"{what} does not say how large its patches are; choose another teacher")
        patch = int(stages[-1]["reduction"])
        source = f"https://huggingface.co/timm, where {self.model} is"
        weights = read_weights(self._place, what, source, self.sha256)
        head = model.pretrained_cfg.get("classifier") or ()
        heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
        tensors = {key: one for key, one in weights.tensors.items() if not key.startswith(heads)}
        load_exactly(model, tensors, what, self._place)
        return FrozenTeacher(
            self.name,
            {**self._described, "sha256": weights.sha256},
            model,
            _look(model, patch),
            width=model.num_features,
            patch=patch,
            normalisation=(tuple(model.pretrained_cfg["mean"]), tuple(model.pretrained_cfg["std"])),
            precision=self.precision,
        )

    @property
    def _described(self) -> Mapping[str, Any]:
        return {"type": "timm", "model": self.model, "resize": RESIZE}

    @property
    def _place(self) -> Location:
        return Location(self.weights, self.storage_options)


def _network(name: str) -> nn.Module:
    try:
        # Vision transformers take images of any size if they are told that some will come.
        return vision_model(name, DISTRIBUTION, num_classes=0, dynamic_img_size=True)
    except TypeError:
        return vision_model(name, DISTRIBUTION, num_classes=0)


def _look(model: Any, patch: int) -> Look:
    def look(x_N3HW: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N h w F"]:
        seen: Tensor = model.forward_features(x_N3HW)
        if seen.dim() == 3:
            height, width = x_N3HW.shape[2:]
            return as_map(seen[:, getattr(model, "num_prefix_tokens", 0) :], (height, width), patch)
        return seen if getattr(model, "output_fmt", "NCHW") == "NHWC" else seen.permute(0, 2, 3, 1)

    return look
