"""T5's encoder (C. Raffel et al., Exploring the limits of transfer learning with a unified text-to-text
transformer, 2020), and others in its layout."""

from pathlib import Path
from typing import Any

import attrs
from attrs.validators import ge
from torch import Tensor, nn

from thalweg.pretrained import load_folder
from thalweg_backbones.text.folders import EXTRA, check_weights, setting
from thalweg_backbones.text.frozen import FrozenTextEncoder

SOURCE = "https://huggingface.co/google/t5-v1_1-xxl"


@attrs.frozen
class T5Config:
    """T5's encoder: all tokens after its last norm; padding is hidden from it.

    Attributes:
        weights: the folder with config.json, model.safetensors and the tokenizer.
        length: L, tokens of a caption with the one that ends it.
        sha256: how the SHA-256 of model.safetensors must begin; empty takes any.
    """

    weights: str
    length: int = attrs.field(default=128, validator=ge(2))
    sha256: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """L and E.

        Raises:
            DataError: if config.json is missing or states no width.
        """
        return (self.length, setting(Path(self.weights), ("d_model",), "T5", SOURCE))

    def build(self) -> FrozenTextEncoder:
        """Load it.

        Raises:
            PluginError: if transformers is not installed.
            DataError: if the folder is missing, damaged or holds no T5.
        """
        folder = Path(self.weights)
        check_weights(folder, self.sha256, "T5", SOURCE)
        found = load_folder(folder, "T5EncoderModel", "T5", SOURCE, EXTRA, tokenizer="AutoTokenizer")
        return FrozenTextEncoder(
            {"type": "t5", "sha256": found.sha256},
            found.model,
            found.tokenizer,
            _read,
            length=self.length,
            width=self.shape[1],
        )


def _read(model: nn.Module, ids_NL: Tensor, mask_NL: Tensor) -> Tensor:
    output: Any = model(input_ids=ids_NL, attention_mask=mask_NL.long())
    hidden_NLE: Tensor = output.last_hidden_state
    return hidden_NLE
