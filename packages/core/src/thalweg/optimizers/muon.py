"""Muon for the matrices of the blocks, AdamW for everything else.

K. Jordan and others, Muon: an optimizer for hidden layers in neural networks, 2024. With the momentum
M <- mu M + (1 - mu) G and U an approximation of the orthogonal factor of (1 - mu) G + mu M, which five steps
of a Newton-Schulz iteration give, a matrix of A rows and B columns takes the step

    W <- (1 - lr weight_decay) W - lr s U,

with s = sqrt(max(1, A / B)), or s = 0.2 sqrt(max(A, B)), under which the step has the root mean square of
AdamW's (J. Liu and others, Muon is scalable for LLM training, 2025).
"""

import re
from collections.abc import Mapping
from typing import Literal

import attrs
import torch
from attrs.validators import deep_iterable, ge, gt, max_len, min_len
from torch import nn

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.optimizers.adamw import BETA
from thalweg.optimizers.combined import Combined

_OF_A_BLOCK = re.compile(r"(^|\.)(backbone|refiner)\.\w+\.\d+\.")
"""Blocks are members of a list that backbone or refiner owns, as compilation and FSDP2 find them too."""


@attrs.frozen
class MuonConfig:
    """Muon for two-dimensional weights of the blocks of backbone and refiner, AdamW for the rest.

    Attributes:
        lr: learning rate of Muon.
        momentum: mu of Muon.
        nesterov: look ahead by the momentum; off, U is that of M alone.
        scaling: s: ``original`` is sqrt(max(1, A / B)); ``match_rms_adamw`` is 0.2 sqrt(max(A, B)), with
            which learning rates of AdamW fit Muon.
        adamw_lr: learning rate of AdamW.
        betas: decay rates of AdamW's moments.
        weight_decay: of both.
    """

    lr: float = attrs.field(default=0.02, validator=gt(0.0))
    momentum: float = attrs.field(default=0.95, validator=BETA)
    nesterov: bool = True
    scaling: Literal["original", "match_rms_adamw"] = "original"
    adamw_lr: float = attrs.field(default=1e-4, validator=gt(0.0))
    betas: tuple[float, float] = attrs.field(
        default=(0.9, 0.999), converter=tuple, validator=[min_len(2), max_len(2), deep_iterable(BETA)]
    )
    weight_decay: float = attrs.field(default=0.0, validator=ge(0.0))

    def build(self, _: Facts) -> "Muon":
        """Build it."""
        return Muon(self)


class Muon:
    """See :class:`MuonConfig`. Fulfils :class:`thalweg.protocols.Optimizer`."""

    state_per_weight = 2.0  # at most: a matrix has the momentum alone

    def __init__(self, config: MuonConfig) -> None:
        self.config = config

    def __call__(self, parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
        """Both as one.

        Raises:
            ConfigError: if no parameter is a matrix of a block.
        """
        config = self.config
        matrices = {name for name, one in parameters.items() if one.ndim == 2 and _OF_A_BLOCK.search(name)}
        if not matrices:
            raise ConfigError(
                "the optimiser muon finds no matrix of a block of backbone or refiner; keep the blocks in a "
                "torch.nn.ModuleList that the backbone owns, or use adamw"
            )
        muon = torch.optim.Muon(
            [one for name, one in parameters.items() if name in matrices],
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
            nesterov=config.nesterov,
            adjust_lr_fn=config.scaling,
        )
        others = [one for name, one in parameters.items() if name not in matrices]
        if not others:
            return muon
        adamw = torch.optim.AdamW(
            others, lr=config.adamw_lr, betas=config.betas, weight_decay=config.weight_decay, fused=fused
        )
        adamw.param_groups[0]["name"] = "adamw"
        return Combined(muon, adamw)
