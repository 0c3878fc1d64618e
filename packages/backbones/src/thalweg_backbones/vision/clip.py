"""CLIP: images and captions in one space (A. Radford et al., Learning transferable visual models from natural
language supervision, 2021)."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import attrs
import torch
from attrs.validators import matches_re
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from thalweg.config import url_field
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.storage import Location, local_copy
from thalweg.transformers_folder import Loaded, load_folder
from thalweg.types import Features
from thalweg_backbones.vision.encoder import EncoderConfig, FrozenEncoder

DEFAULT = "weights:clip-vit-large-patch14"
SOURCE, EXTRA = "https://huggingface.co/openai/clip-vit-large-patch14", "thalweg-backbones[transformers]"
_NORMALISATION = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_WEIGHTS, _SETTINGS, _WORDS = "model.safetensors", "config.json", ("vocab.json", "tokenizer.json")
_SMALL = (_SETTINGS, *_WORDS, "merges.txt", "tokenizer_config.json", "special_tokens_map.json")


@attrs.frozen
class ClipConfig(EncoderConfig):
    """CLIP. Pooled features are the projected embeddings of images, in one space with those of captions;
    patch tokens are those of the last block, not normalised and not projected.

    Attributes:
        folder: as Hugging Face publishes it, with config.json and model.safetensors, and the tokenizer's
            files where captions are to be read; a path, a URL or ``weights:NAME``; by default the fetched
            ``weights:clip-vit-large-patch14``.
        model_id: what the model is called, recorded beside its weights' SHA-256, such as
            ``openai/clip-vit-large-patch14``; the folder's name by default. Patch tokens are stored under
            its last part, ``clip-vit-large-patch14`` by default.
        storage_options: what its storage needs, such as keys; never written anywhere.
        sha256: how the SHA-256 of model.safetensors must begin, if it is to be checked.
        precision: of patch tokens: bf16-mixed evaluates under bfloat16 autocast, 32-true in float32; auto is
            the former where the device computes in bfloat16 itself. All else is computed in float32.
    """

    folder: str = url_field(default=DEFAULT)
    model_id: str = attrs.field(default="", validator=matches_re(r"[\w.\-/]*"))

    @property
    def name(self) -> str:
        """The last part of ``model_id``."""
        return (self.model_id or SOURCE).rpartition("/")[2]

    @property
    def described(self) -> Mapping[str, Any]:
        """Type."""
        return {"type": "clip"}

    @property
    def given(self) -> Location:
        """The file in the folder."""
        return self._place / _WEIGHTS

    def build(self, _facts: Facts) -> "Clip":
        """Load it.

        Raises:
            PluginError: if transformers is not installed.
            DataError: if the folder is missing, damaged or holds no CLIP.
        """
        place = self._place
        with _folder(place, self.sha256) as folder:
            reads = any((folder / name).is_file() for name in _WORDS)
            tokenizer = "CLIPTokenizer" if reads else None
            loaded = load_folder(folder, "CLIPModel", "CLIP", SOURCE, EXTRA, tokenizer, self.sha256)
        return Clip(self, loaded, self.model_id or (place.local.resolve() if place.local else place).name)

    @property
    def _place(self) -> Location:
        return Location(self.folder, self.storage_options)


class Clip(FrozenEncoder):
    """The encoder.

    Args:
        config: that it is built from.
        loaded: both towers, and the tokenizer of captions if it is there.
        model: what the model is called.
    """

    crop: ClassVar[bool] = True

    def __init__(self, config: ClipConfig, loaded: Loaded, model: str) -> None:
        about: Any = loaded.model.config
        super().__init__(
            config,
            loaded.model,
            loaded.sha256,
            title=f"CLIP {model}",
            label="clip",
            width=about.vision_config.hidden_size,
            patch=about.vision_config.patch_size,
            side=about.vision_config.image_size,
            normalisation=_NORMALISATION,
            described={"type": "clip", "model": model},
        )
        self._tokenizer, self._length = loaded.tokenizer, about.text_config.max_position_embeddings
        if loaded.tokenizer is not None:
            self.offers |= {"captions"}

    def number_name(self, number: str) -> str:
        """``clip_score``, ``fd_clip`` and its like; the model is in the identity."""
        return number if number == "clip_score" else super().number_name(number)

    @torch.no_grad()
    def forward(
        self, images: UInt8[Tensor, "N channels height width"], captions: Sequence[str] | None = None
    ) -> Features:
        """Projected embeddings of images 0..255, and of their captions if given, neither normalised.

        Raises:
            DataError: for anything but bytes of 1 or 3 channels, or not one caption per image.
        """
        if captions is not None and len(captions) != len(images):
            raise DataError(f"there are {len(images)} images but {len(captions)} captions; give one each")
        features = super().forward(images)
        return (
            features if captions is None else attrs.evolve(features, captions=self.encode_captions(captions))
        )

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> Float[Tensor, "N F"]:
        """Projected embeddings of captions, cut at the model's length.

        Raises:
            DataError: if the folder held no tokenizer.
        """
        if self._tokenizer is None:
            raise DataError(f"{self.title} has no tokenizer; get its files from {SOURCE} into its folder")
        tokens = self._tokenizer(
            list(captions), padding=True, truncation=True, max_length=self._length, return_tensors="pt"
        ).to(self.mean.device)
        found: Tensor = self.model.get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return found.float().cpu()

    def _pooled(self, x_N3HW: Tensor) -> tuple[Tensor, None]:
        return self.model.get_image_features(pixel_values=x_N3HW).pooler_output, None

    def _map(self, x_N3HW: Tensor) -> Tensor:
        tower = self.model.vision_model
        patches_NDhw = tower.embeddings.patch_embedding(x_N3HW)
        class_N1D = tower.embeddings.class_embedding.expand(len(x_N3HW), 1, -1)
        height, width = patches_NDhw.shape[2:]
        positions = _positions(tower.embeddings.position_embedding.weight, (height, width))
        tokens_NTD = torch.cat([class_N1D, patches_NDhw.flatten(2).mT], 1) + positions
        hidden_NTD = tower.encoder(inputs_embeds=tower.pre_layrnorm(tokens_NTD)).last_hidden_state
        found: Tensor = hidden_NTD[:, 1:].unflatten(1, (height, width))
        return found


def _positions(weight: Float[Tensor, "T D"], grid: tuple[int, int]) -> Float[Tensor, "U D"]:
    """Positions of the class token and of a grid of patches: bicubic with antialiasing, as REPA's."""
    side = round((len(weight) - 1) ** 0.5)
    if grid == (side, side):
        return weight
    grid_1Dhw = weight[1:].float().unflatten(0, (side, side)).permute(2, 0, 1)[None]
    resized = functional.interpolate(grid_1Dhw, grid, mode="bicubic", antialias=True)
    return torch.cat([weight[:1], resized[0].flatten(1).mT])


@contextmanager
def _folder(place: Location, expected: str) -> Iterator[Path]:
    """The folder on this machine, for as long as the context lasts; from a URL, what of it is needed."""
    if place.local is not None:
        yield place.local
        return
    with tempfile.TemporaryDirectory() as name, local_copy(place / _WEIGHTS, expected) as weights:
        folder = Path(name)
        (folder / _WEIGHTS).symlink_to(weights)
        for file in (place / one for one in _SMALL):
            if file.exists():
                file.download(folder / file.name)
        yield folder
