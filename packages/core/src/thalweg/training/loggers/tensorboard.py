"""TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from PIL import Image

from thalweg.errors import PluginError


@attrs.frozen
class TensorBoardConfig:
    """Writes curves and sample grids for TensorBoard; needs the extra ``tensorboard``.

    Attributes:
        folder: where to write, within the run directory.
    """

    folder: str = "tensorboard"

    def build(self, run_dir: Path) -> "TensorBoard":
        """Open it for a run.

        Raises:
            PluginError: if the package tensorboard is missing.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PluginError(
                "the logger 'tensorboard' needs the package tensorboard: "
                "pip install 'thalweg-core[tensorboard]'"
            ) from error
        return TensorBoard(SummaryWriter(str(run_dir / self.folder)))


class TensorBoard:
    """See :class:`TensorBoardConfig`. Fulfils :class:`thalweg.protocols.Logger`."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One scalar a number."""
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)

    def image(self, step: int, name: str, path: Path) -> None:
        """The picture at ``path``."""
        with Image.open(path) as picture:
            self._writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
