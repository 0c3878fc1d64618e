"""A part of a data set that is held in memory."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thalweg.data.holdout import held_out
from thalweg.errors import DataError
from thalweg.types import Batch, Condition


class TensorSplit:
    """Samples and labels in memory, addressed by index.

    Args:
        clean: the samples, scaled as the network sees them.
        labels: class of each sample; None for unconditional data.

    Raises:
        DataError: if there is no sample, or not one label for each.
    """

    def __init__(self, clean: Float[Tensor, "N *shape"], labels: Int[Tensor, " M"] | None) -> None:
        if len(clean) == 0:
            raise DataError("a part of the data set holds no samples; give it at least one")
        if labels is not None and len(labels) != len(clean):
            raise DataError(
                f"there are {len(clean)} samples but {len(labels)} labels; give one label per sample"
            )
        self.clean = clean
        self.labels_N = labels

    def __len__(self) -> int:
        return len(self.clean)

    def batch(
        self,
        indices: Sequence[int],
        generator: torch.Generator,  # noqa: ARG002 - nothing is drawn here, but other splits do
    ) -> Batch:
        """The samples at these indices, in this order; a copy, so writing to it changes nothing here.

        Raises:
            IndexError: for an index outside the split.
        """
        index_N = torch.tensor(indices, dtype=torch.int64)
        labels_N = None if self.labels_N is None else self.labels_N[index_N]
        return Batch(self.clean[index_N], Condition(labels_N))


def in_two(
    clean: Float[Tensor, "N *shape"], labels: Int[Tensor, " N"], share: float
) -> tuple[TensorSplit, TensorSplit]:
    """What is trained on and what is held out, about ``share`` of each class.

    Raises:
        DataError: if a part holds no sample.
    """
    held_out_N = held_out(labels, share)
    return (
        TensorSplit(clean[~held_out_N], labels[~held_out_N]),
        TensorSplit(clean[held_out_N], labels[held_out_N]),
    )


def identity_of(kind: str, *parts: TensorSplit) -> str:
    """The kind of data set and a SHA-256 of all samples and labels of its parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.clean.numpy().tobytes())
        digest.update(b"" if part.labels_N is None else part.labels_N.numpy().tobytes())
    return f"{kind}:{digest.hexdigest()}"
