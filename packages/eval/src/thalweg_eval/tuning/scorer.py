"""Numbers of the points of a scan: kept ones from their files, and all others computed and kept."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic

import attrs

from thalweg.errors import DataError
from thalweg.folders import make_folders, refuse_links
from thalweg.jobs.workspace import digest
from thalweg.passport import Passport, read_passport
from thalweg_eval.evaluation.compare import compare
from thalweg_eval.evaluation.evaluator import Evaluator, Way
from thalweg_eval.evaluation.protocol import Protocol
from thalweg_eval.tuning.folder import POINTS
from thalweg_eval.tuning.points import Kind

_SAMPLING, _NFE = "sampling", "nfe"
_LONGEST = 120  # characters of a file's name
_NO_FILE = re.compile(r"[^\w.+-]+")


@attrs.frozen(eq=False)
class Scored(Generic[Kind]):
    """A point with its passports.

    Attributes:
        point: which.
        passports: one a seed, in order.
        files: theirs, relative to the tuning's folder.
    """

    point: Kind
    passports: tuple[Passport, ...]
    files: tuple[str, ...]

    def numbers(self, name: str) -> list[float]:
        """A number under each seed."""
        return [one[name] for one in self.passports]

    @property
    def nfe(self) -> float | None:
        """Network evaluations of a sample; None where they were not counted."""
        counts = [float(one.subject[_NFE]) for one in self.passports if _NFE in one.subject]
        return sum(counts) / len(counts) if counts else None

    @property
    def seconds(self) -> float:
        """Wall time of an evaluation, sampling and scoring, on average."""
        return sum(float(one.machine["seconds"]) for one in self.passports) / len(self.passports)


class Scorer(Generic[Kind]):
    """Evaluates points on the same noise, labels and reference, one file a point.

    Args:
        out: the tuning's folder.
        read: the protocol of a point under a seed.
        opened: opens network and reference for these protocols.
        checkpoint: SHA-256 of the network.
        say: shows one line of progress.

    Attributes:
        passports: all that were asked for so far.
    """

    def __init__(
        self,
        out: Path,
        read: Callable[[Kind, int], Protocol],
        opened: Callable[[Sequence[Protocol]], Evaluator],
        checkpoint: str,
        say: Callable[[str], None],
    ) -> None:
        self._out, self._read, self._opened, self._checkpoint, self._say = out, read, opened, checkpoint, say
        self._evaluator: Evaluator | None = None
        self.passports: list[Passport] = []

    def __call__(
        self,
        points: Sequence[Kind],
        seeds: Sequence[int],
        first: Callable[[Passport], object] = lambda _: None,
        label: str = "",
    ) -> list[Scored[Kind]]:
        """The numbers of these points under these seeds.

        Args:
            points: in order.
            seeds: of the samples' noise.
            first: gets the first passport before the others are made.
            label: what progress is counted by; the place among these points by default.

        Raises:
            ConfigError: the network cannot be guided by one of them; before any of them is sampled.
            DataError: kept points were made under other conditions.
            ThalwegError: samples are not finite, or a file cannot be written.
        """
        asked = [(point, seed) for point in points for seed in seeds]
        protocols = [self._read(*one) for one in asked]
        found = [self._kept(*one, protocol) for one, protocol in zip(asked, protocols, strict=True)]
        missing = [place for place, one in enumerate(found) if one is None]
        ways = dict(zip(missing, self._ways([protocols[place] for place in missing]), strict=True))
        for place, (point, seed) in enumerate(asked):
            passport = found[place]
            if passport is None:
                self._say(f"[{label or f'{place + 1}/{len(asked)}'}] {point.name}, seed {seed}")
                passport = found[place] = self._made(ways[place], self._path(point, seed))
            if place == 0:
                first(passport)
        passports = [one for one in found if one is not None]
        self.passports += passports
        self._check_alike()
        count = len(seeds)
        return [
            Scored(
                point,
                tuple(passports[place * count : (place + 1) * count]),
                tuple(str(self._path(point, seed).relative_to(self._out)) for seed in seeds),
            )
            for place, point in enumerate(points)
        ]

    def _ways(self, protocols: Sequence[Protocol]) -> list[Way]:
        """What is still to come, open; network and reference are opened once there is any."""
        if not protocols:
            return []
        if self._evaluator is None:
            self._evaluator = self._opened(protocols)
            return list(self._evaluator.ways)
        return [self._evaluator.add(one) for one in protocols]

    def _made(self, way: Way, path: Path) -> Passport:
        assert self._evaluator is not None  # noqa: S101 - it has opened the way
        passport = self._evaluator.score(way)
        make_folders(path.parent)
        passport.write(path)
        self._evaluator.remove(way)
        return passport

    def _path(self, point: Kind, seed: int) -> Path:
        name = _NO_FILE.sub("-", point.name).strip("-")
        if len(name) > _LONGEST:
            name = f"{name[:_LONGEST]}-{digest({'name': name})[:12]}"
        below = f"{POINTS}/seed-{seed}/{name}.json"
        refuse_links(self._out, below)
        return self._out / below

    def _kept(self, point: Kind, seed: int, protocol: Protocol) -> Passport | None:
        """What an earlier command found, if it is whole and of this network and these settings."""
        path = self._path(point, seed)
        if not path.is_file():
            return None
        try:
            passport = read_passport(path)
        except DataError as fault:
            self._say(f"warning: {fault}; it is made anew")
            return None
        made = passport.protocol
        same = (
            passport.subject.get("checkpoint") == self._checkpoint
            and made.get("sha256") == protocol.sha256
            and made.get("changed") == list(protocol.changed)
        )
        if not same:
            self._say(f"warning: {path} is of another network or other settings; it is made anew")
        return passport if same else None

    def _check_alike(self) -> None:
        differing = compare(self.passports, [_SAMPLING]).differing
        if differing:
            raise DataError(
                f"points in {self._out / POINTS} were made under different conditions "
                f"({', '.join(differing)}); choose another --out"
            )
