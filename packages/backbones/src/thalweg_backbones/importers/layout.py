"""What the importers share: the public DiT layout and how it maps to ours."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.import_options import OptionResolver
from thalweg_backbones.foreign.locating import bare_names
from thalweg_backbones.importers import arguments
from thalweg_backbones.layers import positions

# What float32 leaves of one formula computed in two ways; what is farther off is the file's own.
_SAME_POSITIONS = 1e-6
# Averaging scales a fixed table by what rounding adds up to, and half precision rounds it: both stay within
# these. The rows and columns of another order, or learned positions, do not.
_CORRELATION, _SCALE = 0.999, (0.9, 1.1)

# A tensor that every network read here has.
_FIRST = "x_embedder.proj.weight"


class Tensors:
    """A foreign state dict that remembers what was read, so that nothing is ignored in silence."""

    def __init__(self, source: str, state_dict: Mapping[str, Tensor]) -> None:
        self._source = source
        self._left = _without_holder(bare_names(state_dict))

    def take(self, name: str) -> Tensor:
        """The tensor of that name.

        Raises:
            DataError: if there is none.
        """
        if name not in self._left:
            raise DataError(
                f"the checkpoint has no tensor '{name}', so it is no {self._source} checkpoint; "
                f"name its source (dit, sit, repa, deepflow or lightningdit) or check the file"
            )
        return self._left.pop(name)

    def seen(self, name: str) -> Tensor:
        """The tensor of that name, to be read later on."""
        tensor = self.take(name)
        self._left[name] = tensor
        return tensor

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


def _without_holder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without that of the attribute that held the network, whatever it is.

    Raises:
        DataError: if there are several networks.
    """
    held = [name.removesuffix(_FIRST) for name in tensors if name.endswith(f".{_FIRST}")]
    if not held or (len(held) == 1 and _FIRST not in tensors):
        holder = held[0] if held else ""
        return {name.removeprefix(holder): one for name, one in tensors.items()}
    names = ", ".join(f"'{one}'" for one in sorted(held))
    raise DataError(
        f"the checkpoint holds more than one network, with names that begin with {names}"
        f"{' or bare' if _FIRST in tensors else ''}; export the one that is meant"
    )


@attrs.frozen(eq=False)
class Embedded:
    """What the embeddings show: the latents' shape, the backbone's patch and positions, and their tensors."""

    shape: tuple[int, int, int]
    width: int
    options: dict[str, Any]
    tensors: dict[str, Tensor]


def embeddings(tensors: Tensors, resolver: OptionResolver) -> Embedded:
    """Patches, positions and times.

    Raises:
        DataError: if the positions are not the fixed table.
    """
    patch_weight = tensors.take("x_embedder.proj.weight")
    width, channels, patch = patch_weight.shape[:3]
    stored = tensors.take("pos_embed")
    side, off = _positions(stored, width)
    options: dict[str, Any] = {"patch": patch}
    ours = {
        "backbone.patches.projection.weight": patch_weight.flatten(1),
        "backbone.patches.projection.bias": tensors.take("x_embedder.proj.bias"),
    }
    if off > _SAME_POSITIONS:
        options["stored_positions"] = True
        ours["backbone.patches.positions"] = stored
        resolver.note("positions", "the file's own", f"the tensors, at most {off:.1e} off the fixed table")
    else:
        resolver.note("positions", "the fixed table", "the tensors")
    place(ours, "backbone.time.mlp.layers.0", tensors.linear("t_embedder.mlp.0"))
    place(ours, "backbone.time.mlp.layers.1", tensors.linear("t_embedder.mlp.2"))
    return Embedded((channels, side * patch, side * patch), width, options, ours)


def _positions(stored: Tensor, width: int) -> tuple[int, float]:
    """The side of the grid, and how far stored positions are at most off the fixed table.

    The source adds the table that its file holds, so that is what reproduces it where the two differ.
    """
    side = round((stored.numel() / width) ** 0.5) if width else 0
    if stored.shape != (1, side**2, width) or side == 0:
        raise DataError(
            f"the checkpoint's pos_embed is of shape {tuple(stored.shape)}, which is no table of a square "
            f"image for width {width}; only such networks can be imported"
        )
    found, fixed = stored.double(), positions((side, side), width).double()
    product, norm = (found * fixed).sum(), fixed.norm()
    correlation, scale = float(product / (found.norm() * norm)), float(product / norm**2)
    if not (correlation > _CORRELATION and _SCALE[0] < scale < _SCALE[1]):
        raise DataError(
            f"the checkpoint's pos_embed is not the fixed 2-D sin-cos table of a square image (correlation "
            f"{correlation:.3f}, scale {scale:.3f}); only networks with that table can be imported"
        )
    return side, float((found - fixed).abs().max())


def dit(tensors: Tensors, resolver: OptionResolver) -> tuple[dict[str, Any], Facts, dict[str, Tensor]]:
    """Backbone config, facts and tensors of the public DiT layout."""
    embedded = embeddings(tensors, resolver)
    ours, width = embedded.tensors, embedded.width
    table = tensors.take("y_embedder.embedding_table.weight")
    ours["backbone.classes.weight"] = table
    depth = tensors.count("blocks")
    for index in range(depth):
        normed = tensors.has(f"blocks.{index}.attn.q_norm.weight")
        kind = "LayerNorm" if tensors.has(f"blocks.{index}.attn.q_norm.bias") else "a norm"
        arguments.refuse_qk_norm(resolver, normed, kind)
        for target, name in BLOCK.items():
            place(ours, f"backbone.blocks.{index}.{target}", tensors.linear(f"blocks.{index}.{name}"))
    facts = Facts(
        shape=embedded.shape,
        classes=arguments.classes(resolver, table.shape[0]),
        condition_dropout=arguments.hidden(resolver),
    )
    backbone = {
        "type": "dit",
        "width": width,
        "depth": depth,
        "heads": arguments.heads(resolver, width, depth),
        **embedded.options,
    }
    return backbone, facts, ours


BLOCK = {
    "modulation": "adaLN_modulation.1",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "mlp.layers.0": "mlp.fc1",
    "mlp.layers.1": "mlp.fc2",
}
"""Layers of a block, ours and the public ones."""


def channels_of(tensors: Tensors, name: str, patch: int, source: str, allowed: tuple[int, ...]) -> int:
    """How many channels a read-out gives for a pixel.

    Raises:
        DataError: if it is another number than the source's networks give.
    """
    rows = tensors.seen(f"{name}.linear.weight").shape[0]
    found, rest = divmod(rows, patch * patch)
    if rest or found not in allowed:
        raise DataError(
            f"'{name}.linear.weight' has {rows} rows, and {source} has {' or '.join(map(str, allowed))} "
            f"channels for each of {patch * patch} pixels; with learned variances it is SiT's or DiT's"
        )
    return found


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


def without_variances(patch: int, channels: int) -> Callable[[Tensor], Tensor]:
    """A change of a projection that keeps the outputs of the prediction.

    Outputs are ordered (row, column, channel); learned variances are the last channels, if there are any.
    """

    def change(projection: Tensor) -> Tensor:
        per_pixel: Tensor = projection.unflatten(0, (patch * patch, -1))[:, :channels]
        return per_pixel.flatten(0, 1)

    return change


def place(ours: dict[str, Tensor], target: str, parts: Mapping[str, Tensor]) -> None:
    """Put a layer's parts under our name."""
    for part, tensor in parts.items():
        ours[f"{target}.{part}"] = tensor


def flip_time(first_layer: Tensor) -> Tensor:
    """The first layer of a time embedding that reads 1 - t, as one that reads t.

    cos((1-t) w) = cos w cos tw + sin w sin tw and sin((1-t) w) = sin w cos tw - cos w sin tw, so the
    flip is a reflection of the sinusoids, which the layer's weight absorbs exactly. In float32 whatever the
    file's precision, since it is in float32 that the source would compute with what the file holds.
    """
    return flipped_time(first_layer).float()


def flipped_time(first_layer: Tensor) -> Tensor:
    """The same in float64; flipped back and rounded to float32, it is what it was."""
    half = first_layer.shape[1] // 2
    omega = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    cosine, sine = first_layer.double().split(half, dim=1)
    flipped = [omega.cos() * cosine + omega.sin() * sine, omega.sin() * cosine - omega.cos() * sine]
    return torch.cat(flipped, dim=1)
