"""Tensors, networks in memory and ways of drawing that cannot be judged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import thalweg
from argument_mistakes import making
from argument_mistakes.making import Mistake

GREY = thalweg.Facts(shape=(1, 8, 8), classes=10)


class Odd:
    """A network whose velocity is whatever is stated."""

    def __init__(self, answer: Callable[[torch.Tensor], Any], facts: Any = GREY) -> None:
        self.facts, self._answer = facts, answer

    def velocity(self, x: torch.Tensor, t: torch.Tensor, condition: Any) -> Any:
        """What is stated."""
        return self._answer(x)


def broken(x: torch.Tensor) -> torch.Tensor:
    """As a layer of another width says it."""
    raise RuntimeError("mat1 and mat2\nshapes cannot be multiplied")


def mistakes(folder: Path) -> list[Mistake]:
    """What cannot be judged."""
    pixels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    net, damaged = making.net(), making.net()
    torch.nn.init.constant_(next(damaged.parameters()), torch.nan)
    plain, cfg = {"guidance": None}, {"guidance": "cfg"}

    def judged(subject: Any, **options: Any) -> Callable[[], Any]:
        usual = {"work": folder / "work", "device": "cpu", "metrics": ["frechet_distance"]}
        made = {
            "extractor": {"type": "small_classifier", "steps": 1},
            "reference": thalweg.TensorImages(pixels, [0, 1, 2, 3]),
            "settings": ["autoencoder=identity", "count=4"],
        }
        return lambda: thalweg.evaluate(subject, **{**usual, **made, **options})

    def shown(*given: Any, **options: Any) -> Callable[[], Any]:
        return lambda: thalweg.TensorImages(*given, **options)

    def compared(ways: Any) -> Callable[[], Any]:
        return judged(net, compare=ways)

    return [
        *_tensors(pixels, judged, shown),
        Mistake("judging no weights", judged(making.net().to("meta")), "no weights", "meta"),
        Mistake("judging weights of nan", judged(damaged), "not finite", "earlier weights"),
        Mistake("judging without facts", judged(Odd(torch.clone, facts=None)), "facts", "None"),
        Mistake("judging another answer", judged(Odd(lambda x: x[:, :, :4])), "(1, 4, 8)", "(1, 8, 8)"),
        Mistake("judging an error", judged(Odd(broken)), "does not answer", "mat1 and mat2"),
        Mistake("judging an answer of nan", judged(Odd(lambda x: x * torch.nan)), "not finite"),
        Mistake("judging a class", judged(Odd), "subject", "the class Odd"),
        Mistake(
            "judging a network by images of four channels", judged(net), "1 or 3 channels", "autoencoder"
        ),
        Mistake("judging latents", judged(net, settings=["count=4"]), "no images by themselves"),
        Mistake(
            "judging any number of samples", judged(net, settings=["autoencoder=identity"]), "count=10000"
        ),
        Mistake("judging a network by two", judged(net, devices=2), "subject", "2 processes", "devices=1"),
        Mistake("judging against a network", judged(pixels, reference=net), "reference", "FlowNetwork"),
        Mistake("drawing images", judged(pixels, sampling={"guidance": None}), "sampling", "images"),
        Mistake(
            "drawing images in two ways", judged(pixels, compare={"a": plain, "b": cfg}), "compare", "images"
        ),
        Mistake("drawing by a name", judged(net, sampling="cfg"), "sampling", "'cfg'", "table"),
        Mistake(
            "drawing by an unknown key", judged(net, sampling={"sampeler": "heun"}), "did you mean 'sampler'"
        ),
        Mistake("ways in a list", compared(["plain", "cfg"]), "compare", "list", "table"),
        Mistake("no ways", compared({}), "compare", "at least two"),
        Mistake("one way", compared({"a": plain}), "compare", "at least two"),
        Mistake("ways of other seeds", compared({"a": {"seed": 1}, "b": plain}), "compare['a']", "seed"),
        Mistake("ways of other labels", compared({"a": ["sampling.labels=random"], "b": plain}), "labels"),
        Mistake("ways of other counts", compared({"a": ["count=3"], "b": plain}), "compare['a']", "count"),
        Mistake("a way by its name", compared({"a": "cfg", "b": plain}), "compare['a']", "'cfg'", "table"),
        Mistake("a way without a name", compared({"": cfg, "b": plain}), "name in compare", "empty"),
        Mistake("a way by number", compared({1: cfg, "b": plain}), "name in compare", "1"),
        Mistake("ways of one name", compared({"a": cfg, "A": plain}), "two ways", "passports"),
        Mistake(
            "a way by an unknown sampler", compared({"a": {"sampler": "eulr"}, "b": plain}), "mean 'euler'"
        ),
    ]


def _tensors(pixels: torch.Tensor, judged: Callable[..., Any], shown: Callable[..., Any]) -> list[Mistake]:
    shape, nan = "N x channels x height x width", torch.full((4, 1, 8, 8), torch.nan)
    return [
        Mistake("judging floats", judged(pixels.float()), "subject", "torch.float32", "uint8", "to_images"),
        Mistake("judging integers", judged(pixels.long()), "subject", "torch.int64", "uint8"),
        Mistake("judging nan", judged(nan), "subject", "not finite", "uint8"),
        Mistake("judging one image", judged(pixels[0]), "subject", "(1, 8, 8)", shape),
        Mistake("judging channels last", judged(pixels.permute(0, 2, 3, 1)), "(4, 8, 8, 1)", shape),
        Mistake(
            "judging four channels", judged(pixels.repeat(1, 4, 1, 1)), "(4, 4, 8, 8)", "1 or 3 channels"
        ),
        Mistake("judging images without pixels", judged(pixels[:, :, :0]), "(4, 1, 0, 8)"),
        Mistake("judging no image", judged(pixels[:0]), "subject", "no image"),
        Mistake("judging a single image", judged(pixels[:1]), "subject", "one image", "two"),
        Mistake("judging images that are nowhere", judged(pixels.to("meta")), "subject", "meta"),
        Mistake("judging an array", judged(pixels.numpy()), "subject", "ndarray", "uint8 tensor"),
        Mistake("judging against floats", judged(pixels, reference=pixels.float()), "reference", "float32"),
        Mistake("judging too few images", judged(pixels, settings=["count=9"]), "4 images", "9"),
        Mistake("judging images by two", judged(pixels, devices=2), "subject", "devices=1"),
        Mistake("judging without labels", judged(pixels, reference=pixels), "small_classifier", "classes"),
        Mistake("images of an array", shown(np.zeros((4, 1, 8, 8), np.uint8)), "images", "ndarray"),
        Mistake("two labels of four images", shown(pixels, [1, 2]), "4 images", "2 labels"),
        Mistake("labels of images below 0", shown(pixels, [0, 1, 2, -1]), "labels", "-1 to 2"),
        Mistake("labels of images in floats", shown(pixels, torch.zeros(4)), "labels[0]", "0.0"),
        Mistake("labels as a text", shown(pixels, "1234"), "labels", "'1234'"),
        Mistake("one caption of four images", shown(pixels, captions=["a"]), "4 images", "1 captions"),
        Mistake("captions as a text", shown(pixels, captions="abcd"), "captions", "'abcd'"),
    ]
