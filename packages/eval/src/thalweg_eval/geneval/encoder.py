"""GenEval as a vision encoder: the features of an image say whether it is what its prompt asks for."""

import importlib
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import attrs
import torch
from attrs.validators import matches_re
from jaxtyping import UInt8
from torch import Tensor, nn

from thalweg.config import component
from thalweg.data.pixels import rgb
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg.naming import qualified
from thalweg.plugins import build_component
from thalweg.storage.places import folder_at, local_path
from thalweg.suggestions import one_line
from thalweg.types import Features
from thalweg_eval.geneval.colours import Colours
from thalweg_eval.geneval.correctness import is_correct
from thalweg_eval.geneval.names import TASKS
from thalweg_eval.geneval.prompts import Prompt, read_prompts, standard_prompts


@attrs.frozen
class GenEvalEncoderConfig:
    """Compares images with their prompts; for the metric ``geneval``. Captions must be the prompts.

    Attributes:
        detector: folder of the detector, as Hugging Face publishes mask2former-swin-small-coco-instance.
        clip: folder of CLIP ViT-L/14, which names the colours; the vision encoder ``clip`` reads it.
        prompts: a file like GenEval's evaluation_metadata.jsonl; the 553 published prompts by default.
        loader: what loads the detector from its folder, as ``module:function``; it returns a callable from an
            image (3 x H x W bytes) to detections, with a mapping ``identity``.
    """

    detector: str
    clip: str
    prompts: str = ""
    loader: str = attrs.field(
        default="thalweg_eval.geneval.mask2former:load", validator=matches_re(r"[\w.]+:[\w.]+")
    )
    name = "geneval"

    def build(self, facts: Facts) -> "GenEvalEncoder":
        """Load it.

        Raises:
            PluginError: if transformers is not installed, or the loader cannot be imported.
            DataError: if a folder or file is missing or damaged.
        """
        prompts = (
            read_prompts(local_path(self.prompts, "prompts", "copy it to this machine first"))
            if self.prompts
            else standard_prompts()
        )
        detector = _imported(self.loader)(folder_at(self.detector))
        clip = build_component(component("vision_encoder", {"type": "clip", "folder": self.clip}), facts)
        identity = {
            "type": "geneval",
            "prompts": len(prompts),
            "detector": dict(detector.identity),
            "colours": clip.identity,
        }
        return GenEvalEncoder(prompts, detector, Colours(clip), identity)


class GenEvalEncoder(nn.Module):
    """The encoder.

    Args:
        prompts: all that captions may be.
        detector: finds objects in an image.
        colours: names their colours: ``(image, class, objects)`` to one name each.
        identity: what all of it is.
    """

    name, title, offers = "geneval", "GenEval", frozenset({"pooled", "captions"})

    def __init__(
        self, prompts: Sequence[Prompt], detector: Any, colours: Any, identity: dict[str, Any]
    ) -> None:
        super().__init__()
        self.identity = identity
        self.detector, self.colours = detector, colours
        self._prompts = {prompt.text: prompt for prompt in prompts}

    def number_name(self, number: str) -> str:
        """GenEval's own names; these features are for nothing else."""
        return number if number.startswith("geneval") else qualified(number, "geneval")

    def forward(
        self, images: UInt8[Tensor, "N channels height width"], captions: Sequence[str] | None = None
    ) -> Features:
        """For each image and task, whether the task was asked (first six columns) and kept (last six).

        Raises:
            ConfigError: without captions.
            DataError: for a caption that is none of the prompts, or not one for each image.
        """
        if captions is None:
            raise ConfigError("GenEval compares images with their prompts; give images with captions")
        if len(captions) != len(images):
            raise DataError(f"there are {len(images)} images but {len(captions)} captions; give one each")
        rows_NV = torch.zeros(len(images), 2 * len(TASKS))
        for row, image, caption in zip(rows_NV, rgb(images).cpu(), captions, strict=True):
            prompt = self._prompts.get(caption)
            if prompt is None:
                raise DataError(f"'{caption}' is no prompt of GenEval; give the file it is from as 'prompts'")
            task = TASKS.index(prompt.task)
            row[task] = 1
            row[len(TASKS) + task] = is_correct(prompt, self.detector(image), partial(self.colours, image))
        return Features(pooled=rows_NV)


def _imported(target: str) -> Any:
    module, _, path = target.partition(":")
    try:
        return attrgetter(path)(importlib.import_module(module))
    except Exception as error:
        raise PluginError(
            f"the detector cannot be loaded: importing {target} failed: {one_line(error)}"
        ) from error
