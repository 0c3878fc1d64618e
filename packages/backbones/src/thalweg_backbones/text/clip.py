"""CLIP's text tower (A. Radford et al., Learning transferable visual models from natural language
supervision, 2021), as Stable Diffusion and REPA condition on it."""

from typing import Any

import attrs
from attrs.validators import and_, ge, le
from torch import Tensor, nn

from thalweg.storage.places import folder_at
from thalweg_backbones.text.folders import encoder_in, setting
from thalweg_backbones.text.frozen import FrozenTextEncoder

SOURCE = "https://huggingface.co/openai/clip-vit-large-patch14"


@attrs.frozen
class ClipTextConfig:
    """CLIP's text tower: all tokens after its last norm, 77 of them, 768 wide in ViT-L/14.

    It is causal and is shown the padding as it is, so that a token does not depend on what follows it; the
    mask says which tokens are the caption's, up to and with the one that ends it.

    Attributes:
        weights: the folder with config.json, model.safetensors and the tokenizer, of the whole CLIP or of
            its text tower: a path or ``weights:NAME``; by default the fetched
            ``weights:clip-vit-large-patch14``.
        length: L, tokens of a caption with the two special ones.
        sha256: how the SHA-256 of model.safetensors must begin; empty takes any.
    """

    weights: str = "weights:clip-vit-large-patch14"
    length: int = attrs.field(default=77, validator=and_(ge(2), le(4_096)))
    sha256: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """L and E.

        Raises:
            DataError: if config.json is missing or states no width.
        """
        return (self.length, setting(folder_at(self.weights), ("text_config", "hidden_size"), "CLIP", SOURCE))

    def build(self) -> FrozenTextEncoder:
        """Load it.

        Raises:
            PluginError: if transformers is not installed.
            DataError: if the folder is missing, damaged or holds no CLIP.
        """
        return encoder_in(
            folder_at(self.weights),
            "clip",
            ("CLIPTextModel", "CLIPTokenizer"),
            "CLIP",
            SOURCE,
            _read,
            shape=self.shape,
            sha256=self.sha256,
        )


def _read(model: nn.Module, ids_NL: Tensor, _: Tensor) -> Tensor:
    output: Any = model(input_ids=ids_NL)
    hidden_NLE: Tensor = output.last_hidden_state
    return hidden_NLE
