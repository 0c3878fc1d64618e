"""The detector of GenEval: Mask2Former with a Swin-S backbone, trained on COCO's instances.

B. Cheng et al., Masked-attention mask transformer for universal image segmentation, 2022.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.nn import functional

from thalweg.data.pixels import IMAGENET_MEAN, IMAGENET_STD, standardised
from thalweg.errors import DataError
from thalweg.transformers_folder import load_folder
from thalweg_eval.geneval.correctness import Detection
from thalweg_eval.geneval.names import OBJECTS

SOURCE = "https://huggingface.co/facebook/mask2former-swin-small-coco-instance"
EXTRA = "thalweg-eval[transformers]"
_SHORT, _LONG, _MULTIPLE = 800, 1333, 32
_MOST = 100  # objects of an image


def load(folder: Path) -> "Mask2Former":
    """The detector from a folder as Hugging Face publishes it.

    Raises:
        PluginError: if transformers is not installed.
        DataError: if the folder is missing, damaged or holds another network.
    """
    found = load_folder(folder, "Mask2FormerForUniversalSegmentation", "Mask2Former", SOURCE, EXTRA)
    config: Any = found.model.config
    if config.num_labels != len(OBJECTS):
        raise DataError(
            f"the Mask2Former in {folder} has {config.num_labels} classes, not COCO's 80 things; get "
            f"the one of {SOURCE}"
        )
    return Mask2Former(found.model, found.sha256)


class Mask2Former(nn.Module):
    """The detector.

    Args:
        model: the network.
        weights: SHA-256.
    """

    def __init__(self, model: nn.Module, weights: str) -> None:
        super().__init__()
        self.model: Any = model
        self.identity = {
            "type": "mask2former",
            "weights": weights,
            "resize": f"bilinear to {_SHORT} pixels a shorter side, {_LONG} a longer at most",
        }

    @torch.no_grad()
    def forward(self, image: UInt8[Tensor, "3 H W"]) -> Sequence[Detection]:
        """The objects in one image, most confident first."""
        height, width = image.shape[1:]
        scale = min(_SHORT / min(height, width), _LONG / max(height, width))
        resized = (round(height * scale), round(width * scale))
        x = standardised(image[None].to(self.model.device).float() / 255, IMAGENET_MEAN, IMAGENET_STD)
        x = functional.interpolate(x, resized, mode="bilinear", align_corners=False)
        pads = [-size % _MULTIPLE for size in resized]
        x = functional.pad(x, (0, pads[1], 0, pads[0]))
        inside = functional.pad(torch.ones(1, *resized, device=x.device), (0, pads[1], 0, pads[0]))
        # Some versions of transformers draw numbers here, of which nothing depends.
        with torch.random.fork_rng(devices=[]):
            out = self.model(pixel_values=x, pixel_mask=inside.long())
        masks_QHW = functional.interpolate(
            out.masks_queries_logits, x.shape[2:], mode="bilinear", align_corners=False
        )[..., : resized[0], : resized[1]]
        masks_QHW = functional.interpolate(masks_QHW, (height, width), mode="bilinear", align_corners=False)
        return instances(out.class_queries_logits[0].float().cpu(), masks_QHW[0].float().cpu())


def instances(classes_QK: Tensor, masks_QHW: Tensor) -> list[Detection]:
    """Objects from what the queries answer: the paper's rule, confidence of class times that of mask.

    Args:
        classes_QK: logits of classes, the last being none.
        masks_QHW: logits of masks at the image's size.
    """
    scores_QC = classes_QK.softmax(1)[:, :-1]
    best, flat = scores_QC.flatten().topk(min(_MOST, scores_QC.numel()))
    found = []
    for score, place in zip(best.tolist(), flat.tolist(), strict=True):
        query, label = divmod(place, scores_QC.shape[1])
        mask_HW = masks_QHW[query] > 0
        if not bool(mask_HW.any()):
            continue
        certainty = float(masks_QHW[query][mask_HW].sigmoid().mean())
        rows, columns = mask_HW.any(1).nonzero(), mask_HW.any(0).nonzero()
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        left, top, right, bottom = (float(edge) for edge in edges)
        found.append(Detection(OBJECTS[label], score * certainty, (left, top, right, bottom), mask_HW))
    return sorted(found, key=lambda one: -one.score)
