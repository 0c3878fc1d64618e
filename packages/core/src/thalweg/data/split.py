"""Parts of a data set: which samples are held out, and what is held in memory."""

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import attrs
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.types import Batch, Condition


def held_out(labels: Int[Tensor, " N"], share: float) -> Bool[Tensor, " N"]:
    """A mask that picks about ``share`` of each class, evenly spaced.

    The same for every seed; never all of a class, and none only of a class of one sample.
    """
    mask_N = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        places = (labels == label).nonzero().squeeze(1)
        count = min(max(round(share * len(places)), 1), len(places) - 1)
        # The middles of `count` equal stretches; whole numbers, so that no rounding can move one.
        picks = [(2 * i + 1) * len(places) // (2 * count) for i in range(count)]
        mask_N[places[picks]] = True
    return mask_N


def held_out_in_shards(blocks: Sequence[int], share: float) -> Bool[Tensor, " N"]:
    """A mask that picks about ``share`` of samples in shards of these sizes, from no more shards than hold
    twice as many, so that a remote set need not be read as a whole to be validated on.

    The same for every seed; the shards are evenly spaced, and so are the samples among theirs.
    """
    sizes = torch.tensor(blocks)
    total = int(sizes.sum())
    mask_N = torch.zeros(total, dtype=torch.bool)
    count = min(max(round(share * total), 1), total - 1)
    wanted = min(2 * count, total)
    for several in range(1, len(blocks) + 1):
        numbers = [(2 * i + 1) * len(blocks) // (2 * several) for i in range(several)]
        if int(sizes[numbers].sum()) >= wanted:
            break
    ends = sizes.cumsum(0)
    places = torch.cat([torch.arange(int(ends[one] - sizes[one]), int(ends[one])) for one in numbers])
    picks = [(2 * i + 1) * len(places) // (2 * count) for i in range(count)]
    mask_N[places[picks]] = True
    return mask_N


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


@attrs.frozen(eq=False)
class InMemory:
    """A data set in memory, in two parts.

    Attributes:
        facts: shape and classes.
        train: what is trained on.
        validation: what is held out.
    """

    facts: Facts
    train: TensorSplit
    validation: TensorSplit

    kind: ClassVar[str]

    @property
    def identity(self) -> str:
        """The kind of data set and a SHA-256 of all samples and labels of both parts."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation):
            digest.update(part.clean.numpy().tobytes())
            digest.update(b"" if part.labels_N is None else part.labels_N.numpy().tobytes())
        return f"{self.kind}:{digest.hexdigest()}"
