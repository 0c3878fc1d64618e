"""One safetensors file of stored posteriors, read sample by sample."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from thalweg.errors import DataError

_FLOATS = ("F16", "F32", "F64")
_INTEGERS = ("I64", "I32", "I16", "U8")


class PosteriorShard:
    """``mean`` and ``std`` (N, C, H, W) and, for conditional data, ``labels`` (N,) of one file.

    The file is mapped into memory and only the samples asked for are read; labels are read at once.

    Args:
        path: the file.
        shape: C, H, W that its latents must have.
        classes: labels must lie in 0..classes-1; None for data without labels.

    Raises:
        DataError: if the file is damaged, or does not hold such tensors.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], classes: int | None) -> None:
        self.path = path
        try:
            # As numpy: it maps the file read-only, whereas torch's writable map of a file larger than
            # the machine's memory is refused by the kernel.
            self._file = cast(Any, safe_open(str(path), framework="np"))  # its methods have no types
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"{path} is not a whole safetensors file ({error}); write or copy it again"
            ) from error
        names = ("mean", "std") if classes is None else ("mean", "std", "labels")
        missing = [name for name in names if name not in self._file.keys()]  # noqa: SIM118 - not a dict
        if missing:
            raise DataError(
                f"{path} holds no tensor '{missing[0]}' but {sorted(self._file.keys())}; "
                f"store {', '.join(names)} in every file"
            )
        self._mean = self._file.get_slice("mean")
        self._std = self._file.get_slice("std")
        self.count = self._check_latents(shape)
        self.labels_N = None if classes is None else self._read_labels(classes)

    def posterior(self, index: int) -> tuple[Float[Tensor, "C H W"], Float[Tensor, "C H W"]]:
        """Mean and standard deviation of one sample, in float32.

        Raises:
            DataError: if they are not finite, or a standard deviation is negative.
        """
        mean_CHW, std_CHW = (
            torch.from_numpy(np.asarray(part[index], dtype=np.float32)) for part in (self._mean, self._std)
        )
        if not bool(torch.isfinite(mean_CHW).all() & torch.isfinite(std_CHW).all() & (std_CHW >= 0).all()):
            raise DataError(
                f"sample {index} of {self.path} has a value that is not finite or a negative 'std'; "
                "store the posterior's standard deviation (not its logarithm) and write the file again"
            )
        return mean_CHW, std_CHW

    def _check_latents(self, shape: tuple[int, int, int]) -> int:
        for name, part in (("mean", self._mean), ("std", self._std)):
            if part.get_dtype() not in _FLOATS:
                raise DataError(
                    f"'{name}' of {self.path} is {part.get_dtype()}; store it as one of {', '.join(_FLOATS)}"
                )
            stored = tuple(part.get_shape())
            if len(stored) != 4 or stored[1:] != shape:
                raise DataError(
                    f"'{name}' of {self.path} has shape {stored} where (N, {', '.join(map(str, shape))}) is "
                    "expected; set the data set's shape to that of its latents or give the right files"
                )
        count = int(self._mean.get_shape()[0])
        if self._std.get_shape()[0] != count:
            raise DataError(
                f"{self.path} holds {count} means but {self._std.get_shape()[0]} standard deviations; "
                "write the file again with as many of each"
            )
        return count

    def _read_labels(self, classes: int) -> Int[Tensor, " N"]:
        part = self._file.get_slice("labels")
        if part.get_dtype() not in _INTEGERS or tuple(part.get_shape()) != (self.count,):
            raise DataError(
                f"'labels' of {self.path} is {part.get_dtype()} of shape {tuple(part.get_shape())}; "
                f"store I64 of shape ({self.count},), one class per sample"
            )
        labels_N = torch.from_numpy(np.asarray(part[:], dtype=np.int64))
        wrong_N = (labels_N < 0) | (labels_N >= classes)
        if bool(wrong_N.any()):
            place = int(wrong_N.nonzero()[0])
            raise DataError(
                f"label {int(labels_N[place])} of sample {place} in {self.path} lies outside "
                f"0..{classes - 1}; correct the labels or set the data set's classes"
            )
        return labels_N
