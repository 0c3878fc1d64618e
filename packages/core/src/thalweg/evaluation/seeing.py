"""All of a set seen by judges: by this process or by several, from the beginning or going on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import ConfigError, ThalwegError
from thalweg.evaluation import ranges as spans
from thalweg.evaluation.adopting import Content, adopt
from thalweg.evaluation.images import Images
from thalweg.evaluation.judges import Judge
from thalweg.evaluation.parts import Parts, Statistics
from thalweg.evaluation.processes import divided, shared_work
from thalweg.evaluation.ranges import Range
from thalweg.evaluation.recorders import SAVE_SECONDS, Seeing, work
from thalweg.evaluation.sets import HeldSet, ImageSet, to_plain
from thalweg.evaluation.settings import EvaluationConfig
from thalweg.evaluation.tasks import SeeTask, makers_of
from thalweg.evaluation.tasks import to_plain as task_to_plain
from thalweg.evaluation.workplace import claimed, digest, sweep
from thalweg.facts import Facts
from thalweg.folders import refuse_links

_ATTEMPTS = 3  # on a disk that damages what was just written

Progress = Callable[[str, int, int], None]
"""Called with what is being seen, how much of it is done, and how much there is."""


@attrs.frozen(eq=False)
class Means:
    """With what an evaluation is carried out; none of it changes its numbers.

    Attributes:
        work: the folder where interrupted work and references are kept.
        device: where networks run.
        devices: processes that share the work.
        batch_size: images at a time.
        save_seconds: how often what was seen is put on disk.
        progress: told how far it is.
    """

    work: Path
    device: str
    devices: int = 1
    batch_size: int = 64
    save_seconds: float = SAVE_SECONDS
    progress: Progress = lambda *_: None


@attrs.frozen(eq=False)
class Side:
    """One of the two sets.

    Attributes:
        what: what it is called: ``samples`` or ``reference``.
        images: the set, open.
        stated: the same, to be opened by other processes; None where only this one has it.
        identity: what decides the images, in plain values.
    """

    what: str
    images: Images
    stated: ImageSet | None
    identity: Mapping[str, Any]

    @property
    def is_reference(self) -> bool:
        """Whether it is the reference."""
        return self.what == "reference"


@attrs.frozen(eq=False)
class Seen:
    """What all images of a side came to.

    Attributes:
        statistics: by key.
        folder: where that is kept until :meth:`forget`; None if nothing is.
    """

    statistics: Statistics
    folder: Path | None

    def forget(self) -> None:
        """Remove what is kept, once what was made of it is on disk."""
        if self.folder is not None and self.folder.exists():
            with suppress(ConfigError), claimed(self.folder):  # somebody else may be at the same just now
                Parts(self.folder, {}).remove()


def kept_in(work: Path, side: Side, judges: Sequence[Judge], keys: Sequence[str]) -> Path:
    """The folder where what these judges see of a side is kept until it is complete."""
    request = {
        "side": side.what,
        "images": side.identity,
        "count": len(side.images),
        "judges": {judge.name: judge.identity for judge in judges},
        "keys": sorted(keys),
    }
    refuse_links(work, "unfinished")
    return work / "unfinished" / digest(request)[:32]


def _content(side: Side, judges: Sequence[Judge], keys: Iterable[str]) -> Content:
    images = {"side": side.what, "images": side.identity, "count": len(side.images)}
    identities = {judge.name: judge.identity for judge in judges}
    return Content.of(images, {key: dict(identities.get(key.partition("/")[0], {})) for key in keys})


def see(
    side: Side,
    judges: Sequence[Judge],
    config: EvaluationConfig,
    facts: Facts,
    teaching: ImageSet | HeldSet | None,
    keys: Sequence[str],
    means: Means,
) -> Seen:
    """The statistics of these keys, of all images of a side.

    Work that was interrupted goes on: nothing is seen twice that had been put on disk.

    Raises:
        ConfigError: if somebody else is at the same.
        ThalwegError: if an image is damaged or a file cannot be written.
    """
    count = len(side.images)
    makers = {
        key: make
        for key, make in makers_of(list(judges), count, reference=side.is_reference).items()
        if key in keys
    }
    if not makers:
        return Seen({}, None)
    folder = kept_in(means.work, side, judges, keys)
    sweep(folder.parent.glob("*"))
    with claimed(folder):
        content = _content(side, judges, makers)
        parts = Parts(folder, makers, content.metadata())
        if not parts.done():
            adopt(parts, content, folder)
        for _ in range(_ATTEMPTS):
            done = parts.done()
            left = spans.without([(0, count)], done)
            reached = spans.size(done)

            def advanced(more: int) -> None:
                nonlocal reached
                reached += more
                means.progress(side.what, reached, count)

            if reached:
                means.progress(side.what, reached, count)

            def own(ranges: Sequence[Range], told: Callable[[int], None]) -> None:
                work(Seeing(side.images, judges, parts, means.save_seconds), ranges, means.batch_size, told)

            if left and means.devices == 1:
                own(left, advanced)
            elif left:
                assert side.stated is not None and not isinstance(teaching, HeldSet)  # noqa: S101, PT018 - as of check_shared
                task = SeeTask(
                    images=to_plain(side.stated),
                    config=config,
                    facts=facts,
                    keys=tuple(sorted(keys)),
                    count=count,
                    reference=side.is_reference,
                    teaching=None if teaching is None else to_plain(teaching),
                    device=means.device,
                    batch_size=means.batch_size,
                    told=content.metadata(),
                )
                shared_work(folder, task_to_plain(task), divided(left, means.devices), own, advanced)
            if not spans.without([(0, count)], parts.done()):
                whole = parts.merged()
                if whole is not None:
                    return Seen(whole, folder)
    raise ThalwegError(
        f"not all {side.what} were seen, or what is written to {folder} is damaged again and again; the same "
        "command goes on from there"
    )
