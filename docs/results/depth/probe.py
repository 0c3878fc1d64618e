"""What the inner signals of trained networks tell of a solver's error and of the velocity's change.

    python docs/results/depth/probe.py FOLDER > docs/results/depth/probe.json

reads the networks that `thalweg bench depth --out FOLDER` trained and follows 128 samples of each in 16 steps
from noise to data. The exact end of a step is that of 8 Heun steps of the last head within it. It prints

- Spearman's correlation of the disagreement of two heads, times the step, with the error of a step that takes
  the second head's velocity in place of the last one's: over all samples and times, and at equal time, the
  mean over times; the same for what the acceleration would correct;
- how much of the change of the last head's velocity along the trajectory the acceleration explains: R^2, and
  with the best constant factor at each time.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

import thalweg
from thalweg.types import Condition

SAMPLES, STEPS, WITHIN = 128, 16, 8
NOISE = 7
CELLS = {"SiT": ((2, 3), (2, 4), (3, 4)), "DeepFlow-2T": (("plain", "corrected"),)}


def trajectory(network: thalweg.FlowNetwork) -> Iterator[tuple[float, Tensor, Tensor]]:
    """t, x_t and the exact x at the end of the step, for every step."""
    draws = torch.Generator().manual_seed(NOISE)
    x = torch.randn(SAMPLES, *network.facts.shape, generator=draws).double()
    part = 1 / STEPS / WITHIN
    for step in range(STEPS):
        t, begun = 1 - step / STEPS, x
        for inner in range(WITHIN):
            now = t - inner * part
            slope = field(network, x, now)
            predicted = x - part * slope
            if now - part > part / 2:
                slope = (slope + field(network, predicted, now - part)) / 2
            x = x - part * slope
        yield t, begun, x


def field(network: thalweg.FlowNetwork, x: Tensor, t: float) -> Tensor:
    """The last head's velocity."""
    (found,) = read(network, x, t, (-1,))
    return found


def read(network: thalweg.FlowNetwork, x: Tensor, t: float, heads: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """The velocities of some heads, in float64."""
    times_N = torch.full((len(x),), t, dtype=torch.float64)
    found = network.heads(x.float(), times_N, Condition(torch.arange(len(x)) % 10), heads)
    return tuple(one.double() for one in found)


def rms(x: Tensor) -> Tensor:
    """Of each sample."""
    return x.flatten(1).square().mean(1).sqrt()


def local_errors(network: thalweg.FlowNetwork, pair: tuple[Any, Any]) -> dict[str, float]:
    """How the disagreement of two heads goes with the error of a step by the second."""
    apart, errors = [], []
    for t, x, end in trajectory(network):
        first, second = read(network, x, t, heads_of(network, pair))
        apart.append(rms(first - second) / STEPS)
        errors.append(rms(x - second / STEPS - end))
    each = [float(spearmanr(one, other)[0]) for one, other in zip(apart, errors, strict=True)]
    return {
        "over all": float(spearmanr(torch.cat(apart), torch.cat(errors))[0]),
        "at equal time": sum(each) / len(each),
        "disagreement": float(torch.cat(apart).mean()),
        "error": float(torch.cat(errors).mean()),
    }


def heads_of(network: thalweg.FlowNetwork, pair: tuple[Any, Any]) -> tuple[thalweg.Head, thalweg.Head]:
    """Depths of heads, or forms of that at the end of the first branch."""
    first, second = (
        thalweg.Head(one) if isinstance(one, int) else thalweg.Head(network.facts.ends[0], one)
        for one in pair
    )
    return first, second


def second_order(network: thalweg.FlowNetwork) -> dict[str, float]:
    """How much of dv/dt along the trajectory the acceleration explains."""
    predicted, changes = [], []
    for t, x, end in trajectory(network):
        if t <= 1 / STEPS:
            break  # no velocity is read on clean data
        plain, corrected, last = read(network, x, t, (*heads_of(network, ("plain", "corrected")), -1))
        predicted.append(2 * (plain - corrected) / t)
        changes.append((last - field(network, end, t - 1 / STEPS)) * STEPS)
    scaled = [
        one * (one * other).sum() / one.square().sum() for one, other in zip(predicted, changes, strict=True)
    ]
    return {"R2": explained(predicted, changes), "R2, best factor at each time": explained(scaled, changes)}


def explained(predicted: list[Tensor], found: list[Tensor]) -> float:
    """1 - the share of the variance that is left."""
    ours, theirs = torch.cat(predicted), torch.cat(found)
    return 1 - float((theirs - ours).square().sum() / (theirs - theirs.mean()).square().sum())


def over_seeds(
    runs: list[Path], probe: Callable[[thalweg.FlowNetwork], dict[str, float]]
) -> dict[str, list[float]]:
    """What a probe finds of each run."""
    found = [probe(thalweg.load(run).eval()) for run in runs]
    return {name: [round(one[name], 4) for one in found] for name in found[0]}


@torch.no_grad()
def main(folder: Path) -> None:
    """Print everything as JSON."""
    names = [cell["name"] for cell in json.loads((folder / "digits" / "ablation.json").read_text())["cells"]]
    found: dict[str, Any] = {}
    for cell, pairs in CELLS.items():
        runs = sorted((folder / "digits" / "cells" / f"{names.index(cell) + 1:02}").glob("seed-?"))
        for pair in pairs:
            title = f"{cell}, {pair[0]} against {pair[1]}"
            found[title] = over_seeds(runs, lambda network, pair=pair: local_errors(network, pair))  # type: ignore[misc]
        if "corrected" in pairs[0]:
            found[f"{cell}, acceleration against dv/dt"] = over_seeds(runs, second_order)
    json.dump(found, sys.stdout, indent=2)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
