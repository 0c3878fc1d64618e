"""GenEval as an extractor: what it sees in an image is whether its prompt was kept."""

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

from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.facts import Facts
from thalweg.storage.places import folder_at, local_path
from thalweg.suggestions import one_line
from thalweg.types import Features
from thalweg.vision.pixels import rgb
from thalweg_eval.extractors.clip import load_clip
from thalweg_eval.geneval.colours import Colours
from thalweg_eval.geneval.judging import is_correct
from thalweg_eval.geneval.names import TASKS
from thalweg_eval.geneval.prompts import Prompt, read_prompts, standard_prompts
from thalweg_eval.naming import qualified


@attrs.frozen
class GenEvalExtractorConfig:
    """Judges images by their prompts; for the metric ``geneval``. The images' captions must be the prompts.

    Attributes:
        detector: folder of the detector, as Hugging Face publishes mask2former-swin-small-coco-instance.
        clip: folder of CLIP ViT-L/14, which names the colours.
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

    def build(self, facts: Facts) -> "GenEvalExtractor":  # noqa: ARG002 - images of any size
        """The extractor.

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
        clip = load_clip(folder_at(self.clip))
        identity = {
            "type": "geneval",
            "prompts": len(prompts),
            "detector": dict(detector.identity),
            "colours": clip.identity,
        }
        return GenEvalExtractor(prompts, detector, Colours(clip), identity)


class GenEvalExtractor(nn.Module):
    """The extractor.

    Args:
        prompts: all that captions may be.
        detector: finds objects in an image.
        colours: names their colours: ``(image, class, objects)`` to one name each.
        identity: what all of it is.
    """

    labels_known = False
    reads_captions = True

    def __init__(
        self, prompts: Sequence[Prompt], detector: Any, colours: Any, identity: dict[str, Any]
    ) -> None:
        super().__init__()
        self.name = "GenEval"
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
            raise ConfigError("GenEval judges images by their prompts; give images with captions")
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
