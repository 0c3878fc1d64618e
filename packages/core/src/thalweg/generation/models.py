"""Where a run keeps its networks, and what is known of one before it is loaded."""

import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg import checkpoint
from thalweg.config import CONFIG, read_recorded
from thalweg.config.recipes import read_recipe
from thalweg.documents import digest_of
from thalweg.errors import ConfigError, DataError
from thalweg.fetching import on_this_machine, run_config
from thalweg.inherited import Inherited
from thalweg.objects import is_object
from thalweg.saved_network import CALIBRATION, DESCRIPTION, read_description
from thalweg.storage.places import is_url, plain_place
from thalweg.storage.redaction import redacted

MODEL, CHECKPOINTS = "model", "checkpoints"
_AVERAGED = re.compile(r"ema\.")
"""Files of a checkpoint that hold the main average; those of others are called ``ema-NAME``."""


@attrs.frozen
class SavedModel:
    """A saved network.

    Attributes:
        path: its folder, or the checkpoint that holds it.
        sha256: of its tensors; of a checkpoint's, those of the EMA weights.
        step: that it was trained to; None if it is not recorded.
        run: the folder of the run that it belongs to; None if there is none.
        sampling: a recipe's ``[sampling]`` in plain values that was saved with it; None if there was none.
        calibration: digest of what was measured of its heads and saved with it; None if there was none.
    """

    path: Path
    sha256: str
    step: int | None
    run: Path | None
    sampling: Mapping[str, Any] | None = None
    calibration: str | None = None

    @property
    def data(self) -> Any:
        """The run's data set, in plain values; None without a run, or where Python code gave it."""
        data = None if self.run is None else data_of(self.run)
        return None if is_object(data) else data

    @property
    def identity(self) -> dict[str, Any]:
        """What it is, in plain values."""
        return {"kind": "network", "checkpoint": self.sha256, "step": self.step}

    def inherited(self) -> Inherited:
        """How its run is sampled; of a network away from its run, what was saved with it; else nothing.

        Raises:
            DataError: if the run's configuration is damaged.
        """
        if self.run is not None:
            return Inherited(read_recorded(self.run / CONFIG).get("sampling", {}), "run")
        return Inherited(self.sampling or {}, "network")


def model_at(place: Path | str) -> SavedModel | None:
    """The network that a folder is or holds: a saved one, a checkpoint, or a run, whose model is meant if it
    is complete and else its newest whole checkpoint; None if there is none. Of a URL it is brought here.

    Raises:
        DataError: if all checkpoints of a run are damaged.
    """
    path = on_this_machine(place)
    if path is None:
        return None
    folder: Path | None = path
    if not (path / DESCRIPTION).is_file():
        folder = path / MODEL
        if not (folder / DESCRIPTION).is_file():
            complain = logging.getLogger("thalweg").warning
            folder = (
                checkpoint.latest_complete(path / CHECKPOINTS, complain)
                if (path / CONFIG).is_file()
                else None
            )
    if folder is None:
        return None
    above = [folder, folder.parent, folder.parent.parent]
    run = next((one for one in above if (one / CONFIG).is_file()), None)
    if (folder / checkpoint.MANIFEST).is_file():
        seals = checkpoint.listed(folder)
        parts = sorted(seal.sha256 for name, seal in seals.items() if _AVERAGED.match(name))
        digest = parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
        return SavedModel(folder, digest, checkpoint.step_of(folder), run)
    description = _described(folder)
    sampling, calibration = description.get("sampling"), description.get(CALIBRATION)
    return SavedModel(
        folder,
        str(description.get("sha256", "")),
        _step_of(description),
        run,
        sampling if isinstance(sampling, dict) else None,
        digest_of(calibration) if isinstance(calibration, dict) else None,
    )


def is_run(place: Path | str) -> bool:
    """Whether a folder on this machine is a run's, whatever of it is left."""
    path = Path(plain_place(place))
    return not is_url(place) and any(
        (path / name).is_file() for name in (CONFIG, "metrics.jsonl", "run.lock", "saved.json")
    )


def _step_of(description: dict[str, Any]) -> Any:
    run = description.get("run")
    return run.get("step") if isinstance(run, dict) else description.get("step")


def data_of(place: Path | str) -> Any:
    """The data set, in plain values, that a recipe or a run's folder states; None if it is neither."""
    recipe = str(place).partition("?")[0].endswith(".toml")
    file = place if recipe else run_config(place)
    if file is None:
        return None
    data = (read_recipe(file).data if recipe else read_recorded(Path(file))).get("data")
    if data is None:
        raise ConfigError(f"{redacted(str(file))} states no data set")
    return data


def _described(folder: Path) -> dict[str, Any]:
    try:
        return read_description(folder / DESCRIPTION, sealed=True)
    except DataError:
        return {}  # loading it will say what is wrong
