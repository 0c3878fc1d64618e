"""TensorBoard."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from PIL import Image

from thalweg.errors import PluginError
from thalweg.training.loggers import folder_within, within


@attrs.frozen
class TensorBoardConfig:
    """Writes curves and sample grids for TensorBoard; needs the extra ``tensorboard``.

    Attributes:
        folder: where to write, within the run directory.
    """

    folder: str = attrs.field(default="tensorboard", validator=within)

    def build(self, run_dir: Path) -> "TensorBoard":
        """Open it for a run.

        Raises:
            ConfigError: if the folder is a link.
            PluginError: if the package tensorboard is missing.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise PluginError(
                "the logger 'tensorboard' needs the package tensorboard: "
                "pip install 'thalweg-core[tensorboard]'"
            ) from error
        return TensorBoard(SummaryWriter, folder_within(run_dir, self.folder))


class TensorBoard:
    """See :class:`TensorBoardConfig`. Fulfils :class:`thalweg.protocols.Logger`.

    Opened at the first entry, whose step is where the run is resumed: what an earlier attempt wrote of this
    step and later ones is purged then.
    """

    def __init__(self, open_writer: Callable[..., Any], folder: Path) -> None:
        self._open, self._folder, self._opened = open_writer, folder, None

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """One scalar a number."""
        writer = self._writer(step)
        for name, number in numbers.items():
            writer.add_scalar(name, number, step)

    def image(self, step: int, name: str, path: Path) -> None:
        """The picture at ``path``."""
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._writer(step).add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the file."""
        if self._opened is not None:
            self._opened.close()

    def _writer(self, step: int) -> Any:
        if self._opened is None:
            earlier = any(self._folder.glob("events.out.tfevents.*"))
            self._opened = self._open(str(self._folder), purge_step=step if earlier else None)
        return self._opened
