"""Tensors, networks in memory and variants of sampling that cannot be evaluated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import thalweg
import thalweg_eval
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
    """What cannot be evaluated."""
    pixels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    net, damaged = making.net(), making.net()
    torch.nn.init.constant_(next(damaged.parameters()), torch.nan)
    plain, cfg = {"guidance": None}, {"guidance": "cfg"}

    def run(subject: Any, **options: Any) -> Callable[[], Any]:
        usual = {"work": folder / "work", "device": "cpu", "metrics": ["frechet_distance"]}
        made = {
            "extractor": {"type": "small_classifier", "steps": 1},
            "reference": thalweg_eval.TensorImages(pixels, [0, 1, 2, 3]),
            "settings": ["autoencoder=identity", "count=4"],
        }
        return lambda: thalweg_eval.evaluate(subject, **{**usual, **made, **options})

    def shown(*given: Any, **options: Any) -> Callable[[], Any]:
        return lambda: thalweg_eval.TensorImages(*given, **options)

    def compared(variants: Any) -> Callable[[], Any]:
        return run(net, compare=variants)

    return [
        *_tensors(pixels, run, shown),
        Mistake("no weights", run(making.net().to("meta")), "no weights", "meta"),
        Mistake("weights of nan", run(damaged), "not finite", "earlier weights"),
        Mistake("without facts", run(Odd(torch.clone, facts=None)), "facts", "None"),
        Mistake("another answer", run(Odd(lambda x: x[:, :, :4])), "(1, 4, 8)", "(1, 8, 8)"),
        Mistake("an error", run(Odd(broken)), "does not answer", "mat1 and mat2"),
        Mistake("an answer of nan", run(Odd(lambda x: x * torch.nan)), "not finite"),
        Mistake("a class", run(Odd), "subject", "the class Odd"),
        Mistake(
            "a network by images of four channels",
            run(net),
            "1 or 3 channels",
            "autoencoder",
        ),
        Mistake("latents", run(net, settings=["count=4"]), "no images by themselves"),
        Mistake(
            "any number of samples",
            run(net, settings=["autoencoder=identity"]),
            "count=10000",
        ),
        Mistake("a network by two", run(net, devices=2), "subject", "2 processes", "devices=1"),
        Mistake("against a network", run(pixels, reference=net), "reference", "FlowNetwork"),
        Mistake("drawing images", run(pixels, sampling={"guidance": None}), "sampling", "images"),
        Mistake(
            "drawing images in two variants",
            run(pixels, compare={"a": plain, "b": cfg}),
            "compare",
            "images",
        ),
        Mistake("drawing by a name", run(net, sampling="cfg"), "sampling", "'cfg'", "table"),
        Mistake(
            "drawing by an unknown key",
            run(net, sampling={"sampeler": "heun"}),
            "did you mean 'sampler'",
        ),
        Mistake("variants in a list", compared(["plain", "cfg"]), "compare", "list", "table"),
        Mistake("no variants", compared({}), "compare", "at least two"),
        Mistake("one variant", compared({"a": plain}), "compare", "at least two"),
        Mistake("variants of other seeds", compared({"a": {"seed": 1}, "b": plain}), "compare['a']", "seed"),
        Mistake(
            "variants of other labels", compared({"a": ["sampling.labels=random"], "b": plain}), "labels"
        ),
        Mistake(
            "variants of other counts", compared({"a": ["count=3"], "b": plain}), "compare['a']", "count"
        ),
        Mistake(
            "a variant by its name", compared({"a": "cfg", "b": plain}), "compare['a']", "'cfg'", "table"
        ),
        Mistake("a variant without a name", compared({"": cfg, "b": plain}), "name in compare", "empty"),
        Mistake("a variant by number", compared({1: cfg, "b": plain}), "name in compare", "1"),
        Mistake("variants of one name", compared({"a": cfg, "A": plain}), "two variants", "passports"),
        Mistake(
            "a variant by an unknown sampler",
            compared({"a": {"sampler": "eulr"}, "b": plain}),
            "mean 'euler'",
        ),
    ]


def _tensors(pixels: torch.Tensor, run: Callable[..., Any], shown: Callable[..., Any]) -> list[Mistake]:
    shape, nan = "N x channels x height x width", torch.full((4, 1, 8, 8), torch.nan)
    return [
        Mistake("floats", run(pixels.float()), "subject", "torch.float32", "uint8", "to_images"),
        Mistake("integers", run(pixels.long()), "subject", "torch.int64", "uint8"),
        Mistake("nan", run(nan), "subject", "not finite", "uint8"),
        Mistake("one image", run(pixels[0]), "subject", "(1, 8, 8)", shape),
        Mistake("channels last", run(pixels.permute(0, 2, 3, 1)), "(4, 8, 8, 1)", shape),
        Mistake(
            "four channels",
            run(pixels.repeat(1, 4, 1, 1)),
            "(4, 4, 8, 8)",
            "1 or 3 channels",
        ),
        Mistake("images without pixels", run(pixels[:, :, :0]), "(4, 1, 0, 8)"),
        Mistake("no image", run(pixels[:0]), "subject", "no image"),
        Mistake("a single image", run(pixels[:1]), "subject", "one image", "two"),
        Mistake("images that are nowhere", run(pixels.to("meta")), "subject", "meta"),
        Mistake("an array", run(pixels.numpy()), "subject", "ndarray", "uint8 tensor"),
        Mistake("against floats", run(pixels, reference=pixels.float()), "reference", "float32"),
        Mistake("too few images", run(pixels, settings=["count=9"]), "4 images", "9"),
        Mistake("images by two", run(pixels, devices=2), "subject", "devices=1"),
        Mistake("without labels", run(pixels, reference=pixels), "small_classifier", "classes"),
        Mistake("images of an array", shown(np.zeros((4, 1, 8, 8), np.uint8)), "images", "ndarray"),
        Mistake("two labels of four images", shown(pixels, [1, 2]), "4 images", "2 labels"),
        Mistake("labels of images below 0", shown(pixels, [0, 1, 2, -1]), "labels", "-1 to 2"),
        Mistake("labels of images in floats", shown(pixels, torch.zeros(4)), "labels[0]", "0.0"),
        Mistake("labels as a text", shown(pixels, "1234"), "labels", "'1234'"),
        Mistake("one caption of four images", shown(pixels, captions=["a"]), "4 images", "1 captions"),
        Mistake("captions as a text", shown(pixels, captions="abcd"), "captions", "'abcd'"),
    ]
