"""The state that belongs to the whole process, which no component may leave changed."""

import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def state() -> Mapping[str, Any]:
    """All of it, by what it is."""
    return {
        "torch's random generator": torch.get_rng_state().tolist(),
        "numpy's random generator": str(np.random.get_state()),
        # beartype draws from it to choose what it looks at, so that where it is loaded this says nothing.
        "Python's random generator": None if "beartype" in sys.modules else random.getstate(),
        "the default dtype": torch.get_default_dtype(),
        "the default device": torch.get_default_device(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the number of threads": torch.get_num_threads(),
        "deterministic algorithms": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "cuDNN's flags": (
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.enabled,
        ),
        "the precision of matrix products": torch.get_float32_matmul_precision(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


def restore(kept: Mapping[str, Any]) -> None:
    """Undo what a component changed, as far as it can be undone, so that one fault stays one."""
    torch.set_default_dtype(kept["the default dtype"])
    torch.set_grad_enabled(kept["grad mode"])
    torch.set_num_threads(kept["the number of threads"])
    enabled, warn_only = kept["deterministic algorithms"]
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    torch.set_float32_matmul_precision(kept["the precision of matrix products"])
    cudnn = torch.backends.cudnn
    cudnn.benchmark, cudnn.deterministic, cudnn.enabled = kept["cuDNN's flags"]


def changed(before: Mapping[str, Any]) -> list[str]:
    """What differs now from what it was."""
    now = state()
    return [what for what in before if now[what] != before[what]]
