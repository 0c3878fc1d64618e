"""AdamW (Loshchilov and Hutter, Decoupled weight decay regularization, 2019)."""

from collections.abc import Mapping

import attrs
import torch
from attrs.validators import and_, deep_iterable, ge, gt, lt, max_len, min_len
from torch import nn

from thalweg.facts import Facts

BETA = and_(ge(0.0), lt(1.0))


@attrs.frozen
class AdamWConfig:
    """w <- (1 - lr weight_decay) w - lr m / (sqrt(v) + 1e-8), with m and v as Adam has them.

    Attributes:
        lr: learning rate.
        betas: decay rates of the two moments m and v.
        weight_decay: share of a weight that a step with learning rate 1 takes away.
    """

    lr: float = attrs.field(default=1e-4, validator=gt(0.0))
    betas: tuple[float, float] = attrs.field(
        default=(0.9, 0.999), converter=tuple, validator=[min_len(2), max_len(2), deep_iterable(BETA)]
    )
    weight_decay: float = attrs.field(default=0.0, validator=ge(0.0))

    def build(self, _: Facts) -> "AdamW":
        """Build it."""
        return AdamW(self.lr, self.betas, self.weight_decay)


class AdamW:
    """See :class:`AdamWConfig`. Fulfils :class:`thalweg.protocols.Optimizer`."""

    state_per_weight = 2.0

    def __init__(self, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        self.lr, self.betas, self.weight_decay = lr, betas, weight_decay

    def __call__(self, parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
        """torch's AdamW over all of them."""
        return torch.optim.AdamW(
            list(parameters.values()),
            lr=self.lr,
            betas=self.betas,
            weight_decay=self.weight_decay,
            fused=fused,
        )
