"""Sample grids on the way, to look at."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.data.grid import enlargement, grid, save_png
from thalweg.errors import ThalwegError
from thalweg.folders import make_folders
from thalweg.network import FlowNetwork
from thalweg.protocols import Guidance, Sampler, Split
from thalweg.randomness import generator
from thalweg.sampling import SamplingPrecision, sample
from thalweg.training.reading import Reading
from thalweg.types import Text


class SampleGrid:
    """Draws the same samples each time: same noise, classes in turn, or captions of held-out samples.

    Args:
        folder: where pictures go, ``step-000500.png``.
        held_out: has the captions, where there are any.
        reading: reads them, together with other processes.
        images: turns samples into images, or gives None where the data are none.
        sampler: carries noise to data.
        guidance: around the network, from it outwards; empty for none.
        count: samples in the grid.
        batch_size: samples drawn at a time.
        seed: of their noise.
        precision: of the network's evaluations.
    """

    def __init__(
        self,
        folder: Path,
        held_out: Split,
        reading: Reading,
        images: Callable[[Float[Tensor, "N *shape"]], UInt8[Tensor, "N channels height width"] | None],
        sampler: Sampler,
        guidance: tuple[Guidance, ...],
        *,
        count: int,
        batch_size: int,
        seed: int,
        precision: SamplingPrecision,
    ) -> None:
        self._folder, self._held_out, self._images, self._reading = folder, held_out, images, reading
        self._sampler, self._guidance = sampler, guidance
        self._count, self._batch_size = count, batch_size
        self._seed, self._precision = seed, precision

    def __call__(self, network: FlowNetwork, step: int, fabric: Fabric) -> Path | None:
        """Draw the picture of a step; the first process writes it. None where the data are no images.

        Data of another shape than an image's are asked first, and nothing is drawn for them in vain.

        Every process draws all of it: a sharded network needs them all for each evaluation, of which an
        adaptive sampler takes as many as its samples ask for.

        Raises:
            ThalwegError: if it cannot be written.
            UnreadableError: on every process, if one cannot read the captions.
        """
        classes, shape = network.facts.classes, network.facts.shape
        if len(shape) != 3 and self._images(torch.zeros(1, *shape)) is None:
            return None
        drawn = sample(
            network,
            labels=None if classes is None else [index % classes for index in range(self._count)],
            indices=range(self._count),
            sampler=self._sampler,
            guidance=self._guidance,
            text=self._captions(network, fabric),
            seed=self._seed,
            batch_size=self._batch_size,
            precision=self._precision,
            compile="off",  # the run decides that
        )
        images = self._images(drawn.x) if fabric.is_global_zero else None
        if images is None:
            return None
        columns = classes if classes is not None and classes <= 16 else math.ceil(math.sqrt(self._count))
        path = self._folder / f"step-{step:06d}.png"
        try:
            make_folders(self._folder)
            save_png(grid(images, columns, enlargement(images)), path)
        except OSError as error:
            raise ThalwegError(
                f"cannot write {path} ({error.strerror or error}); make room and run the same command again"
            ) from error
        return path

    def _captions(self, network: FlowNetwork, fabric: Fabric) -> Text | None:
        if network.facts.text is None:
            return None
        chosen = [index % len(self._held_out) for index in range(self._count)]
        draws = generator(self._seed, "captions")
        text = self._reading.together(lambda: self._held_out.batch(chosen, draws)).condition.text
        return None if text is None else text.to(fabric.device)
