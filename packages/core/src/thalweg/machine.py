"""What a machine offers: what ``auto`` means for precision and compilation."""

import os
import shutil
import subprocess
import tempfile
from typing import Literal

import torch

from thalweg.network import FlowNetwork
from thalweg.suggestions import one_line

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

FLOP_PER_WEIGHT_FORWARD = 2  # a multiply-add
FLOP_PER_WEIGHT_TRAINED = 3 * FLOP_PER_WEIGHT_FORWARD  # the backward pass costs twice the forward pass

_WORTH_COMPILING = {"cpu": 1e14}
_WORTH_COMPILING_ELSEWHERE = 1e17
"""Floating-point operations above which half a minute of compiling comes back: some five minutes of two
cores, or of one recent accelerator."""


def native_precision(device_type: str) -> Precision:
    """bf16-mixed where the processor computes in bfloat16 itself, else 32-true."""
    if device_type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device_type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if native else "32-true"


def compiling_pays(network: FlowNetwork, images: int, flop_per_weight: int, device_type: str) -> bool:
    """Whether a computation is long enough to compile the network for.

    It looks at nothing but the work itself, so that a resumed run decides as it did at first.

    Args:
        network: what would be compiled.
        images: how many pass through it.
        flop_per_weight: operations per weight, token and image.
        device_type: where.
    """
    weights = sum(parameter.numel() for parameter in network.parameters())
    tokens = network.facts.grid[0] * network.facts.grid[1]
    worth = _WORTH_COMPILING.get(device_type, _WORTH_COMPILING_ELSEWHERE)
    return flop_per_weight * weights * tokens * images > worth


def compiler() -> str | None:
    """The C++ compiler that torch.compile would use; None where there is none."""
    candidates = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    return next((name for name in candidates if name and shutil.which(name)), None)


def compiler_fault(name: str) -> str | None:
    """What is wrong with a C++ compiler; None if it makes a shared library, as torch.compile needs it to."""
    program = b"#include <vector>\nint size() { return std::vector<int>(1).size(); }\n"
    with tempfile.TemporaryDirectory() as folder:
        command = [name, "-x", "c++", "-shared", "-fPIC", "-o", f"{folder}/probe.so", "-"]
        try:
            done = subprocess.run(command, input=program, capture_output=True, timeout=60, check=False)  # noqa: S603 - the user's compiler
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the C++ compiler {name} cannot be run ({one_line(error)})"
        if done.returncode:
            message = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[0]
            return f"the C++ compiler {name} fails ({message[:120]})"
    return None
