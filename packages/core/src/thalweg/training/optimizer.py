"""AdamW, and its state as named tensors."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

_STEP, _AVERAGES = "step", ("exp_avg", "exp_avg_sq")


def adamw(
    module: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float, fused: bool
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter, 2019) over the module's trainable parameters."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused)


class Moments:
    """An optimiser's state as ``<parameter>/<moment>``: a parameter that had no gradient has none.

    Learning rate and the like are not part of it; they stay the optimiser's.

    Args:
        module: whose trainable parameters it is over.
        optimizer: made by :func:`adamw`.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        # Known now: in the middle of a step a sharded module shows other parameters than the optimiser's.
        self._parameters = {name: one for name, one in module.named_parameters() if one.requires_grad}

    def tensors(self) -> dict[str, Tensor]:
        """The optimiser's own tensors, not copies."""
        return {
            f"{name}/{moment}": value
            for name, parameter in self._parameters.items()
            for moment, value in self._optimizer.state.get(parameter, {}).items()
        }

    def room(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Zeros to fill and to :meth:`load`, for each parameter that has a moment among ``names``."""
        having = {name.rpartition("/")[0] for name in names}
        tensors = {}
        for name, parameter in self._parameters.items():
            if name in having:
                tensors[f"{name}/{_STEP}"] = torch.zeros(())
                tensors |= {f"{name}/{moment}": torch.zeros_like(parameter) for moment in _AVERAGES}
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what :meth:`room` gave and was filled."""
        state = {
            index: {moment: tensors[f"{name}/{moment}"] for moment in (_STEP, *_AVERAGES)}
            for index, name in enumerate(self._parameters)
            if f"{name}/{_STEP}" in tensors
        }
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
