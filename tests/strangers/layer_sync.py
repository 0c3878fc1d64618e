"""Early hidden states lean on later ones of the same pass (leaning): -mean cos(h_k, sg h_k')."""

import attrs
from attrs.validators import and_, ge, gt, lt
from torch.nn import functional

import thalweg


@thalweg.register("objective", "leaning")
@attrs.frozen
class LeaningConfig:
    """Minus the cosine similarity of the tokens after an early block with those after a later one.

    Attributes:
        weight: coefficient in the training loss.
        early: the depth that learns, as a share of the network's.
        late: the depth that is leant on.
    """

    weight: float = attrs.field(default=0.25, validator=ge(0))
    early: float = attrs.field(default=0.3, validator=and_(gt(0), lt(1)))
    late: float = attrs.field(default=0.6, validator=and_(gt(0), lt(1)))

    def build(self, facts: thalweg.Facts) -> "Leaning":
        """Build it.

        Raises:
            ConfigError: if both depths are the same.
        """
        depths = tuple(max(1, round(share * facts.depth)) for share in (self.early, self.late))
        if depths[0] >= depths[1]:
            raise thalweg.ConfigError(
                f"objectives.leaning would lean block {depths[0]} on block {depths[1]} of {facts.depth}; "
                "choose a larger late, or a smaller early"
            )
        return Leaning(self.weight, depths)


class Leaning:
    """See :class:`LeaningConfig`."""

    def __init__(self, weight: float, depths: tuple[int, ...]) -> None:
        self.weight, self.hidden = weight, depths

    def __call__(self, step: thalweg.Step) -> thalweg.ObjectiveValue:
        """The loss of each sample, the mean over its tokens."""
        early, late = (step.prediction.hidden[depth].float() for depth in self.hidden)
        return thalweg.ObjectiveValue(-functional.cosine_similarity(early, late.detach(), dim=-1).mean(dim=1))
