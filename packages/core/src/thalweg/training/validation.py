"""Validation loss and sample grids of a run.

Noise, times and labels are the same each time, so that curves and pictures show the network, not the draws.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from lightning_fabric import Fabric
from torch import Tensor

from thalweg.calibrating import calibrate
from thalweg.config import RunConfig, SamplingConfig
from thalweg.data.grid import enlargement, grid, save_png
from thalweg.errors import ThalwegError
from thalweg.facts import Facts
from thalweg.folders import make_folders
from thalweg.guidance import needs_calibration
from thalweg.network import FlowNetwork
from thalweg.planning import draw_plan
from thalweg.protocols import Dataset, Split
from thalweg.randomness import generator
from thalweg.sampling import sample
from thalweg.training.batches import BatchReader, check_labels
from thalweg.training.components import RunComponents
from thalweg.training.launch.fabric import precision_of
from thalweg.training.step import Losses
from thalweg.types import Batch, Text


class Validation:
    """The validation loss: the same samples, noise and times each time; no label is hidden."""

    def __init__(
        self,
        config: RunConfig,
        components: RunComponents,
        losses: Losses,
        reader: BatchReader,
        fabric: Fabric,
    ) -> None:
        self._losses, self._planner, self._split = losses, components.planner, components.dataset.validation
        self._reader, self._fabric, self._seed = reader, fabric, config.seed
        # Data sets are often sorted by class, so a fixed shuffle says which samples come first.
        order = torch.randperm(
            len(self._split), generator=generator(config.seed, "validation order")
        ).tolist()
        size = config.training.batch_size
        chosen = order[: config.training.validation_batches * size]
        self._batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]

    @torch.no_grad()
    def __call__(self, step: int = 0, *, name: str = "") -> dict[str, float]:
        """Means over all samples, ``validation/<number>`` for each number of the training loss.

        Args:
            step: whose loss is taken, counted from 0.
            name: of the EMA weights that are measured, if not the main ones: ``validation/<name>/<number>``.

        Raises:
            UnreadableError: on every process, if one cannot read its samples.
        """
        self._losses.eval()
        fabric = self._fabric
        sums: dict[str, Tensor] = {}
        # Every process takes part in each round, with a batch that does not count where there is none for
        # it: a sharded network is put together by all of them.
        for first in range(0, len(self._batches), fabric.world_size):
            own = first + fabric.global_rank
            counts = own < len(self._batches)
            for number, mean in self._measure(own if counts else 0, step).items():
                weighted = mean.float() * (len(self._batches[own]) if counts else 0)
                sums[number] = sums[number] + weighted if number in sums else weighted
        totals = torch.stack(list(sums.values()))
        if fabric.world_size > 1:
            totals = fabric.all_reduce(totals, reduce_op="sum")  # type: ignore[assignment]
        count = sum(len(batch) for batch in self._batches)
        prefix = f"validation/{name}" if name else "validation"
        return {
            f"{prefix}/{number}": total / count for number, total in zip(sums, totals.tolist(), strict=True)
        }

    def _measure(self, index: int, step: int) -> dict[str, Tensor]:
        batch = self._reader.together(lambda: self._read(index)).to(self._fabric.device)
        path = self._losses.network.interpolant
        plan = draw_plan(self._planner, batch, generator(self._seed, "validation plan", index), path)
        with self._fabric.autocast():
            numbers: dict[str, Tensor] = self._losses(plan, batch, step)
        return numbers

    def _read(self, index: int) -> Batch:
        batch = self._split.batch(self._batches[index], generator(self._seed, "validation data", index))
        check_labels(batch.condition, self._losses.network.facts)
        return batch


def read_together(dataset: Dataset, reader: BatchReader) -> Dataset:
    """A data set whose training samples all processes read at once, and of which all know if one cannot."""
    return cast(Dataset, _Together(dataset.facts, dataset.identity, _TogetherSplit(dataset.train, reader)))


@attrs.frozen(eq=False)
class _Together:
    """As much of a data set as calibration reads."""

    facts: Facts
    identity: Any
    train: "_TogetherSplit"


@attrs.frozen(eq=False)
class _TogetherSplit:
    split: Split
    reader: BatchReader

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        return self.reader.together(lambda: self.split.batch(indices, generator))


class SampleGrid:
    """The same samples each time: same noise, classes in turn, or captions of held-out samples."""

    def __init__(
        self,
        folder: Path,
        sampling: SamplingConfig,
        components: RunComponents,
        reader: BatchReader,
        fabric: Fabric,
    ) -> None:
        self._folder, self._sampling, self._components = folder, sampling, components
        self._reader, self._fabric = reader, fabric

    def __call__(self, network: FlowNetwork, step: int) -> Path | None:
        """Generate the picture of a step; the first process writes it. None where the data are no images.

        Every process generates all of it: a sharded network needs them all for each evaluation, of which an
        adaptive sampler takes as many as its samples need.

        Raises:
            ThalwegError: if it cannot be written.
            UnreadableError: on every process, if one cannot read the captions.
        """
        shape = network.facts.shape
        if len(shape) != 3 and self._components.dataset.images(torch.zeros(1, *shape)) is None:
            return None  # before anything is generated in vain
        if any(map(needs_calibration, self._components.guidance)):
            network.calibration = calibrate(network, read_together(self._components.dataset, self._reader))
        try:
            return self._drawn(network, step)
        finally:
            network.calibration = None  # it was of these EMA weights

    def _drawn(self, network: FlowNetwork, step: int) -> Path | None:
        classes, sampling = network.facts.classes, self._sampling
        samples = sample(
            network,
            labels=None if classes is None else [index % classes for index in range(sampling.count)],
            indices=range(sampling.count),
            sampler=self._components.sampler,
            guidance=self._components.guidance,
            text=self._captions(network),
            seed=sampling.seed,
            batch_size=sampling.batch_size,
            precision="bf16-mixed" if precision_of(self._fabric) == "bf16-mixed" else "32-true",
            compile="off",  # the run decides that
        )
        images = self._components.dataset.images(samples.x) if self._fabric.is_global_zero else None
        if images is None:
            return None
        columns = classes if classes is not None and classes <= 16 else math.ceil(math.sqrt(sampling.count))
        path = self._folder / f"step-{step:06d}.png"
        try:
            make_folders(self._folder)
            save_png(grid(images, columns, enlargement(images)), path)
        except OSError as error:
            raise ThalwegError(
                f"cannot write {path} ({error.strerror or error}); make room and run the same command again"
            ) from error
        return path

    def _captions(self, network: FlowNetwork) -> Text | None:
        if network.facts.text is None:
            return None
        held_out, count = self._components.dataset.validation, self._sampling.count
        chosen = [index % len(held_out) for index in range(count)]
        draws = generator(self._sampling.seed, "captions")
        text = self._reader.together(lambda: held_out.batch(chosen, draws)).condition.text
        return None if text is None else text.to(self._fabric.device)
