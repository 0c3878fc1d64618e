"""Latent alignment: early tokens foretell the clean latent, without a teacher."""

import math

import attrs
from attrs.validators import deep_iterable, ge, min_len, optional
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import ConfigError
from thalweg.facts import Facts, image_shape
from thalweg.layers import MLP, layer_norm
from thalweg.objectives.places import depth_of, share_of
from thalweg.types import ObjectiveValue, Step

_SHARE = 1 / 4
_BETA = 0.05
_NAME = "objectives.latent_alignment"


@attrs.frozen
class LatentAlignmentConfig:
    """Smooth L1 error of projected tokens to the clean latent's patches, each patch standardised.

    mean_T,P s(MLP(h) - p), s(e) = e^2 / (2 beta) for |e| < beta = 0.05 and |e| - beta / 2 beyond (SRA 2,
    arXiv 2601.17830). p is the patch of x_0 that stands at the token's place, less the mean over its own
    elements and divided by their standard deviation: standardised token by token, so that a sample's loss is
    its own and every token counts alike, whatever its contrast. A patch without any contrast becomes zero.

    Attributes:
        weight: coefficient in the training loss.
        after: number of blocks after which tokens are read; ``none`` is a quarter of the depth.
        channels: hidden widths of the MLP; the four of the default make five layers.
    """

    weight: float = attrs.field(default=1.0, validator=ge(0))
    after: int | None = attrs.field(default=None, validator=optional(ge(1)))
    channels: tuple[int, ...] = attrs.field(
        default=(1024, 1024, 1024, 1024), validator=[min_len(1), deep_iterable(ge(1))]
    )

    def build(self, facts: Facts) -> "LatentAlignment":
        """Build it.

        Raises:
            ConfigError: if the data are no images, the tokens are no patches of them or patches of a single
                element, or the network has no such depth.
        """
        shape = image_shape(facts.shape, _NAME, "leave the objective out")
        patch = _patch(shape, facts.grid)
        after = depth_of(self.after, share_of(facts.depth, _SHARE), facts, f"{_NAME}.after")
        return LatentAlignment(self, after, facts.width, patch, shape[0] * math.prod(patch))


class LatentAlignment(nn.Module):
    """See :class:`LatentAlignmentConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        hidden: number of blocks after which it reads.
        patch: height and width of a patch.
    """

    def __init__(
        self, config: LatentAlignmentConfig, after: int, width: int, patch: tuple[int, int], elements: int
    ) -> None:
        super().__init__()
        self.weight, self.hidden, self.patch = config.weight, (after,), patch
        self.projector = MLP([width, *config.channels, elements], "silu")

    def patches(self, clean: Float[Tensor, "N C H W"]) -> Float[Tensor, "N T P"]:
        """The patches row by row, each with mean 0 and variance 1, or 0 where it has one value."""
        return layer_norm(functional.unfold(clean.float(), self.patch, stride=self.patch).transpose(1, 2))

    def forward(self, step: Step) -> ObjectiveValue:
        """The loss of each sample, the mean over tokens and elements of a patch."""
        foretold: Tensor = self.projector(step.prediction.hidden[self.hidden[0]].float())
        wanted = self.patches(step.plan.clean)
        losses = functional.smooth_l1_loss(foretold, wanted, beta=_BETA, reduction="none")
        return ObjectiveValue(losses.mean(dim=(1, 2)))


def _patch(shape: tuple[int, int, int], grid: tuple[int, int]) -> tuple[int, int]:
    sizes = shape[1:]
    if any(size % max(count, 1) or not count for size, count in zip(sizes, grid, strict=True)):
        raise ConfigError(
            f"{_NAME} compares each token with its patch, and {grid[0]} x {grid[1]} tokens do not cut "
            f"{sizes[0]} x {sizes[1]} into equal ones; take another backbone or leave the objective out"
        )
    patch = (sizes[0] // grid[0], sizes[1] // grid[1])
    if shape[0] * math.prod(patch) == 1:
        raise ConfigError(
            f"{_NAME} standardises each patch, and those of one channel and 1 x 1 have a single element; "
            "take a backbone with larger patches or leave the objective out"
        )
    return patch
