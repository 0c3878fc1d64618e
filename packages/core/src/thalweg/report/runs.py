"""Runs as a report reads them: their folders, without building anything, and without leaving them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

from thalweg.config.recorded import parse_recorded
from thalweg.errors import DataError
from thalweg.report.inside import check_depth, read_inside, shortened
from thalweg.report.lines import Lines, read_lines
from thalweg.report.model import Curve, Floats
from thalweg.report.pictures import LARGEST, check_picture
from thalweg.report.reaching import Scores
from thalweg.storage.places import local_path
from thalweg.storage.redaction import redacted_plain

_CONFIG, _METRICS, _SAMPLES = "config.toml", "metrics.jsonl", "samples"
_PICTURE = re.compile(r"step-(\d{1,18})\.png")
_LARGEST_CONFIG, _LONGEST_NAME = 4 * 2**20, 200

AxisName = Literal["step", "seconds"]


@attrs.frozen(eq=False)
class Run:
    """A training run that was, or is still going on.

    Attributes:
        name: what the report calls it.
        path: its folder.
        config: its resolved configuration, secrets masked; empty if that is damaged.
        lines: of its metrics.jsonl.
        pictures: sample grids by step.
        damages: what of it could not be read, in words; reading a picture may add to it.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    lines: Lines
    pictures: Mapping[int, Path]
    damages: list[str]

    @property
    def newest(self) -> Mapping[str, Any]:
        """The last line; empty if there is none."""
        return self.lines.newest

    def velocity(self, prefix: str = "") -> str:
        """The name of the last branch's velocity error: what runs of different k can be compared by."""
        found = [name for name in self.lines.columns if re.fullmatch(rf"{prefix}velocity/branch_\d+", name)]
        return max(found, key=lambda name: int(name.rpartition("_")[2]), default=f"{prefix}velocity")

    def over(self, axis: AxisName, number: str) -> Scores:
        """A number over ``step`` or ``seconds``, where a line holds both."""
        column = self.lines.times if number == "seconds" else self.lines.columns.get(number)
        if column is None:
            return Scores(self.name, (), ())
        at = column.step if axis == "step" else column.seconds
        values = column.seconds if number == "seconds" else column.values
        # A line without seconds has none to show, while another number may be one that was not finite.
        return Scores(self.name, *_where_told(at, values, at if number != "seconds" else values))

    def curve(self, axis: AxisName, number: str) -> Curve | None:
        """The same as a line of a chart; None if there is no such number."""
        scores = self.over(axis, number)
        return Curve(self.name, scores.at, scores.values) if len(scores.at) else None

    def seconds_until(self, step: int) -> float | None:
        """Seconds of training that the last line at or before a step tells; None if there is none."""
        told = self.over("step", "seconds")
        before = np.flatnonzero(np.asarray(told.at) <= step)
        return float(told.values[before[-1]]) if before.size else None

    def picture(self, step: int) -> bytes | None:
        """The sample grid of a step; None, and a word among the damages, if it is no whole PNG file."""
        path = self.pictures[step]
        try:
            content = read_inside(self.path, path, LARGEST)
            check_picture(content)
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else None
            self.damages.append(f"{path} is not shown: {said or error}")
            return None
        return content


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run directories; runs of one name are told apart by their folders.

    What is damaged within a run is told in its ``damages``, and the rest of it is there.

    Raises:
        DataError: if a folder holds no run.
    """
    runs = [_read(local_path(path, "a run", "copy it to this machine first")) for path in paths]
    names = [run.name for run in runs]
    return [
        attrs.evolve(run, name=f"{run.name} ({run.path})") if names.count(run.name) > 1 else run
        for run in runs
    ]


def _where_told(at: Floats, values: Floats, needed: Floats) -> tuple[Floats, Floats]:
    untold = np.isnan(at) | np.isnan(needed)
    if not untold.any():
        return at, values
    return np.asarray(at)[~untold].tolist(), np.asarray(values)[~untold].tolist()


def _read(path: Path) -> Run:
    damages: list[str] = []
    config = _config(path, damages)
    lines = read_lines(path, _METRICS)
    name = str(config.get("name", path.name))[:_LONGEST_NAME]
    pictures = _pictures(path / _SAMPLES, damages)
    return Run(name, path, config, lines, pictures, [*damages, *lines.damages])


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
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        said = error.strerror if isinstance(error, OSError) else None
        damages.append(
            f"{file} cannot be read ({said or reason}), the run is shown without its configuration; "
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
        damages.append(f"{folder} cannot be read ({error.strerror or error}); its pictures are not shown")
        return {}
    return {int(match[1]): folder / name for name in names if (match := _PICTURE.fullmatch(name))}
