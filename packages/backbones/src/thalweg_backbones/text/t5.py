"""T5's encoder (C. Raffel et al., Exploring the limits of transfer learning with a unified text-to-text
transformer, 2020), and others in its layout."""

import attrs
from attrs.validators import and_, ge, le

from thalweg.storage.places import folder_at
from thalweg_backbones.text.folders import encoder_in, masked, setting
from thalweg_backbones.text.frozen import FrozenTextEncoder

SOURCE = "https://huggingface.co/google/t5-v1_1-xxl"


@attrs.frozen
class T5Config:
    """T5's encoder: all tokens after its last norm; padding is hidden from it.

    Attributes:
        weights: the folder with config.json, model.safetensors and the tokenizer: a path or ``weights:NAME``;
            by default the fetched ``weights:t5-v1_1-xxl``.
        length: L, tokens of a caption with the one that ends it.
        sha256: how the SHA-256 of model.safetensors must begin; empty takes any.
    """

    weights: str = "weights:t5-v1_1-xxl"
    length: int = attrs.field(default=128, validator=and_(ge(2), le(4_096)))
    sha256: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """L and E.

        Raises:
            DataError: if config.json is missing or states no width.
        """
        return (self.length, setting(folder_at(self.weights), ("d_model",), "T5", SOURCE))

    def build(self) -> FrozenTextEncoder:
        """Load it.

        Raises:
            PluginError: if transformers is not installed.
            DataError: if the folder is missing, damaged or holds no T5.
        """
        return encoder_in(
            folder_at(self.weights),
            "t5",
            ("T5EncoderModel", "AutoTokenizer"),
            "T5",
            SOURCE,
            masked,
            shape=self.shape,
            sha256=self.sha256,
        )
