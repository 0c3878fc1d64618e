"""Small sets of shards, stored as ``thalweg encode`` stores them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.data.shards import ShardHeader, ShardIndex, ShardWriter
from thalweg.randomness import generator
from thalweg.storage import Location

_TORCH = {"bool": torch.bool, "int64": torch.int64}


def header(**fields: Any) -> ShardHeader:
    """Twelve posteriors of shape (4, 2, 6) in 5 classes, unless other fields are given."""
    given = {"kind": "posterior", "count": 12, "shape": (4, 2, 6), "dtype": "float32", "classes": 5}
    return ShardHeader(**given | {"autoencoder": {"type": "made up"}} | fields)


def samples(head: ShardHeader, first: int, count: int) -> dict[str, Tensor]:
    """Samples ``first``... of a set: known by their value, if that is in the mean, and without spread.

    Mean i of sample i everywhere, mirrored -i; pixels i + column; labels i modulo classes; teachers' features
    i + token; text tokens i + caption / 8, with i modulo (captions + 1) captions, masked but for the first.
    """
    made = {}
    number_N = torch.arange(first, first + count)
    for name, spec in head.tensors().items():
        number = number_N.view(-1, *[1] * len(spec.shape)).double()
        sign = -1.0 if name.endswith("_flipped") else 1.0
        value = number.expand(count, *spec.shape).clone() * sign
        if name.startswith("std"):
            value.zero_()
        elif name == "pixels":
            value += torch.arange(spec.shape[-1])
        elif name == "labels":
            value %= head.classes or 1
        elif name.startswith("teacher."):
            value += torch.arange(spec.shape[0])[:, None] * sign
        elif name == "text.count":
            value %= spec_captions(head) + 1
        elif name == "text.tokens":
            value += torch.arange(spec.shape[0])[:, None, None] / 8
        elif name == "text.mask":
            value = (torch.arange(spec.shape[1]) == 0).expand(count, *spec.shape).clone()
        made[name] = value.to(_TORCH.get(spec.dtype, getattr(torch, spec.dtype)))
    return made


def spec_captions(head: ShardHeader) -> int:
    """Room for captions."""
    return head.text.captions if head.text is not None else 0


def make_shards(
    folder: Path | str, *, shard_samples: int = 5, spread: float = 0.0, **fields: Any
) -> ShardIndex:
    """A whole set of shards.

    Args:
        folder: where; a path or URL.
        shard_samples: samples of a shard; the last one holds the rest.
        spread: standard deviation of every posterior; 0 makes reading exact.
        fields: of the header, as in :func:`header`.
    """
    head = header(**fields)
    writer = ShardWriter(Location(folder), head, shard_samples=shard_samples)
    for number in range(writer.shards):
        held = writer.samples(number)
        tensors = samples(head, held.start, len(held))
        for name in [one for one in tensors if one.startswith("std")]:
            tensors[name] += spread
        writer.write_shard(number, tensors)
    if head.text is not None:
        empty = torch.full((head.text.length, head.text.width), -1.0)
        mask = torch.arange(head.text.length) == 0
        writer.write_empty(empty.to(getattr(torch, head.text.dtype)), mask)
    return writer.finish()


def draws(seed: int = 0) -> torch.Generator:
    """A generator for reading."""
    return generator(seed, "test")
