"""torch-fidelity, asked for nothing but its formulas on features; the only file that imports it.

A. Obukhov et al., High-fidelity performance metrics for generative models in PyTorch, torch-fidelity 0.4.
Whatever it would take from its own table of defaults is stated.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from jaxtyping import Float
from torch import Tensor

from thalweg.errors import PluginError
from thalweg.suggestions import one_line

_KERNEL, _MANIFOLDS = "metric_kid", "metric_prc"


def check() -> None:
    """Raise unless all of it can be computed.

    Raises:
        PluginError: if torch-fidelity is not installed, or cannot be imported.
    """
    for name in (_KERNEL, _MANIFOLDS):
        _module(name)


def kernel_distance(
    samples: Float[Tensor, "N F"],
    reference: Float[Tensor, "M F"],
    *,
    subsets: int,
    subset_size: int,
    degree: int,
    gamma: float | None,
    coefficient: float,
    seed: int,
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased squared MMD with a polynomial kernel.

    Raises:
        PluginError: if torch-fidelity is not installed.
    """
    found: Mapping[str, float] = _module(_KERNEL).kid_features_to_metric(
        samples,
        reference,
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        kid_kernel="poly",
        kid_kernel_poly_degree=degree,
        kid_kernel_poly_gamma=gamma,
        kid_kernel_poly_coef0=coefficient,
        rng_seed=seed,
        verbose=False,
    )
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


def precision_recall(
    samples: Float[Tensor, "N F"],
    reference: Float[Tensor, "M F"],
    *,
    neighbours: int,
    block: int,
) -> tuple[float, float]:
    """Precision and recall by the k-nearest-neighbour manifolds, ``block`` rows of distances at a time.

    Raises:
        PluginError: if torch-fidelity is not installed.
    """
    found: Mapping[str, float] = _module(_MANIFOLDS).prc_features_to_metric(
        samples,
        reference,
        prc_neighborhood=neighbours,
        prc_batch_size=block,
        save_cpu_ram=True,
        verbose=False,
    )
    return found["precision"], found["recall"]


def _module(name: str) -> Any:
    try:
        module: ModuleType = importlib.import_module(f"torch_fidelity.{name}")
    except ImportError as error:
        raise PluginError(
            f"KID, precision and recall are computed by torch-fidelity, which cannot be imported "
            f"({one_line(error)}); pip install 'torch-fidelity>=0.4,<0.5'"
        ) from error
    return module
