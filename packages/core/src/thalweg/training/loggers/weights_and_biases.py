"""Weights & Biases, offline."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import PluginError
from thalweg.training.loggers import folder_within


@attrs.frozen
class WandbConfig:
    """Writes numbers and sample grids for Weights & Biases, offline; needs the extra ``wandb``.

    Nothing is sent anywhere: ``wandb sync`` uploads the folder when you ask it to. What was written offline
    cannot be taken back, so each session of a run is a run there, and all of them one group.

    Attributes:
        project: the project to upload to.
        group: what the sessions are grouped under; the run directory's name by default.
    """

    project: str = "thalweg"
    group: str | None = None

    def build(self, run_dir: Path) -> "Wandb":
        """Prepare it for a run; it begins with the first entry.

        Raises:
            ConfigError: if its folder in the run directory is a link.
            PluginError: if the package wandb is missing.
        """
        for folder in (".wandb", "wandb"):
            folder_within(run_dir, folder)
        try:
            import wandb
        except ImportError as error:
            raise PluginError(
                "the logger 'wandb' needs the package wandb: pip install 'thalweg-core[wandb]'"
            ) from error
        # Neither what the machine does nor what is on the terminal or in the folder is of its concern.
        settings = wandb.Settings(
            mode="offline",
            console="off",
            disable_git=True,
            save_code=False,
            silent=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        group = self.group or run_dir.name

        def begin(step: int) -> Any:
            return wandb.init(
                project=self.project,
                group=group,
                name=f"{group} from step {step}",
                dir=run_dir,
                settings=settings,
                reinit="create_new",
            )

        return Wandb(begin, wandb.Image)


class Wandb:
    """See :class:`WandbConfig`. Fulfils :class:`thalweg.protocols.Logger`."""

    def __init__(self, begin: Callable[[int], Any], picture: Callable[[str], Any]) -> None:
        self._begin, self._picture, self._run = begin, picture, None

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """The numbers of one step."""
        self._session(step).log(dict(numbers), step=step)

    def image(self, step: int, name: str, path: Path) -> None:
        """The picture at ``path``."""
        self._session(step).log({name: self._picture(str(path))}, step=step)

    def close(self) -> None:
        """Write what is left, and end the session."""
        if self._run is not None:
            self._run.finish()

    def _session(self, step: int) -> Any:
        if self._run is None:
            self._run = self._begin(step)
        return self._run
