"""What a run is about to be trained on, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.config import RunConfig, dump
from thalweg.data.words import UNCONDITIONAL, classes_in_words
from thalweg.objects import OBJECT
from thalweg.protocols import Dataset
from thalweg.storage.redaction import redacted_plain

_SOURCES = ("source", "validation_source")


def data_lines(config: RunConfig, dataset: Dataset) -> dict[str, str]:
    """Lines about the data by title; nothing of them is read.

    Args:
        config: the run.
        dataset: its data set, built.
    """
    facts, names = dataset.facts, getattr(dataset, "class_names", ())
    shape, count, held = "x".join(map(str, facts.shape)), len(dataset.train), len(dataset.validation)
    origin = _origin(redacted_plain(dump(config)["data"]))
    return {
        "data": f"{count:,} samples of shape {shape} and {held:,} held out, from {origin}",
        "classes": _classes(facts.classes, names, texts=facts.text is not None),
        "captions": _captions(dataset),
    }


def _classes(classes: int | None, names: Sequence[str], *, texts: bool) -> str:
    if classes is not None:
        return classes_in_words(classes, names)
    return "none, captions alone" if texts else UNCONDITIONAL


def _captions(dataset: Dataset) -> str:
    text = dataset.facts.text
    if text is not None:
        return f"of {text[0]} tokens of width {text[1]}, on which the network is conditioned"
    if getattr(dataset, "captioned", False):
        return "there, and not used; data.text names what encodes them"
    return "none"


def _origin(data: Mapping[str, Any]) -> str:
    """Where the data lie, as the recipe has it, without secrets."""
    sources = [data[key] for key in _SOURCES if isinstance(data.get(key), Mapping)]
    named = [(str(one.get("type", one.get(OBJECT))), one) for one in sources or [data]]
    return " and ".join(f"{name} {one['url']}" if "url" in one else name for name, one in named)
