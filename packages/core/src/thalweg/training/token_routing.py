"""Training on fewer tokens: some pass a run of blocks, the others go round it (TREAD, SPRINT; 2025).

In TREAD half of the tokens go round the blocks between the first and the last ones. In SPRINT three quarters
do, and some samples go round as a whole, so that the network learns what it is without those blocks, which is
the weak field of path-drop guidance. In sampling all tokens pass all blocks.
"""

from typing import Any

import torch

from thalweg.config.routing import RoutingConfig
from thalweg.errors import ConfigError
from thalweg.randomness import generator
from thalweg.transfers import moved
from thalweg.types import Routed


class TokenRouting:
    """Draws the tokens that pass.

    Args:
        config: which blocks, and how many tokens.
        network: the :class:`thalweg.network.FlowNetwork` that is trained.

    Attributes:
        stop_after: steps after which all tokens pass; None for never.

    Raises:
        ConfigError: if the network has no such blocks, or its backbone needs all tokens.
    """

    def __init__(self, config: RoutingConfig, network: Any) -> None:
        facts, (first, last) = network.facts, config.blocks
        if not getattr(network.backbone, "takes_subsets", False):
            name = type(network.backbone).__qualname__
            raise ConfigError(
                f"training.routing lets tokens go round blocks, and the backbone {name} needs all of them; "
                "take a transformer such as dit or lightningdit, or leave routing out"
            )
        if facts.depth < 3:
            raise ConfigError(
                f"training.routing needs blocks before and behind the routed ones, and the network has "
                f"{facts.depth}; leave it out"
            )
        if first < 2 or last >= facts.depth:
            raise ConfigError(
                f"training.routing.blocks is {list(config.blocks)}; all tokens pass the first and the last "
                f"of the {facts.depth} blocks, so choose from 2 to {facts.depth - 1}"
            )
        self._start, self._stop = first - 1, last
        self._tokens = facts.grid[0] * facts.grid[1]
        self._kept = max(1, round(config.keep * self._tokens))
        self._path_drop, self.stop_after = config.path_drop, config.stop_after

    def draw(self, count: int, seed: int, device: torch.device) -> Routed:
        """The tokens of ``count`` samples that pass, on a device; the same on every machine.

        Args:
            count: N.
            seed: of the step, such as a plan's.
            device: where the network is.
        """
        draws = generator(seed, "token routing")
        kept_NK = torch.rand(count, self._tokens, generator=draws).argsort(dim=1)[:, : self._kept]
        dropped_N = torch.rand(count, generator=draws) < self._path_drop
        kept_NK = moved(kept_NK.sort(dim=1).values, device)
        return Routed(self._start, self._stop, kept_NK, moved(dropped_N, device))
