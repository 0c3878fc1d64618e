"""Handwritten digits: 1,797 grey images of 8x8 pixels in 10 classes, which scikit-learn brings along.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from importlib.util import find_spec
from pathlib import Path

import attrs
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.data.pixels import PixelView, to_images
from thalweg.data.split import TensorSplit, identity_of, in_two
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts

_LEVELS = 16  # a pixel counts the dark dots of a 4x4 cell
_FACTS = Facts(shape=(1, 8, 8), classes=10)


def _rows() -> UInt8[Tensor, "N 65"]:
    """The file as scikit-learn brings it: of each digit its 64 pixels, row by row, and its label."""
    # Read by ourselves: scikit-learn takes a second to import, and every run on digits would wait for it.
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ConfigError("the digits come with scikit-learn, which is missing; pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        return torch.from_numpy(np.loadtxt(path, np.uint8, delimiter=","))
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
        train, validation = in_two(clean_NCHW, labels_N, self.validation)
        return Digits(
            facts=self.facts,
            train=train,
            validation=validation,
        )


@attrs.frozen(eq=False)
class Digits:
    """The digits, in two parts.

    Attributes:
        facts: shape (1, 8, 8) and 10 classes.
        train: what is trained on.
        validation: what is held out.
    """

    facts: Facts
    train: TensorSplit
    validation: TensorSplit

    @property
    def identity(self) -> str:
        """A hash of all samples and labels of both parts."""
        return identity_of("digits", self.train, self.validation)

    def images(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N C H W"]:
        """Samples as grey images 0..255, light ink on a dark ground."""
        return to_images(x)
