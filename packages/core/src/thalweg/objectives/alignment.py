"""Alignment of tokens with a frozen teacher's (REPA).

S. Yu et al., Representation alignment for generation: training diffusion transformers is easier than you
think, 2025, equation 8; within DeepFlow, section 3.3.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from attrs.validators import deep_iterable, ge, min_len, optional
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from thalweg.config import component_field
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts, image_shape
from thalweg.layers import MLP
from thalweg.plugins import build_component, is_config
from thalweg.protocols import Teacher
from thalweg.types import Batch, ObjectiveValue, Prediction, Step

_PLACES: Any = optional([min_len(1), deep_iterable(ge(1))])


@attrs.frozen
class AlignmentConfig:
    """Minus the cosine similarity of projected tokens with a frozen teacher's patch tokens.

    Where the data set stores the teacher's features they are used, and the teacher is not loaded. Several
    teachers are several objectives, ``[objectives.NAME]`` with ``type = "alignment"``.

    Attributes:
        teacher: the frozen vision encoder.
        after: numbers of blocks after which tokens are read; ``none`` reads what every refiner hands on
            (DeepFlow). REPA reads after 8.
        weight: coefficient in the training loss.
        channels: hidden widths of each read-out's projector.
        stop_after: steps after which the objective is left out; never if unset.
    """

    teacher: Any = component_field("teacher")
    after: tuple[int, ...] | None = attrs.field(default=None, validator=_PLACES)
    weight: float = attrs.field(default=0.5, validator=ge(0))
    channels: tuple[int, ...] = attrs.field(
        default=(2048, 2048), validator=[min_len(1), deep_iterable(ge(1))]
    )
    stop_after: int | None = attrs.field(default=None, validator=optional(ge(1)))

    def build(self, facts: Facts) -> "Alignment":
        """Build the projectors, and the teacher where the data set stores nothing of it.

        Raises:
            ConfigError: if the data are no images, there is nowhere to read, or the teacher's grid cannot
                equal the backbone's.
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
        name = self.teacher.name
        # A teacher that is built is at hand, and looks itself.
        if name in facts.features and is_config(self.teacher):
            stored = facts.features[name]
            self.teacher.check_stored(stored)
            if stored.grid != facts.grid:
                raise ConfigError(
                    f"the data set stores features of {name} on a grid of {_by(stored.grid)} and the "
                    f"backbone has {_by(facts.grid)} tokens; encode them for that grid or change the patch"
                )
            return Alignment(self, after, facts, stored.width, None)
        teacher: Teacher = build_component(self.teacher, facts)
        # Tried here, so that a grid that it does not have is found before training.
        teacher(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), facts.grid)
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
        teacher: Teacher | None,
    ) -> None:
        super().__init__()
        self.weight, self.stop_after = config.weight, config.stop_after
        self.hidden, self.needs_images = tuple(hidden), teacher is not None
        self._name, self._grid = config.teacher.name, facts.grid
        # In a tuple, so that it is none of the parameters that are trained, averaged and saved.
        self._teacher = (teacher,)
        self.projectors = nn.ModuleList(MLP([facts.width, *config.channels, width], "silu") for _ in hidden)

    def project(self, prediction: Prediction) -> list[Float[Tensor, "N T F"]]:
        """What each projector makes of its tokens."""
        return [
            projector(prediction.hidden[depth].float())
            for depth, projector in zip(self.hidden, self.projectors, strict=True)
        ]

    def forward(self, step: Step) -> ObjectiveValue:
        """-cos(projected, teacher's), mean over tokens and read-outs."""
        seen_NTF = self._seen(step.batch)
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
            return teacher(batch.images, self._grid).float()


def _by(grid: tuple[int, int]) -> str:
    return f"{grid[0]} x {grid[1]}"
