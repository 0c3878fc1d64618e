"""Sample grids on the way, to look at."""

import math
from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.data.grid import enlargement, grid, save_png
from thalweg.network import FlowNetwork
from thalweg.protocols import Guidance, Sampler
from thalweg.sampling import SamplingPrecision, sample


class SampleGrid:
    """Draws the same samples each time: same noise, classes in turn.

    Args:
        folder: where pictures go, ``step-000500.png``.
        images: turns samples into images, or gives None where the data are none.
        sampler: carries noise to data.
        guidance: around the network; None for none.
        count: samples in the grid.
        batch_size: samples drawn at a time.
        seed: of their noise.
        precision: of the network's evaluations.
    """

    def __init__(
        self,
        folder: Path,
        images: Callable[[Float[Tensor, "N C H W"]], UInt8[Tensor, "N channels height width"] | None],
        sampler: Sampler,
        guidance: Guidance | None,
        *,
        count: int,
        batch_size: int,
        seed: int,
        precision: SamplingPrecision,
    ) -> None:
        self._folder, self._images = folder, images
        self._sampler, self._guidance = sampler, guidance
        self._count, self._batch_size = count, batch_size
        self._seed, self._precision = seed, precision

    def __call__(self, network: FlowNetwork, step: int) -> Path | None:
        """Write the picture of a step; None where the data are no images."""
        classes = network.facts.classes
        drawn = sample(
            network,
            labels=None if classes is None else [index % classes for index in range(self._count)],
            indices=range(self._count),
            sampler=self._sampler,
            guidance=self._guidance,
            seed=self._seed,
            batch_size=self._batch_size,
            precision=self._precision,
            compile="off",  # the run decides that
        )
        images = self._images(drawn.x)
        if images is None:
            return None
        columns = classes if classes is not None and classes <= 16 else math.ceil(math.sqrt(self._count))
        path = self._folder / f"step-{step:06d}.png"
        self._folder.mkdir(exist_ok=True)
        save_png(grid(images, columns, enlargement(images)), path)
        return path
