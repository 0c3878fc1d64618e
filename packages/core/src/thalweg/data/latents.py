"""Latents of an autoencoder, stored as posteriors and drawn anew at each read."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import attrs
import torch
from attrs.validators import deep_iterable, ge, gt, max_len, min_len, optional
from jaxtyping import Float
from torch import Tensor

from thalweg.data.shard import PosteriorShard
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.types import Batch, Condition

_IMAGENET: int | None = 1000


@attrs.frozen
class LatentsConfig:
    """A folder of safetensors files with ``mean``, ``std`` (N, C, H, W) and ``labels`` (N,) int64.

    A sample is (mean + std * eps) * scale with eps ~ N(0, I) drawn at each read. The files follow one
    another by name. They are mapped, never read whole.

    Attributes:
        path: the folder.
        shape: channels, height and width of a latent.
        classes: number of classes; None for unconditional data, whose files need no ``labels``.
        scale: factor to unit variance, 0.18215 for the autoencoder of Stable Diffusion.
        validation: number of samples held out, the last ones; shuffle before storing, or they all may
            be of one class.
    """

    path: str = attrs.field(validator=min_len(1))
    shape: tuple[int, int, int] = attrs.field(
        default=(4, 32, 32), validator=[min_len(3), max_len(3), deep_iterable(ge(1))]
    )
    classes: int | None = attrs.field(default=_IMAGENET, validator=optional(ge(1)))
    scale: float = attrs.field(default=0.18215, validator=gt(0.0))
    validation: int = attrs.field(default=1024, validator=ge(1))

    @property
    def facts(self) -> Facts:
        """Shape and classes, without reading anything."""
        return Facts(shape=self.shape, classes=self.classes)

    def build(self) -> "Latents":
        """Open and check every file.

        Raises:
            DataError: if the folder or a file is missing, damaged or of another shape, or if the
                validation part would leave nothing to train on.
        """
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; set the data set's path to the folder of latents")
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise DataError(f"the folder {folder} holds no *.safetensors file; store the latents there")
        shards = [PosteriorShard(file, self.facts.shape, self.classes) for file in files]
        count = sum(shard.count for shard in shards)
        if self.validation >= count:
            raise DataError(
                f"{folder} holds {count} samples, of which {self.validation} for validation leave none to "
                "train on; lower the data set's validation or store more"
            )
        border = count - self.validation
        return Latents(
            facts=self.facts,
            train=LatentSplit(shards, self.scale, range(border)),
            validation=LatentSplit(shards, self.scale, range(border, count)),
        )


class LatentSplit:
    """A range of the samples that lie one after another in several files."""

    def __init__(self, shards: Sequence[PosteriorShard], scale: float, part: range) -> None:
        self._shards = shards
        self._scale = scale
        self._part = part
        self._ends = list(accumulate(shard.count for shard in shards))

    def __len__(self) -> int:
        return len(self._part)

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        """Draws from the posteriors at these indices, in this order.

        Raises:
            IndexError: for an index outside the split.
            DataError: if a stored posterior is not one.
        """
        places = [self._place(self._part[index]) for index in indices]
        posteriors = [shard.posterior(row) for shard, row in places]
        mean_NCHW = torch.stack([mean for mean, _ in posteriors])
        std_NCHW = torch.stack([std for _, std in posteriors])
        eps_NCHW = torch.randn(mean_NCHW.shape, generator=generator)
        labels = [shard.labels_N[row] for shard, row in places if shard.labels_N is not None]
        condition = Condition(torch.stack(labels) if labels else None)
        return Batch((mean_NCHW + std_NCHW * eps_NCHW) * self._scale, condition)

    def _place(self, sample: int) -> tuple[PosteriorShard, int]:
        """The file that holds a sample, and where in it."""
        number = bisect_right(self._ends, sample)
        shard = self._shards[number]
        return shard, sample - (self._ends[number] - shard.count)


@attrs.frozen(eq=False)
class Latents:
    """Latents in two parts.

    Attributes:
        facts: shape and classes.
        train: what is trained on.
        validation: what is held out.
    """

    facts: Facts
    train: LatentSplit
    validation: LatentSplit

    def images(self, x: Float[Tensor, "N C H W"]) -> None:
        """None: latents are no images without their autoencoder."""
