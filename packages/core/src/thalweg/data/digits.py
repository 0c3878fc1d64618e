"""Handwritten digits: 1,797 grey images of 8x8 pixels in 10 classes, which scikit-learn brings along.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import attrs
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.data.pixels import PixelView, to_images
from thalweg.data.split import InMemory, in_two
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.packaged import folder_of

_LEVELS = 16  # a pixel counts the dark dots of a 4x4 cell
_FACTS = Facts(shape=(1, 8, 8), classes=10)


def _rows() -> UInt8[Tensor, "N 65"]:
    """The file as scikit-learn brings it: of each digit its 64 pixels, row by row, and its label."""
    # Read by ourselves: scikit-learn takes a second to import, and every run on digits would wait for it.
    folder = folder_of("sklearn")
    if folder is None:
        raise ConfigError("the digits come with scikit-learn, which is missing; pip install scikit-learn")
    try:
        return torch.from_numpy(np.loadtxt(folder / "datasets/data/digits.csv.gz", np.uint8, delimiter=","))
    except (OSError, ValueError) as error:
        raise DataError(f"the digits of scikit-learn cannot be read: {error}; install it anew") from error


@attrs.frozen
class DigitsConfig:
    """The digits of scikit-learn, scaled to [-1, 1]; nothing is downloaded.

    The split is the same for every seed: of each class, in the order of the file, evenly spaced samples
    are held out. The file is sorted by writer, so both parts hold the same writers.

    Attributes:
        validation: share of each class that is held out, at least one sample.
    """

    validation: float = attrs.field(
        default=0.2, validator=[attrs.validators.gt(0.0), attrs.validators.lt(1.0)]
    )

    @property
    def facts(self) -> Facts:
        """Shape and classes, without reading anything."""
        return _FACTS

    def view(self) -> PixelView:
        """How samples look, without reading anything."""
        return PixelView()

    def build(self) -> "Digits":
        """Read the digits and split them."""
        rows_NF = _rows()
        clean_NCHW = rows_NF[:, :-1].reshape(-1, *_FACTS.shape).to(torch.float32) * (2 / _LEVELS) - 1
        labels_N = rows_NF[:, -1].to(torch.int64)
        return Digits(_FACTS, *in_two(clean_NCHW, labels_N, self.validation))


@attrs.frozen(eq=False)
class Digits(InMemory):
    """The digits, of shape (1, 8, 8) in 10 classes."""

    kind = "digits"

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C H W"]:
        """Samples as grey images 0..255, light ink on a dark ground."""
        return to_images(x)
