"""Whether compiling the network pays, and whether it can be done."""

import math
import os
import shutil

from thalweg.network import FlowNetwork

_FLOPS_PER_WEIGHT = 6  # a multiply-add forward, two backward
_WORTH_COMPILING = 2e15
"""Floating-point operations of a run above which the minutes of compiling come back; about half an hour
of a two-core machine."""


def pays(network: FlowNetwork, batch_size: int, steps: int) -> bool:
    """Whether the whole run is long enough. It looks at nothing but the run itself, so that a run that
    goes on decides as it did at first."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    tokens = math.prod(network.facts.grid)
    return _FLOPS_PER_WEIGHT * weights * tokens * batch_size * steps > _WORTH_COMPILING


def compiler() -> str | None:
    """The C++ compiler that torch.compile would use; None where there is none."""
    candidates = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    return next((name for name in candidates if name and shutil.which(name)), None)
