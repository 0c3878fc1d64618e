"""Whether an image is what a prompt asks for, from the objects that were detected in it."""

from collections.abc import Callable, Sequence

import attrs
import torch
from jaxtyping import Bool
from torch import Tensor

from thalweg_eval.geneval.prompts import Prompt, Wanted

# The published thresholds.
_CONFIDENCE, _COUNTING_CONFIDENCE = 0.3, 0.9
_MOST = 16  # objects of a class
_SLACK = 0.1  # of both objects' sizes, by which they must be apart
_DIAGONAL = 0.5  # share of the offset that must lie along the direction


@attrs.frozen(eq=False)
class Detection:
    """An object detected in an image.

    Attributes:
        name: its class, one of GenEval's.
        score: confidence, 0 to 1.
        box: left, top, right and bottom in pixels.
        mask: which pixels are its own; None where only the box is known.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    mask: Bool[Tensor, "H W"] | None = None


Painter = Callable[[str, Sequence[Detection]], Sequence[str]]
"""``colours(name, objects)``: the colour of each object of a class."""


def is_correct(prompt: Prompt, detections: Sequence[Detection], colours: Painter) -> bool:
    """Whether everything that must be there is, and nothing that must not.

    Colour and position are asked only of the most confident objects, as many as are wanted.

    Args:
        prompt: what is wanted.
        detections: all objects, of any confidence and in any order.
        colours: names the colours of objects; asked only where a colour is wanted.
    """
    least = _COUNTING_CONFIDENCE if prompt.task == "counting" else _CONFIDENCE
    sure = sorted((one for one in detections if one.score > least), key=lambda one: -one.score)

    def seen(name: str) -> list[Detection]:
        return [one for one in sure if one.name == name][:_MOST]

    groups: list[list[Detection]] = []
    for wanted in prompt.include:
        found = seen(wanted.name)[: wanted.count]
        if not _matches(wanted, found, groups, colours):
            return False
        groups.append(found)
    return all(len(seen(unwanted.name)) < unwanted.count for unwanted in prompt.exclude)


def directions(one: Detection, other: Detection) -> set[str]:
    """Where ``one`` is as seen from ``other``: none, one or two of left of, right of, above, below.

    The offset of the centres is shortened by a tenth of both objects' sizes along either axis; a direction
    holds if more than half of the offset's length lies along it. Left and up are negative.
    """
    boxes_242 = torch.tensor([one.box, other.box], dtype=torch.float64).reshape(2, 2, 2)
    offset_2 = boxes_242.mean(1)[0] - boxes_242.mean(1)[1]
    sizes_2 = (boxes_242[:, 1] - boxes_242[:, 0]).abs().sum(0)
    apart_2 = (offset_2.abs() - _SLACK * sizes_2).clamp_min(0) * offset_2.sign()
    if bool((apart_2.abs() < 1e-3).all()):  # a thousandth of a pixel
        return set()
    across, down = (apart_2 / offset_2.norm()).tolist()
    shares = {"left of": -across, "right of": across, "above": -down, "below": down}
    return {direction for direction, share in shares.items() if share > _DIAGONAL}


def _matches(wanted: Wanted, found: list[Detection], before: list[list[Detection]], colours: Painter) -> bool:
    if len(found) < wanted.count:
        return False
    if wanted.colour is not None:
        named = colours(wanted.name, found)
        if sum(colour == wanted.colour for colour in named) < wanted.count:
            return False
    if wanted.position is not None:
        where, target = wanted.position
        return all(where in directions(one, other) for one in found for other in before[target])
    return True
