"""What the identity of a source or data set keeps."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from thalweg.errors import ThalwegError
from thalweg.protocols import Record
from thalweg_authoring.kinds.datasets import labels_of, read, splits
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject

_MOST = 64
_WORDS = (".cls", ".txt", ".json")
"""Files that hold what is stated of images."""


def variations(subject: Subject) -> Iterator[tuple[str, Any]]:
    """The subject with one number or switch of its config changed, and which; those that cannot be built are
    skipped."""
    config = subject.config()
    for field in attrs.fields(subject.config_class):
        name, value = field.alias or field.name, getattr(config, field.name)
        if type(value) not in (bool, int):
            continue
        try:
            another = subject.config(**{name: not value if isinstance(value, bool) else value + 1})
            yield name, subject.build(config=another)
        except ThalwegError:
            continue


def records(source: Any) -> list[Record]:
    """The first records of a source."""
    return [source[index] for index in range(min(len(source), _MOST))]


def descriptions(source: Any) -> list[Any]:
    """What a source says of its images, without them."""
    each = [(one.key, one.label, tuple(one.captions)) for one in records(source)]
    return [len(source), source.classes, tuple(source.class_names), source.captioned, each]


def held(data: Any) -> list[Any]:
    """What a data set holds, as bytes."""
    found: list[Any] = []
    for split in splits(data):
        batch = read(split)
        found += [len(split), batch.clean.numpy().tobytes(), labels_of(batch)]
    return found


def require_word(subject: Subject, first: Any, second: Any) -> None:
    """The identities of two of one config agree, and begin with its name."""
    require(first == second, "two of one config have different identities")
    require(
        isinstance(first, str) and first.startswith(f"{subject.name}:"),
        f"identity is {first!r}; begin it with '{subject.name}:', so that "
        f"{'sources' if subject.kind == 'source' else 'data sets'} are distinguished",
    )


@rule("dataset")
def its_identity_is_a_word_of_its_own(subject: Subject) -> None:
    """Building it twice gives the same identity, which begins with its name."""
    require_word(subject, subject.build().identity, subject.build().identity)


@rule("source", "dataset")
def other_data_have_another_identity(subject: Subject) -> None:
    """Where another value in its config gives other data, its identity is another."""
    contents = held if subject.kind == "dataset" else descriptions
    itself = subject.build()
    before = contents(itself)
    for name, other in variations(subject):
        require(
            other.identity != itself.identity or contents(other) == before,
            f"with another {name} it holds other data under the same identity; make it part of identity",
        )


@rule("source")
def its_identity_is_of_what_it_holds_and_not_of_the_place(subject: Subject) -> None:
    """Copied elsewhere it is the same; with another label or caption, or without an image, it is another."""
    place = Path(str(getattr(subject.config(), "url", "")))
    if not subject.has("url") or not place.exists():
        does_not_apply("it reads no file or folder of this machine")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "elsewhere" / place.name
        copy.parent.mkdir()
        if place.is_dir():
            shutil.copytree(place, copy)
        else:
            shutil.copy(place, copy)
        identity = subject.build(url=str(copy)).identity
        require(
            identity == subject.build().identity,
            "copied to another folder it has another identity; leave its place out of it",
        )
        files = sorted(one for one in copy.rglob("*") if one.is_file()) if copy.is_dir() else []
        for file in [one for one in files if one.suffix in _WORDS][:1]:
            before = file.read_bytes()
            file.write_bytes(before.translate(bytes.maketrans(b"aeiou013", b"eioua102")))
            _require_another(subject, copy, identity, f"with other words in {file.name}")
            file.write_bytes(before)
        for file in files[-1:]:
            file.unlink()
            _require_another(subject, copy, identity, f"without {file.name}")


def _require_another(subject: Subject, place: Path, identity: str, how: str) -> None:
    try:
        other = subject.build(url=str(place)).identity
    except ThalwegError:
        return  # it is refused, which is as good
    require(other != identity, f"{how} it has the same identity; let labels, captions and names count")
