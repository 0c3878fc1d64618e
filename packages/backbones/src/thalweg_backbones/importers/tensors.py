"""What the importers share: the public DiT layout and how it maps to ours."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg_backbones.dit import SIZES
from thalweg_backbones.layers import positions

# The largest deviation of stored positions from the fixed table: they are float32 of the same numbers.
_POSITION_TOLERANCE = 1e-4


@attrs.frozen(eq=False)
class Imported:
    """What was found. Fulfils :class:`thalweg.protocols.Imported`."""

    composition: Mapping[str, Any]
    facts: Facts
    state_dict: Mapping[str, Tensor]


class Tensors:
    """A foreign state dict that remembers what was read, so that nothing is passed over in silence."""

    def __init__(self, source: str, state_dict: Mapping[str, Tensor]) -> None:
        self._source = source
        self._left = {_bare(name): tensor for name, tensor in state_dict.items()}

    def take(self, name: str) -> Tensor:
        """The tensor of that name.

        Raises:
            DataError: if there is none.
        """
        if name not in self._left:
            raise DataError(
                f"the checkpoint has no tensor '{name}', so it is no {self._source} checkpoint; "
                f"name its source (sit, repa or deepflow) or check the file"
            )
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name, not read yet."""
        return name in self._left

    def linear(self, name: str) -> dict[str, Tensor]:
        """Weight and bias of a linear layer."""
        return {part: self.take(f"{name}.{part}") for part in ("weight", "bias")}

    def count(self, prefix: str) -> int:
        """How many numbered modules stand under a prefix."""
        below = (name.removeprefix(prefix + ".") for name in self._left if name.startswith(prefix + "."))
        return len({name.partition(".")[0] for name in below})

    def drop(self, prefix: str) -> bool:
        """Leave out what the network does not need; whether there was any."""
        names = [name for name in self._left if name.startswith(prefix + ".")]
        for name in names:
            del self._left[name]
        return bool(names)

    def finish(self) -> None:
        """Make sure that everything was read.

        Raises:
            DataError: naming the tensors that were not.
        """
        if self._left:
            names = ", ".join(sorted(self._left)[:5])
            raise DataError(
                f"{len(self._left)} tensors of the checkpoint are not understood as {self._source}: {names}; "
                f"its architecture differs from the released ones"
            )


def embeddings(tensors: Tensors) -> tuple[tuple[int, int, int], int, dict[str, Tensor]]:
    """Shape of the latents, patch, and the tensors of patch and time embedding.

    Raises:
        DataError: if the positions are not the fixed table.
    """
    patch_weight = tensors.take("x_embedder.proj.weight")
    width, channels, patch = patch_weight.shape[:3]
    stored_positions = tensors.take("pos_embed")
    side = round(stored_positions.shape[1] ** 0.5)
    expected = positions((side, side), width)
    if (
        stored_positions.shape != expected.shape
        or (stored_positions - expected).abs().max() > _POSITION_TOLERANCE
    ):
        raise DataError("the checkpoint's pos_embed is not the fixed 2-D sin-cos table of a square image")
    ours = {
        "backbone.patches.projection.weight": patch_weight.flatten(1),
        "backbone.patches.projection.bias": tensors.take("x_embedder.proj.bias"),
    }
    place(ours, "backbone.time.mlp.layers.0", tensors.linear("t_embedder.mlp.0"))
    place(ours, "backbone.time.mlp.layers.1", tensors.linear("t_embedder.mlp.2"))
    return (channels, side * patch, side * patch), patch, ours


def dit(tensors: Tensors, heads: int | None) -> tuple[dict[str, Any], Facts, dict[str, Tensor]]:
    """Backbone config, facts and tensors of the public DiT layout."""
    shape, patch, ours = embeddings(tensors)
    table = tensors.take("y_embedder.embedding_table.weight")
    ours["backbone.classes.weight"] = table
    depth = tensors.count("blocks")
    for index in range(depth):
        for target, name in _BLOCK.items():
            place(ours, f"backbone.blocks.{index}.{target}", tensors.linear(f"blocks.{index}.{name}"))
    facts = Facts(shape=shape, classes=table.shape[0] - 1)
    return _backbone(table.shape[1], depth, patch, heads), facts, ours


_BLOCK = {
    "modulation": "adaLN_modulation.1",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "mlp.layers.0": "mlp.fc1",
    "mlp.layers.1": "mlp.fc2",
}


def readout(
    tensors: Tensors,
    name: str,
    ours: dict[str, Tensor],
    target: str,
    change: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """A velocity or acceleration layer; ``change`` is applied to the projection's output axis."""
    place(ours, f"{target}.modulation", tensors.linear(f"{name}.adaLN_modulation.1"))
    projection = tensors.linear(f"{name}.linear")
    if change is not None:
        projection = {part: change(tensor) for part, tensor in projection.items()}
    place(ours, f"{target}.projection", projection)


def place(ours: dict[str, Tensor], target: str, parts: Mapping[str, Tensor]) -> None:
    """Put a layer's parts under our name."""
    for part, tensor in parts.items():
        ours[f"{target}.{part}"] = tensor


def _backbone(width: int, depth: int, patch: int, heads: int | None) -> dict[str, Any]:
    named = next((name for name, size in SIZES.items() if size.width == width), None)
    if heads is None and named is None:
        known = ", ".join(str(size.width) for size in SIZES.values())
        raise ConfigError(
            f"the number of heads cannot be told from the tensors and width {width} is none of the named "
            f"sizes ({known}); pass heads=..."
        )
    backbone: dict[str, Any] = {"type": "dit", "size": named or "B", "patch": patch, "depth": depth}
    if named is None:
        backbone["width"] = width
    if heads is not None:
        backbone["heads"] = heads
    return backbone


def _bare(name: str) -> str:
    # Wrappers of data-parallel training and of the compiler leave these in front, in either order.
    while name.startswith(("module.", "_orig_mod.")):
        name = name.partition(".")[2]
    return name


def flip_time(first_layer: Tensor) -> Tensor:
    """The first layer of a time embedding that reads 1 - t, as one that reads t.

    cos((1-t) w) = cos w cos tw + sin w sin tw and sin((1-t) w) = sin w cos tw - cos w sin tw, so the
    flip is a rotation of the sinusoids, which the layer's weight absorbs exactly.
    """
    half = first_layer.shape[1] // 2
    omega = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    cosine, sine = first_layer.double().split(half, dim=1)
    flipped = [omega.cos() * cosine + omega.sin() * sine, omega.sin() * cosine - omega.cos() * sine]
    return torch.cat(flipped, dim=1).to(first_layer.dtype)
