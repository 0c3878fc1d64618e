"""Any network of timm as an extractor."""

from typing import Any

import attrs
import torch
from attrs.validators import ge, matches_re
from jaxtyping import UInt8
from torch import Tensor, nn

from thalweg.config import url_field
from thalweg.facts import Facts
from thalweg.storage import Location
from thalweg.types import Features
from thalweg.vision.pixels import normalised
from thalweg.vision.timm_models import load_exactly, vision_model
from thalweg.weights import read_weights
from thalweg_eval.naming import qualified
from thalweg_eval.pixels import PIL_BICUBIC, pil_bicubic


@attrs.frozen
class TimmConfig:
    """A network of timm with weights that lie on this machine: what its head would read, pooled.

    Where the file holds the classifier too, there are logits.

    Attributes:
        model: its name, such as ``convnext_tiny``.
        weights: a ``.safetensors`` or ``.pth`` file with its tensors.
        side: images are resized to this many pixels square; 0 takes the network's own size.
        sha256: how the file's SHA-256 must begin, if it is to be checked.
    """

    model: str = attrs.field(validator=matches_re(r"[\w.\-]+"))
    weights: str = url_field()
    side: int = attrs.field(default=0, validator=ge(0))
    sha256: str = ""

    def build(self, facts: Facts) -> "TimmModel":  # noqa: ARG002 - images of any size
        """The extractor.

        Raises:
            PluginError: if timm is not installed.
            ConfigError: if it knows no such network.
            DataError: if the weights are missing, others than expected, or of another network.
        """
        path = Location(self.weights)
        source = f"https://huggingface.co/timm, where {self.model} is"
        weights = read_weights(path, f"timm's {self.model}", source, self.sha256)
        bare = vision_model(self.model, "thalweg-eval", num_classes=0)
        classes = _classes(bare, weights.tensors)
        model = vision_model(self.model, "thalweg-eval", num_classes=classes) if classes else bare
        load_exactly(model, weights.tensors, f"timm's {self.model}", path)
        return TimmModel(model, self, weights.sha256, classes)


class TimmModel(nn.Module):
    """The extractor.

    Args:
        model: the network.
        config: its name and the side.
        sha256: of its weights.
        classes: number of classes it tells apart; 0 for none.
    """

    labels_known = False
    reads_captions = False

    def __init__(self, model: nn.Module, config: TimmConfig, sha256: str, classes: int) -> None:
        super().__init__()
        self.model: Any = model
        self._classes = classes
        about: Any = self.model.pretrained_cfg
        self._mean, self._std = tuple(about["mean"]), tuple(about["std"])
        self._side = config.side or int(about["input_size"][-1])
        self._short = config.model if not config.side else f"{config.model}_{config.side}px"
        self.name = f"timm's {config.model}"
        self.identity = {
            "type": "timm",
            "model": config.model,
            "weights": sha256,
            "resize": PIL_BICUBIC.format(side=self._side),
            "precision": "float32",
        }

    def number_name(self, number: str) -> str:
        """``fd_convnext_tiny`` and its like."""
        return qualified(number, self._short)

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N channels height width"]) -> Features:
        """Features of images 0..255.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels.
        """
        device = next(self.model.parameters()).device
        x = normalised(pil_bicubic(images, self._side), self._mean, self._std, device)
        seen = self.model.forward_features(x)
        logits = self.model.forward_head(seen).float().cpu() if self._classes else None
        return Features(pooled=self.model.forward_head(seen, pre_logits=True).float().cpu(), logits=logits)


def _classes(model: Any, tensors: dict[str, Tensor]) -> int:
    """Rows of the classifier in the file; 0 if it holds none."""
    name = model.pretrained_cfg.get("classifier")
    found = tensors.get(f"{name}.weight") if isinstance(name, str) else None
    return 0 if found is None else len(found)
