"""How a strength of 1 changes the velocity's error on digits that the scale was not measured on.

    python docs/results/guidance/held_out.py RUN...

prints for each run, of the head after block 3, the change of the error in per cent of it, mean over time: for
the scale that the run saved, measured on training images, and for one that is measured on half of the
held-out ones. Both are judged on the other half, and the halves are exchanged.
"""

import sys
from typing import Any

import torch

import thalweg
from thalweg.calibration import Calibration

DRAWS = 8  # times and noises of each image in every bin
HEAD = thalweg.Head(3)


class Part:
    """Some of the held-out images, each several times, where a data set has its training images."""

    def __init__(self, dataset: Any, chosen: list[int]) -> None:
        self.facts, self.identity, self.train = dataset.facts, dataset.identity, self
        self._split, self._chosen = dataset.validation, chosen * DRAWS

    def __len__(self) -> int:
        return len(self._chosen)

    def batch(self, indices: list[int], generator: torch.Generator) -> thalweg.Batch:
        """Images by their place in the list."""
        return self._split.batch([self._chosen[index] for index in indices], generator)


def change(measured: Calibration, judged: Calibration) -> float:
    """Per cent."""
    before = sum(judged.errors)
    return 100 * (sum(judged.error(HEAD, measured.scale(HEAD, 1.0))) / before - 1)


def main() -> None:
    """Print a line for each run."""
    dataset = thalweg.build("dataset", {"type": "digits", "validation": 0.2})
    order = torch.randperm(len(dataset.validation), generator=torch.Generator().manual_seed(5)).tolist()
    middle = len(order) // 2
    for run in sys.argv[1:]:
        network = thalweg.load(run)
        parts = [Part(dataset, chosen) for chosen in (order[:middle], order[middle:])]
        one, other = (thalweg.calibrate(network, part, samples=len(part)) for part in parts)
        trained = (change(network.calibration, one) + change(network.calibration, other)) / 2
        held_out = (change(one, other) + change(other, one)) / 2
        sys.stdout.write(f"{run}: {trained:+.3f} on training images, {held_out:+.3f} on held-out ones\n")


if __name__ == "__main__":
    main()
