"""CLIP as an extractor: images and captions in one space (A. Radford et al., Learning transferable visual
models from natural language supervision, 2021).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.pretrained import load_folder
from thalweg.storage.places import folder_at
from thalweg.types import Features
from thalweg.vision.pixels import CLIP_MEAN, CLIP_STD, normalised
from thalweg_eval.naming import qualified
from thalweg_eval.pixels import PIL_CROP, pil_bicubic

SOURCE, EXTRA = "https://huggingface.co/openai/clip-vit-large-patch14", "thalweg-eval[transformers]"


@attrs.frozen
class ClipConfig:
    """CLIP from a folder on this machine; it reads captions.

    Attributes:
        folder: as Hugging Face publishes it: config.json, model.safetensors, and the tokenizer's files.
        model_id: what the model is called, to be recorded beside its weights' SHA-256, such as
            ``openai/clip-vit-large-patch14``; the folder's name by default.
    """

    folder: str
    model_id: str = ""

    def build(self, facts: Facts) -> "Clip":  # noqa: ARG002 - images of any size
        """The extractor.

        Raises:
            PluginError: if transformers is not installed.
            DataError: if the folder is missing, damaged or holds no CLIP.
        """
        return load_clip(folder_at(self.folder), self.model_id)


class Clip(nn.Module):
    """The extractor.

    Args:
        model: the two towers.
        tokenizer: of captions.
        model_id: what the model is called.
        weights: SHA-256.
    """

    labels_known = False
    reads_captions = True

    def __init__(self, model: nn.Module, tokenizer: Any, model_id: str, weights: str) -> None:
        super().__init__()
        self.model: Any = model
        self._tokenizer = tokenizer
        about: Any = model.config
        self._side: int = about.vision_config.image_size
        self._length: int = about.text_config.max_position_embeddings
        self.name = f"CLIP {model_id}"
        self.identity = {
            "type": "clip",
            "model": model_id,
            "weights": weights,
            "resize": PIL_CROP.format(side=self._side),
            "precision": "float32",
        }

    def number_name(self, number: str) -> str:
        """``clip_score``, ``fd_clip`` and its like; the model is in the identity."""
        return number if number == "clip_score" else qualified(number, "clip")

    @torch.no_grad()
    def forward(
        self,
        images: UInt8[Tensor, "N channels height width"],
        captions: Sequence[str] | None = None,
    ) -> Features:
        """Projected embeddings of images 0..255, and of their captions if given, neither normalised.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels, or not one caption per image.
        """
        if captions is not None and len(captions) != len(images):
            raise DataError(f"there are {len(images)} images but {len(captions)} captions; give one each")
        x = normalised(pil_bicubic(images, self._side, crop=True), CLIP_MEAN, CLIP_STD, self.model.device)
        seen = self.model.get_image_features(pixel_values=x)
        pooled_NF = getattr(seen, "pooler_output", seen)  # before transformers 5, the tensor itself
        return Features(
            pooled=pooled_NF.float().cpu(), captions=None if captions is None else self.read(captions)
        )

    @torch.no_grad()
    def read(self, captions: Sequence[str]) -> Float[Tensor, "N F"]:
        """Projected embeddings of captions, cut at the model's length."""
        tokens = self._tokenizer(
            list(captions), padding=True, truncation=True, max_length=self._length, return_tensors="pt"
        ).to(self.model.device)
        read = self.model.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
        found: Tensor = getattr(read, "pooler_output", read)
        return found.float().cpu()


def load_clip(folder: Path, model_id: str = "") -> Clip:
    """CLIP from a folder as Hugging Face publishes it.

    Raises:
        PluginError: if transformers is not installed.
        DataError: if the folder is missing, damaged or holds no CLIP.
    """
    found = load_folder(folder, "CLIPModel", "CLIP", SOURCE, EXTRA, tokenizer="CLIPTokenizer")
    return Clip(found.model, found.tokenizer, model_id or folder.resolve().name, found.sha256)
