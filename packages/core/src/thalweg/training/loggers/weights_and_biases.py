"""Weights & Biases: offline, or while the run is on."""

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.files import write_bytes
from thalweg.folders import make_folders
from thalweg.protocols import Logger
from thalweg.regular import read_text
from thalweg.storage.redaction import redacted, register_field
from thalweg.suggestions import one_line
from thalweg.training.loggers import folder_within
from thalweg.training.loggers.in_background import InBackground

_FOLDER, _ID = "wandb", "run-id"
_CREDENTIALS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
_INIT, _FINISH = 60, 30
"""Seconds that the server may take to answer at first, and to take what is left at the end."""

_log = logging.getLogger("thalweg")


@attrs.frozen
class WandbConfig:
    """Writes numbers and sample grids for Weights & Biases; needs the extra ``wandb``.

    ``offline``, nothing is sent anywhere: ``wandb sync`` uploads the folder when you ask it to. What was
    written offline cannot be taken back, so each session of a run is a run there, and all of them one group.

    ``online``, numbers are sent while the run is on, to where ``wandb login`` or ``WANDB_BASE_URL`` says, and
    a resumed run continues the same run there. Training never waits for the server: if it cannot be reached
    at first, the session is written offline, with a warning; later on wandb keeps what it could not send.

    Attributes:
        project: the project.
        group: what sessions are grouped under, and what an online run is called; the run directory's name by
            default.
        mode: ``offline`` or ``online``.
        entity: user or team that an online run belongs to; that of the API key by default.
    """

    project: str = "thalweg"
    group: str | None = None
    mode: Literal["offline", "online"] = "offline"
    entity: str | None = None

    def build(self, run_dir: Path) -> Logger:
        """Prepare it for a run; it begins with the first entry.

        Raises:
            ConfigError: if its folder in the run directory is a link; or, online, if there is no API key.
            PluginError: if the package wandb is missing.
        """
        for folder in (".wandb", _FOLDER):
            folder_within(run_dir, folder)
        try:
            import wandb
        except ImportError as error:
            raise PluginError(
                "the logger 'wandb' needs the package wandb: pip install 'thalweg-core[wandb]'"
            ) from error
        group = self.group or run_dir.name

        def offline(step: int) -> Any:
            return wandb.init(
                project=self.project,
                group=group,
                name=f"{group} from step {step}",
                dir=run_dir,
                settings=wandb.Settings(mode="offline", **_settings()),
                reinit="create_new",
            )

        def online(step: int) -> Any:
            run = _run_id(run_dir)
            try:
                return wandb.init(
                    project=self.project,
                    entity=self.entity,
                    group=group,
                    name=group,
                    id=run,
                    resume="allow",
                    dir=run_dir,
                    settings=wandb.Settings(mode="online", **_settings()),
                    reinit="create_new",
                )
            except Exception as error:
                _log.warning(
                    "Weights & Biases cannot be reached (%s), so this session is written offline; wandb sync "
                    "%s uploads it",
                    *(redacted(one_line(error)), run_dir / _FOLDER / "offline-run-*"),
                )
                return offline(step)

        if self.mode == "offline":
            return Wandb(offline, wandb.Image)
        _check_credentials(wandb)
        left = f"what was not sent is in {run_dir / _FOLDER}, and wandb sync uploads it"
        return InBackground(Wandb(online, wandb.Image), patience=_INIT + 2 * _FINISH, left=left)


class Wandb:
    """See :class:`WandbConfig`. Fulfils :class:`thalweg.protocols.Logger`.

    A step that the server knows already is left out: a run that was killed does it once more, to the bit.
    """

    def __init__(self, begin: Callable[[int], Any], picture: Callable[[str], Any]) -> None:
        self._begin, self._picture = begin, picture
        self._run: Any = None

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """The numbers of one step."""
        self._add(step, dict(numbers))

    def image(self, step: int, name: str, path: Path) -> None:
        """The picture at ``path``."""
        self._add(step, {name: self._picture(str(path))})

    def close(self) -> None:
        """Write what is left, and end the session."""
        if self._run is not None:
            self._run.finish()

    def _add(self, step: int, values: dict[str, Any]) -> None:
        if self._run is None:
            self._run = self._begin(step)
        if step >= self._run.starting_step:
            self._run.log(values, step=step)


def _settings() -> dict[str, Any]:
    """It gets neither what the machine does nor what is on the terminal, in the folder or installed."""
    return {
        "console": "off",
        "disable_git": True,
        "save_code": False,
        "silent": True,
        "x_disable_meta": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
        "init_timeout": _INIT,
        "finish_timeout": _FINISH,
    }


def _check_credentials(wandb: Any) -> None:
    """Make sure that nobody is asked for a key in the middle of a run.

    Raises:
        ConfigError: if there is none.
    """
    from requests.utils import get_netrc_auth

    settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
    known = [name for name in _CREDENTIALS if os.environ.get(name)]
    for name in known:
        register_field("api_key", os.environ[name])
    if not known and get_netrc_auth(str(settings.base_url)) is None:
        raise ConfigError(
            f"the logger 'wandb' is to send to {redacted(str(settings.base_url))}, and there is no API key "
            "for it; set WANDB_API_KEY, call wandb login, or leave loggers.wandb.mode at offline"
        )


def _run_id(run_dir: Path) -> str:
    """What the run is called on the server, the same in all of its sessions."""
    path = folder_within(run_dir, _FOLDER) / _ID
    try:
        found = read_text(path).strip()
        if found.isalnum() and len(found) <= 32:
            return found
        raise DataError(f"{path} names no run; take it away, and the run begins anew on the server")
    except FileNotFoundError:
        made = secrets.token_hex(8)
        make_folders(path.parent)
        write_bytes(path, f"{made}\n".encode())
        return made
