"""Checkpoints that other programs wrote, read without executing anything in them."""

import argparse
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.regular import opened, parse_json
from thalweg.storage.redaction import excerpt
from thalweg.suggestions import one_line
from thalweg.tensor_files import open_tensors, read_tensors
from thalweg_backbones.foreign.locating import FoundWeights, arguments_in, weights_in

ARGUMENTS = "args"
"""Where arguments of the training script stand beside the tensors."""

_CALLBACK = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
_BEGIN, _PIECE = b"PK\x03\x04", 2**20
_REPEATED = 8 * 2**30  # bytes that tensors may have beyond the file's, by repeating values
_START, _POINTER = 64, b"version https://git-lfs"
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class ForeignWeights(dict[str, Tensor]):
    """The tensors of a foreign checkpoint by their names, and what else it holds.

    Attributes:
        place: where in the file they stood, such as ``ema``; empty where it holds nothing else.
        left: where other weights stand that were not taken.
        arguments: those of the training script that stand beside them, plain values alone.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        place: str = "",
        left: tuple[str, ...] = (),
        arguments: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(tensors)
        self.place, self.left, self.arguments = place, left, dict(arguments)


def read_foreign(
    path: Path, located: Callable[[Mapping[Any, Any]], FoundWeights] = weights_in
) -> ForeignWeights:
    """The EMA weights of a foreign checkpoint, else its only weights.

    Reads ``.safetensors``, whose header may hold arguments as JSON under ``args``, and any other file with
    ``weights_only=True``, which executes nothing. Of archives, which is what torch writes since 1.6, the
    checksums are compared first.

    Args:
        path: of the checkpoint.
        located: finds the weights in what the file holds.

    Raises:
        DataError: if the file is missing, damaged or holds no tensors, or more than its length.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; give a .pt or .safetensors checkpoint")
    try:
        with opened(path) as file:
            size = file.seek(0, 2)
            _check_start(file)
            if path.suffix != ".safetensors":
                check_archive(file, size)
        content: Any = _tensors(path) if path.suffix == ".safetensors" else _plain(path)
    except Exception as fault:  # torch raises a dozen kinds of errors on a damaged file
        raise DataError(f"{path} cannot be read as plain tensors: {_reason(fault)}") from fault
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no dictionary of tensors; export its weights as safetensors")
    try:
        found = located(content)
    except DataError as fault:
        raise DataError(f"{path}: {fault}") from fault
    if not found.tensors:
        keys = excerpt(", ".join(map(str, content)), 80)
        raise DataError(
            f"{path} holds no tensors{f' but {keys}' if keys else ''}; give a checkpoint of a network"
        )
    most = size + _REPEATED
    for name, tensor in found.tensors.items():
        # One that repeats a few values, or has none, could be of any size.
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        most -= tensor.numel() * tensor.element_size()
        if not plain or most < 0:
            raise DataError(
                f"{path} does not hold {name if name.isprintable() else repr(name)} in full; export its "
                f"weights as safetensors"
            )
    return ForeignWeights(found.tensors, found.place, found.left, arguments_in(content))


def _check_start(file: BinaryIO) -> None:
    """Report what is left in a checkpoint's place where its content was not downloaded.

    Raises:
        ValueError: if it is that.
    """
    file.seek(0)
    start = file.read(_START).lstrip().lower()
    if start.startswith(_POINTER):
        raise ValueError("it is a pointer of Git LFS, for which git lfs pull brings the file")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError("it is a web page")
    # Pickles of the first protocol are texts, too.
    text = all(32 <= one < 127 or one in b"\t\r\n" for one in start)
    if text and len(start) > 8 and start[0] not in b"c(]}":
        raise ValueError("it is a text")


def check_archive(file: BinaryIO, size: int) -> None:
    """Compare the checksums of an archive, which torch does not; older files are none and have none.

    Raises:
        ValueError: naming what is damaged.
    """
    file.seek(0)
    # What torch takes for an archive, and what anybody else does.
    if file.read(len(_BEGIN)) != _BEGIN and not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(one.file_size for one in members) > size:
            raise ValueError("it would unpack to more than its length, which torch's files do not")
        for one in members:
            name = one.filename if one.filename.isprintable() else repr(one.filename)
            try:
                with archive.open(one) as member:
                    while member.read(_PIECE):
                        pass
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
                raise ValueError(f"{name} within it is damaged") from error


def _tensors(path: Path) -> dict[str, Any]:
    """Tensors, with the arguments that the header holds."""
    texts = open_tensors(path).metadata() or {}
    stated = parse_json(texts[ARGUMENTS]) if ARGUMENTS in texts else {}
    return {**read_tensors(path), **({ARGUMENTS: stated} if isinstance(stated, dict) and stated else {})}


class _Callback:
    """In place of a class of Lightning by which older checkpoints name the state of a callback."""


def _plain(path: Path) -> Any:
    # SiT's and REPA's training scripts keep their options beside the weights, as a namespace of plain
    # values: filling one executes nothing. Nor does a class without content.
    allowed: list[Any] = [argparse.Namespace, (_Callback, _CALLBACK)]
    with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(fault: Exception) -> str:
    if isinstance(fault, pickle.UnpicklingError):
        # torch's own words advise to execute what is in the file; only the name is worth keeping.
        named = _GLOBAL.search(str(fault))
        what = f"pickled objects ({named[1]})" if named else "pickled objects"
        return f"it holds {what}, which are never executed; export its weights as safetensors"
    return f"it is damaged or no checkpoint ({one_line(fault)}); copy or download it again"
