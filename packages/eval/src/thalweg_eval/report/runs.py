"""Runs as a report reads them: their folders, without building anything, and without leaving them."""

import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from thalweg.config.dumping import parse_recorded
from thalweg.errors import DataError
from thalweg.storage.places import local_path
from thalweg.storage.redaction import redacted_plain
from thalweg.training.progress import BESIDE, PREFIX
from thalweg_eval.report.metrics import Metrics, read_metrics
from thalweg_eval.report.model import Curve
from thalweg_eval.report.run_files import check_depth, read_inside, read_picture, reason_of, shortened
from thalweg_eval.report.sections import AxisName

_CONFIG, _METRICS, _SAMPLES = "config.toml", "metrics.jsonl", "samples"
_PICTURE = re.compile(r"step-(\d{1,18})\.png")
_LARGEST_CONFIG, _LONGEST_NAME = 4 * 2**20, 200


@attrs.frozen(eq=False)
class Run:
    """A training run, complete or still being trained.

    Attributes:
        name: what the report calls it.
        path: its folder.
        config: its resolved configuration, secrets masked; empty if that is damaged.
        metrics: of its metrics.jsonl.
        pictures: sample grids by step.
        damages: what of it could not be read, in words; reading a picture may add to it.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    metrics: Metrics
    pictures: Mapping[int, Path]
    damages: list[str]

    @property
    def newest(self) -> Mapping[str, Any]:
        """The last line; empty if there is none."""
        return self.metrics.newest

    @property
    def beside(self) -> dict[str, float]:
        """Seconds that went to anything but training until the last line, by what."""
        stated = {what: self.newest.get(f"{PREFIX}{what}") for what in BESIDE}
        return {what: float(number) for what, number in stated.items() if isinstance(number, int | float)}

    def velocity(self, prefix: str = "") -> str:
        """The name of the last branch's velocity error: what runs of different k can be compared by."""
        found = [name for name in self.metrics.columns if re.fullmatch(rf"{prefix}velocity/branch_\d+", name)]
        return max(found, key=lambda name: int(name.rpartition("_")[2]), default=f"{prefix}velocity")

    def over(self, axis: AxisName, number: str) -> Curve:
        """A number over ``step`` or ``seconds``, where a line holds both; empty if no line does."""
        column = self.metrics.times if number == "seconds" else self.metrics.columns.get(number)
        if column is None:
            return Curve(self.name, (), ())
        at = column.step if axis == "step" else column.seconds
        values = column.seconds if number == "seconds" else column.values
        # A line without seconds has none to show, while another number may be one that was not finite.
        missing = np.isnan(at) | np.isnan(at if number != "seconds" else values)
        if missing.any():
            return Curve(
                self.name, array("d", np.asarray(at)[~missing]), array("d", np.asarray(values)[~missing])
            )
        return Curve(self.name, at, values)

    def seconds_until(self, step: int) -> float | None:
        """Seconds of training on the last line at or before a step; None if there is none."""
        curve = self.over("step", "seconds")
        before = np.flatnonzero(np.asarray(curve.steps) <= step)
        return float(curve.values[before[-1]]) if before.size else None

    def picture(self, step: int) -> bytes | None:
        """The sample grid of a step; None, and a word among the damages, if it is no whole PNG file."""
        path = self.pictures[step]
        try:
            return read_picture(self.path, path)
        except (OSError, ValueError) as error:
            self.damages.append(f"{path} is not shown: {reason_of(error)}")
            return None


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run directories; runs of one name get their folders' as well.

    What is damaged within a run is named in its ``damages``, and the rest of it is there.

    Raises:
        DataError: if a folder holds no run.
    """
    runs = [_read(local_path(path, "a run", "copy it to this machine first")) for path in paths]
    names = [run.name for run in runs]
    return [
        attrs.evolve(run, name=f"{run.name} ({run.path})") if names.count(run.name) > 1 else run
        for run in runs
    ]


def _read(path: Path) -> Run:
    damages: list[str] = []
    config = _config(path, damages)
    metrics = read_metrics(path, _METRICS)
    name = str(config.get("name", path.name))[:_LONGEST_NAME]
    pictures = _pictures(path / _SAMPLES, damages)
    return Run(name, path, config, metrics, pictures, [*damages, *metrics.damages])


def _config(path: Path, damages: list[str]) -> Mapping[str, Any]:
    file = path / _CONFIG
    try:
        config = parse_recorded(read_inside(path, file, _LARGEST_CONFIG))
        check_depth(config)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{path} holds no run, it has no {_CONFIG}; give the folder that was --run-dir"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else reason_of(error)
        damages.append(
            f"{file} cannot be read ({reason}), the run is shown without its configuration; "
            f"restore it from a checkpoint"
        )
        return {}
    plain: dict[str, Any] = shortened(redacted_plain(config))
    return plain


def _pictures(folder: Path, damages: list[str]) -> dict[int, Path]:
    if folder.is_symlink():
        damages.append(f"{folder} is a link, its pictures are not shown; put the folder itself there")
        return {}
    try:
        names = sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        damages.append(f"{folder} cannot be read ({reason_of(error)}); its pictures are not shown")
        return {}
    return {int(match[1]): folder / name for name in names if (match := _PICTURE.fullmatch(name))}
