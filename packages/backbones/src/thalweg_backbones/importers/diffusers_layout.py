"""What the importers of diffusers' transformers share: their settings, and names of layers."""

from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.import_options import ImportOptions, OptionResolver
from thalweg.storage.redaction import excerpt
from thalweg_backbones.foreign.diffusers_folder import SCHEDULER, SETTINGS
from thalweg_backbones.importers.layout import Tensors, place


class Settings:
    """``config.json`` of a model, every setting of which is read or refused.

    Args:
        classes: names of the class in diffusers, the usual one first.
        options: with the settings as their arguments.

    Attributes:
        scheduler: settings of the pipeline's scheduler; empty where none is known.
    """

    def __init__(self, classes: tuple[str, ...], options: ImportOptions) -> None:
        self._left = {name: one for name, one in options.arguments.items() if not name.startswith("_")}
        self.scheduler: dict[str, Any] = self._left.pop(SCHEDULER, None) or {}
        self._given = bool(self._left)
        found = options.arguments.get("_class_name", classes[0])
        if found not in classes:
            raise DataError(
                f"{SETTINGS} is that of a {excerpt(str(found), 60)}, not of diffusers' {classes[0]}; name "
                "the importer of that, or give another folder"
            )

    def check_given(self) -> None:
        """Make sure that there are settings at all.

        Raises:
            DataError: if there are none.
        """
        if not self._given:
            raise DataError(
                f"the tensors alone do not show patches, heads or sizes of images; give the folder in which "
                f"{SETTINGS} stands beside them"
            )

    def count(self, name: str, default: int) -> int:
        """A positive integer.

        Raises:
            DataError: if it is something else.
        """
        value = self._left.pop(name, default)
        if type(value) is not int or value < 1:
            raise DataError(
                f"{SETTINGS} states {name} = {excerpt(repr(value), 60)}, which is no positive integer"
            )
        return value

    def number(self, name: str, default: float) -> float:
        """A positive number.

        Raises:
            DataError: if it is something else.
        """
        value = self._left.pop(name, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise DataError(
                f"{SETTINGS} states {name} = {excerpt(repr(value), 60)}, which is no positive number"
            )
        return float(value)

    def other(self, name: str, default: Any) -> Any:
        """A setting as it is."""
        return self._left.pop(name, default)

    def expect(self, backbone: str, **expected: Any) -> None:
        """Make sure that settings have the only value for which there is a counterpart.

        Args:
            backbone: of ours, for the message.
            expected: what each must be, if it is stated.

        Raises:
            DataError: naming the setting.
        """
        for name, wanted in expected.items():
            value = self._left.pop(name, wanted)
            if value != wanted:
                raise DataError(
                    f"{SETTINGS} states {name} = {excerpt(repr(value), 60)}, for which backbone {backbone} "
                    f"has no counterpart; only networks with {wanted!r} can be imported"
                )

    def ignore(self, *names: str) -> None:
        """Settings that change nothing that is computed."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """Make sure that everything was read.

        Raises:
            DataError: naming the settings that were not.
        """
        if self._left:
            raise DataError(
                f"{SETTINGS} states {', '.join(sorted(self._left)[:5])}, which is not understood; its "
                "architecture differs from the released ones"
            )


def heads(settings: Settings, resolver: OptionResolver, width: int, usual: tuple[int, int]) -> int:
    """Attention heads, which are as wide as the settings say.

    Args:
        settings: of the model.
        resolver: of its importer.
        width: D.
        usual: heads and the width of one where the settings do not state them.

    Raises:
        DataError: if they do not make up the width.
    """
    count = settings.count("num_attention_heads", usual[0])
    each = settings.count("attention_head_dim", usual[1])
    if count * each != width:
        raise DataError(
            f"{SETTINGS} states {count} heads of {each}, and the tensors are of width {width}; they are of "
            "different networks"
        )
    found: int = resolver.resolve("heads", argument=(count, f"'num_attention_heads' of {SETTINGS}"))
    return found


def joined(tensors: Tensors, name: str, layers: tuple[str, str, str]) -> dict[str, Tensor]:
    """Queries, keys and values, which are layers of their own there, as one layer."""
    parts = [tensors.linear(f"{name}.{layer}") for layer in layers]
    return {part: torch.cat([one[part] for one in parts]) for part in ("weight", "bias")}


def feed_forward(tensors: Tensors, name: str, ours: dict[str, Tensor], target: str) -> None:
    """An MLP of two layers."""
    place(ours, f"{target}.layers.0", tensors.linear(f"{name}.net.0.proj"))
    place(ours, f"{target}.layers.1", tensors.linear(f"{name}.net.2"))


def shift_first(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """A modulation that gives scale and shift, as one that gives shift and scale."""
    return {part: torch.cat(tuple(reversed(one.chunk(2)))) for part, one in parts.items()}


def patches(tensors: Tensors, ours: dict[str, Tensor]) -> tuple[int, int, int]:
    """Width, channels and side of a patch.

    Raises:
        DataError: if the patches' weight is no convolution of square ones.
    """
    name = "pos_embed.proj.weight"
    weight = tensors.take(name)
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or not weight.numel():
        raise DataError(
            f"'{name}' has the shape {tuple(weight.shape)}; a convolution of square patches is expected"
        )
    ours["backbone.patches.projection.weight"] = weight.flatten(1)
    ours["backbone.patches.projection.bias"] = tensors.take("pos_embed.proj.bias")
    width, channels, patch = weight.shape[:3]
    return width, channels, patch
