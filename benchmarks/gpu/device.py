"""The card: what it is, what it could do at most, and waiting for it."""

import gc
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

_PEAKS = {
    "NVIDIA H200 NVL": 836e12,
    "NVIDIA H200": 989e12,
    "NVIDIA GH200": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
}
"""Operations a second in bfloat16 without sparsity, by NVIDIA's data sheets; by the beginning of the name,
longer ones first."""


def described(device: str) -> dict[str, Any]:
    """The machine, in plain values; nothing where there is no such device."""
    if device == "cuda" and not torch.cuda.is_available():
        return {}
    found: dict[str, Any] = {
        "device": "CPU, a rehearsal at tiny sizes whose figures mean nothing",
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "cores": os.cpu_count(),
        "commit": commit(Path(__file__).parents[2]),
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        found |= {
            "device": f"{card.name}, {card.total_memory / 2**30:.0f} GiB",
            "CUDA": torch.version.cuda,
            "others on the card": f"{_used_by_others() / 2**30:.1f} GiB",
        }
    return found


def commit(root: Path) -> str:
    """The commit of a checkout; unknown where git does not say."""
    try:
        said = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def peak(device: str, side: int) -> tuple[float, str]:
    """Operations a second in bfloat16 that a device could do at most, and how that is known.

    Args:
        device: ``cuda`` or ``cpu``.
        side: of the matrices whose product is timed where no data sheet is known.
    """
    if device == "cuda":
        name = torch.cuda.get_device_name()
        known = next((rate for beginning, rate in _PEAKS.items() if name.startswith(beginning)), None)
        if known is not None:
            return known, "by its data sheet, dense"
    return matmul_rate(device, side), f"measured by a product of {side} x {side} matrices"


def matmul_rate(device: str, side: int, rounds: int = 10) -> float:
    """Operations a second of a large matrix product in bfloat16, on random numbers."""
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(3 + rounds):
        begun = time.perf_counter()
        one @ other
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return 2 * side**3 / statistics.median(seconds[3:])


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def forget_peak(device: str) -> None:
    """Let the largest amount of memory be counted from here on."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory_share(device: str) -> float:
    """The largest share of the card's memory that was reserved since; 0 on a CPU, where none is counted."""
    if device != "cuda":
        return 0.0
    return torch.cuda.max_memory_reserved() / torch.cuda.get_device_properties(0).total_memory


def _used_by_others() -> int:
    torch.empty(1, device="cuda")
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()
