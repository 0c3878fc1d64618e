"""AdamW, and its state as named tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def adamw(
    module: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float, fused: bool
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) over the module's trainable parameters."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused)


def optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as ``<parameter>/<moment>``: a parameter that had no gradient has none."""
    tensors = {}
    for name, parameter in _trainable(module):
        for moment, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{name}/{moment}"] = value
    return tensors


def load_optimizer(
    module: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what :func:`optimizer_tensors` gave; learning rate and the like stay the optimiser's.

    Raises:
        DataError: if a tensor is none of this optimiser's or is missing.
    """
    trainable = _trainable(module)
    known = {f"{name}/{moment}" for name, _ in trainable for moment in _MOMENTS}
    foreign = sorted(set(tensors) - known)
    if foreign:
        raise DataError(
            f"the optimiser's state holds {foreign[0]!r}, which this network has not; "
            f"resume with the composition that the run began with"
        )
    state: dict[int, dict[str, Any]] = {}
    for index, (name, _) in enumerate(trainable):
        held = [moment for moment in _MOMENTS if f"{name}/{moment}" in tensors]
        if held and len(held) < len(_MOMENTS):
            raise DataError(
                f"the optimiser's state of {name!r} is incomplete; resume from another checkpoint"
            )
        if held:
            state[index] = {moment: tensors[f"{name}/{moment}"] for moment in held}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _trainable(module: nn.Module) -> Sequence[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
