"""Any network of timm's."""

from collections.abc import Mapping
from typing import Any

import attrs
from attrs.validators import ge, matches_re
from torch import Tensor

from thalweg.config import url_field
from thalweg.facts import Facts
from thalweg_backbones.foreign.weights import read_weights
from thalweg_backbones.vision.encoder import FileEncoderConfig, FrozenEncoder, as_map
from thalweg_backbones.vision.timm_models import load_exactly, vision_model


@attrs.frozen
class TimmConfig(FileEncoderConfig):
    """A network of timm's. Pooled features are what its head would read; there are logits where the file
    holds the classifier too. Patch tokens are those of a vision transformer, or the last map of any other
    network.

    Attributes:
        model: its name, such as ``convnext_tiny``.
        weights: a ``.safetensors`` or ``.pth`` file with its tensors, a path or a URL.
        side: for pooled features images are resized to this many pixels square; 0 takes the network's size.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how its SHA-256 must begin, if it is to be checked.
        precision: of patch tokens: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is
            the former where the device computes in bfloat16 itself. All else is computed in float32.
    """

    model: str = attrs.field(validator=matches_re(r"[\w.\-]+"))
    weights: str = url_field()
    side: int = attrs.field(default=0, validator=ge(0))

    @property
    def name(self) -> str:
        """``timm-`` and the network's name."""
        return f"timm-{self.model}"

    @property
    def described(self) -> Mapping[str, Any]:
        """Type and model."""
        return {"type": "timm", "model": self.model}

    def build(self, _facts: Facts) -> "TimmEncoder":
        """Load it.

        Raises:
            PluginError: if timm is not installed.
            ConfigError: if timm knows no such network.
            DataError: if the weights are missing, others than expected, or of another network.
        """
        what, source = f"timm's {self.model}", f"https://huggingface.co/timm, where {self.model} is"
        model = _network(self.model, 0)
        weights = read_weights(self.place, what, source, self.sha256)
        head = model.pretrained_cfg.get("classifier") or ()
        heads = tuple(f"{name}." for name in ([head] if isinstance(head, str) else head))
        classifier = weights.tensors.get(f"{head}.weight") if isinstance(head, str) else None
        classes = 0 if classifier is None else len(classifier)
        if classes:
            model = _network(self.model, classes)
        tensors = {key: one for key, one in weights.tensors.items() if classes or not key.startswith(heads)}
        load_exactly(model, tensors, what, self.place)
        return TimmEncoder(self, model, weights.sha256, classes)


class TimmEncoder(FrozenEncoder):
    """The encoder.

    Args:
        config: that it is built from.
        model: the network.
        sha256: of its weights.
        classes: number of classes it distinguishes; 0 for none.
    """

    def __init__(self, config: TimmConfig, model: Any, sha256: str, classes: int) -> None:
        about, stages = model.pretrained_cfg, getattr(model, "feature_info", None)
        patch = int(stages[-1].get("reduction", 0)) if stages else 0
        super().__init__(
            config,
            model,
            sha256,
            title=f"timm's {config.model}",
            label=f"{config.model}_{config.side}px" if config.side else config.model,
            width=model.num_features,
            patch=patch,
            side=config.side or int(about["input_size"][-1]),
            normalisation=(tuple(about["mean"]), tuple(about["std"])),
        )
        self._classes = classes
        offers = {"pooled": True, "logits": bool(classes), "patches": bool(patch)}
        self.offers = frozenset(offer for offer, there in offers.items() if there)

    def _pooled(self, x_N3HW: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.model.forward_features(x_N3HW)
        logits_NK = self.model.forward_head(found) if self._classes else None
        return self.model.forward_head(found, pre_logits=True), logits_NK

    def _map(self, x_N3HW: Tensor) -> Tensor:
        found: Tensor = self.model.forward_features(x_N3HW)
        if found.dim() == 3:
            return as_map(found[:, getattr(self.model, "num_prefix_tokens", 0) :], x_N3HW, self.patch)
        return found if getattr(self.model, "output_fmt", "NCHW") == "NHWC" else found.permute(0, 2, 3, 1)


def _network(name: str, classes: int) -> Any:
    try:
        # Vision transformers take images of any size if that is stated beforehand.
        return vision_model(name, num_classes=classes, dynamic_img_size=True)
    except TypeError:
        return vision_model(name, num_classes=classes)
