"""LayerSync: early hidden states lean on later ones of the same pass."""

import math

import attrs
from attrs.validators import ge, optional
from torch.nn import functional

from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.objectives.places import depth_of, share_of
from thalweg.types import ObjectiveValue, Step

_EARLY, _LATE = 2 / 7, 4 / 7
_FIRST, _LAST = 1 / 8, 4 / 5


@attrs.frozen
class LayerSyncConfig:
    """Minus the cosine similarity of the tokens after an early block with those after a later one.

    -mean_T cos(h_k, sg h_k'), k < k' (LayerSync, ICLR 2026): no teacher, no parameter, no further pass. XL
    with 28 blocks leans block 8 on block 16, which the defaults are the shares of. The last fifth of the
    blocks is busy with the velocity and teaches little of the image; the first eighth only reads the patches.

    Attributes:
        weight: coefficient in the training loss.
        early: k, number of blocks after which the tokens that learn are read; ``none`` is 2/7 of the depth.
        late: k', after which those are read that are leant on; ``none`` is 4/7 of the depth.
    """

    weight: float = attrs.field(default=0.25, validator=ge(0))
    early: int | None = attrs.field(default=None, validator=optional(ge(1)))
    late: int | None = attrs.field(default=None, validator=optional(ge(1)))

    def build(self, facts: Facts) -> "LayerSync":
        """Build it.

        Raises:
            ConfigError: if the depths are none of the network's, not in this order, or too near its ends.
        """
        depth, own = facts.depth, "objectives.layer_sync"
        first, last = math.floor(_FIRST * depth) + 1, math.floor(_LAST * depth)
        if last <= first:
            raise ConfigError(
                f"{own} leans early blocks on later ones and the network has {depth}, too few for both; give "
                "the backbone at least 3 blocks, or leave the objective out"
            )
        early = depth_of(self.early, share_of(depth, _EARLY), facts, f"{own}.early")
        late = depth_of(self.late, share_of(depth, _LATE), facts, f"{own}.late")
        if early >= late:
            raise ConfigError(
                f"{own} would lean block {early} on block {late}; the one that learns must come before the "
                "other: choose a smaller early or a larger late"
            )
        if early < first:
            raise ConfigError(
                f"{own}.early is {early}, among the first blocks of {depth}: these only read the noisy "
                f"patches, which later blocks need to know; choose at least {first}"
            )
        if late > last:
            raise ConfigError(
                f"{own}.late is {late}, in the last fifth of {depth} blocks: these turn tokens into the "
                f"velocity, which is no better account of the image; choose at most {last}"
            )
        return LayerSync(self.weight, (early, late))


class LayerSync:
    """See :class:`LayerSyncConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        hidden: k and k'.
    """

    def __init__(self, weight: float, hidden: tuple[int, int]) -> None:
        self.weight, self.hidden = weight, hidden

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of each sample, the mean over its tokens."""
        early, late = (step.prediction.hidden[depth].float() for depth in self.hidden)
        return ObjectiveValue(-functional.cosine_similarity(early, late.detach(), dim=-1).mean(dim=1))
