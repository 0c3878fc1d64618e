"""torch-fidelity, asked for nothing but its formulas on features; the only file that imports it.

A. Obukhov et al., High-fidelity performance metrics for generative models in PyTorch, torch-fidelity 0.4.
Whoever calls a formula states whatever it would take from torch-fidelity's own table of defaults.
"""

import importlib
from typing import Any

from thalweg.errors import PluginError
from thalweg.suggestions import one_line


def formula(module: str, name: str) -> Any:
    """A function of one of its modules, such as ``kid_features_to_metric`` of ``metric_kid``.

    Raises:
        PluginError: if torch-fidelity is not installed, or cannot be imported.
    """
    try:
        return getattr(importlib.import_module(f"torch_fidelity.{module}"), name)
    except ImportError as error:
        raise PluginError(
            f"KID, precision and recall are computed by torch-fidelity, which cannot be imported "
            f"({one_line(error)}); pip install 'torch-fidelity>=0.4,<0.5'"
        ) from error
