"""Alignment of tokens with a frozen teacher's (REPA).

S. Yu et al., Representation alignment for generation: training diffusion transformers is easier than you
think, 2025, equation 8; within DeepFlow, section 3.3. The options ``projector`` and ``spatial`` are of iREPA,
J. Singh et al., What matters for representation alignment: global information or spatial structure?, 2025.
"""

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import torch
from attrs.validators import and_, deep_iterable, ge, in_, le, min_len, optional
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.config import component_field
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, image_shape
from thalweg.layers import MLP, TokenConvolution
from thalweg.plugins import build_component, is_config
from thalweg.protocols import PatchEncoder
from thalweg.teachers import check_stored, patch_encoder
from thalweg.types import Batch, ObjectiveValue, Prediction, Step

Projector = Literal["mlp", "conv"]

_EPS = 1e-6
_PLACES: Any = optional([min_len(1), deep_iterable(ge(1))])


@attrs.frozen
class AlignmentConfig:
    """Minus the cosine similarity of projected tokens with a frozen teacher's patch tokens.

    Where the data set stores the teacher's features they are used, and the teacher is not loaded. Several
    teachers are several objectives, ``[objectives.NAME]`` with ``type = "alignment"``.

    Attributes:
        teacher: the frozen vision encoder; one that offers patch tokens.
        after: numbers of blocks after which tokens are read; ``none`` reads what every refiner hands on
            (DeepFlow). REPA reads after 8.
        weight: coefficient in the training loss.
        channels: hidden widths of each read-out's MLP; a convolution has none.
        stop_after: steps after which the objective is left out; never if unset.
        projector: of tokens to the teacher's width: an MLP token by token, or one 3 x 3 convolution on their
            grid, with zeros around it.
        spatial: gamma; the teacher's tokens y become (y - gamma mean_T y) / std_T y, mean and standard
            deviation being over an image's tokens, so that what distinguishes places counts more than what
            all of them share. ``none`` leaves them as they are.
    """

    teacher: Any = component_field("vision_encoder")
    after: tuple[int, ...] | None = attrs.field(default=None, validator=_PLACES)
    weight: float = attrs.field(default=0.5, validator=ge(0))
    channels: tuple[int, ...] = attrs.field(
        default=(2048, 2048), validator=[min_len(1), deep_iterable(ge(1))]
    )
    stop_after: int | None = attrs.field(default=None, validator=optional(ge(1)))
    projector: Projector = attrs.field(default="mlp", validator=in_(("mlp", "conv")))
    spatial: float | None = attrs.field(default=None, validator=optional(and_(ge(0), le(1))))

    def build(self, facts: Facts) -> "Alignment":
        """Build the projectors, and the teacher where the data set stores nothing of it.

        Raises:
            ConfigError: if the data are no images, there is nowhere to read, the teacher has no patch tokens,
                or its grid cannot equal the backbone's, or has one token and ``spatial`` compares several.
            PluginError: if what the teacher is loaded by is not installed.
            DataError: if the stored features are another teacher's, or the teacher's weights are missing.
        """
        image_shape(facts.shape, "objectives.alignment", "leave the objective out")
        after = self.after
        if after is None:
            if facts.branches == 1:
                raise ConfigError(
                    "objectives.alignment reads after refiners and the network has none; say after how many "
                    "blocks to read, as in objectives.alignment.after=[8]"
                )
            after = facts.ends[:-1]
        if max(after) > facts.depth:
            raise ConfigError(
                f"objectives.alignment.after is {list(after)} and the network has {facts.depth} blocks; "
                f"read after 1 to {facts.depth}"
            )
        if self.spatial is not None and facts.grid == (1, 1):
            raise ConfigError(
                "objectives.alignment.spatial compares an image's tokens with their mean and the backbone "
                "has one token; leave spatial out, or take a smaller patch"
            )
        name = self.teacher.name
        # A teacher that is built is at hand, and looks itself.
        if name in facts.features and is_config(self.teacher):
            stored = facts.features[name]
            check_stored(self.teacher, stored)
            if stored.grid != facts.grid:
                raise ConfigError(
                    f"the data set stores features of {name} on a grid of {_by(stored.grid)} and the "
                    f"backbone has {_by(facts.grid)} tokens; encode them for that grid or change the patch"
                )
            return Alignment(self, after, facts, stored.width, None)
        teacher = patch_encoder(build_component(self.teacher, facts))
        # Tried here, so that a grid that it does not have is found before training.
        teacher.patch_tokens(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), facts.grid)
        return Alignment(self, after, facts, teacher.width, teacher)


class Alignment(nn.Module):
    """See :class:`AlignmentConfig`. Fulfils :class:`thalweg.protocols.Objective`.

    Attributes:
        hidden: numbers of blocks after which it reads.
        needs_images: whether batches must bring the clean images.
    """

    def __init__(
        self,
        config: AlignmentConfig,
        hidden: Sequence[int],
        facts: Facts,
        width: int,
        teacher: PatchEncoder | None,
    ) -> None:
        super().__init__()
        self.weight, self.stop_after = config.weight, config.stop_after
        self.hidden, self.needs_images = tuple(hidden), teacher is not None
        self._name, self._grid = config.teacher.name, facts.grid
        # In a tuple, so that it is none of the parameters that are trained, averaged and saved.
        self._teacher = (teacher,)
        self._spatial = config.spatial
        self.projectors = nn.ModuleList(
            TokenConvolution(facts.width, width, facts.grid)
            if config.projector == "conv"
            else MLP([facts.width, *config.channels, width], "silu")
            for _ in hidden
        )

    def project(self, prediction: Prediction) -> list[Float[Tensor, "N T F"]]:
        """What each projector makes of its tokens."""
        return [
            projector(prediction.hidden[depth].float())
            for depth, projector in zip(self.hidden, self.projectors, strict=True)
        ]

    def forward(self, step: Step) -> ObjectiveValue:
        """-cos(projected, teacher's), mean over tokens and read-outs."""
        seen_NTF = self._seen(step.batch)
        if self._spatial is not None:
            seen_NTF = contrasted(seen_NTF, self._spatial)
        losses_RN = torch.stack(
            [
                -functional.cosine_similarity(one, seen_NTF, dim=-1).mean(dim=1)
                for one in self.project(step.prediction)
            ]
        )
        means_R = losses_RN.detach().mean(dim=1)
        parts = {f"after_{depth}": mean for depth, mean in zip(self.hidden, means_R, strict=True)}
        return ObjectiveValue(losses_RN.mean(dim=0), parts if len(parts) > 1 else {})

    def _seen(self, batch: Batch) -> Float[Tensor, "N T F"]:
        (teacher,) = self._teacher
        if teacher is None:
            return batch.features[self._name].float()
        if batch.images is None:
            raise DataError(
                f"the teacher {self._name} sees images and the data set has none; store its features by "
                f"thalweg encode --teacher, or give the data set its autoencoder"
            )
        if isinstance(teacher, nn.Module):
            teacher.to(batch.images.device)
        with torch.no_grad():
            return teacher.patch_tokens(batch.images, self._grid).float()


def contrasted(tokens: Float[Tensor, "N T F"], gamma: float) -> Float[Tensor, "N T F"]:
    """(y - gamma mean_T y) / std_T y; a feature that is alike at all places is divided by about nothing."""
    variance, mean = torch.var_mean(tokens, dim=1, keepdim=True, correction=0)
    return (tokens - gamma * mean) * (variance + _EPS).rsqrt()


def _by(grid: tuple[int, int]) -> str:
    return f"{grid[0]} x {grid[1]}"
