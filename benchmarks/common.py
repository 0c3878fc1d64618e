"""What the benchmarks share: the model, fair timing, verdicts."""

import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does, before torch is imported

import torch
from torch import nn

import thalweg
from thalweg.network import FlowNetwork

IMAGENET = thalweg.Facts(shape=(4, 32, 32), classes=1000)


def deepflow_s() -> FlowNetwork:
    """DeepFlow-S/2-2T, freshly initialised."""
    return thalweg.compose(
        backbone={"type": "dit", "size": "S", "patch": 2}, refiner="vera", branches=2, facts=IMAGENET
    )


def awake(network: FlowNetwork) -> FlowNetwork:
    """Fill what starts at zero, since a network that answers zero compares equal to any other."""
    draws = torch.Generator(next(network.parameters()).device).manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02, generator=draws)
    return network


def alternately(
    candidates: dict[str, Callable[[], object]],
    rounds: int,
    of: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    """Seconds of each, the median unless stated; they take turns, so that a busy moment hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            begun = time.perf_counter()
            candidate()
            seconds[name].append(time.perf_counter() - begun)
    return {name: of(taken) for name, taken in seconds.items()}


class Verdict:
    """Collects the targets and whether they were met."""

    def __init__(self) -> None:
        self._met = True

    def at_least(self, what: str, figure: float, target: float) -> None:
        """``figure`` should reach ``target``."""
        self._say(what, figure, target, figure >= target, "at least")

    def at_most(self, what: str, figure: float, target: float) -> None:
        """``figure`` should stay within ``target``."""
        self._say(what, figure, target, figure <= target, "at most")

    def exit(self) -> None:
        """0 if all were met."""
        sys.exit(0 if self._met else 1)

    def _say(self, what: str, figure: float, target: float, met: bool, relation: str) -> None:
        self._met &= met
        print(f"{'met   ' if met else 'MISSED'}  {what}: {figure:.4g} ({relation} {target:g})", flush=True)
