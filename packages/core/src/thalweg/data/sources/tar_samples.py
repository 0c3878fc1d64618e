"""From the members of a tar file to samples: members that share a name up to its first dot are one."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from thalweg.data.sources.names import SUFFIXES
from thalweg.data.sources.tar_scan import Member
from thalweg.errors import DataError
from thalweg.regular import parse_json

_SIDECARS = (".cls", ".txt", ".json")


class Sample(NamedTuple):
    """One image within a tar file.

    Attributes:
        key: the name that its members share.
        image: the image's member.
        text: the member that holds captions.
        label: its class.
        captions: those that stood in its ``.json``.
    """

    key: str
    image: Member
    text: Member | None
    label: int | None
    captions: tuple[str, ...]

    @property
    def described(self) -> bool:
        """Whether it bears captions."""
        return self.text is not None or bool(self.captions)


def is_sidecar(name: str) -> bool:
    """Whether a member is small and says something of an image, so that it is read with the headers."""
    return _split(name)[1] in _SIDECARS


def samples(members: Sequence[Member], where: str) -> tuple[list[Sample], list[str]]:
    """The samples in the order of their first members, and the names of members of no known type.

    Args:
        members: of one tar file.
        where: what it is called in errors.

    Raises:
        DataError: if a sample has no image, or two, or a label or caption that cannot be read.
    """
    groups: dict[str, dict[str, Member]] = {}
    ignored = []
    for member in members:
        key, suffix = _split(member.name)
        if PurePosixPath(member.name).name.startswith(".") or suffix not in (*SUFFIXES, *_SIDECARS):
            ignored.append(member.name)
            continue
        kind = "image" if suffix in SUFFIXES else suffix
        group = groups.setdefault(key, {})
        if kind in group:
            raise DataError(f"{where} holds two of {group[kind].name} and {member.name}; keep one of them")
        group[kind] = member
    bare = [next(iter(group.values())).name for group in groups.values() if "image" not in group]
    if bare:
        raise DataError(
            f"{len(bare)} samples of {where} have no jpg, png or webp image, the first is that of {bare[0]}; "
            "add the images or take the rest out"
        )
    return [_sample(key, group, where) for key, group in groups.items()], ignored


def _split(name: str) -> tuple[str, str]:
    """Key and suffix in lower case; folders may hold dots."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return folder + slash + stem, (dot + suffix).lower()


def _sample(key: str, group: dict[str, Member], where: str) -> Sample:
    label, captions = _described(group[".json"], where) if ".json" in group else (None, ())
    if ".cls" in group:
        stated = _label(group[".cls"], where)
        if label not in (None, stated):
            raise DataError(f"{key} in {where} has label {stated} in .cls and {label} in .json; correct one")
        label = stated
    return Sample(key, group["image"], group.get(".txt"), label, captions)


def _label(member: Member, where: str) -> int:
    text = (member.content or b"").strip()
    if not text.isdigit() or len(text) > 9:
        raise DataError(f"{member.name} in {where} holds {text[:20]!r}; it must be a class, 0 or greater")
    return int(text)


def _described(member: Member, where: str) -> tuple[int | None, tuple[str, ...]]:
    name = f"{member.name} in {where}"
    try:
        said: Any = parse_json(member.content or b"")
    except ValueError as error:
        raise DataError(f"{name} is no JSON ({error}); correct it") from error
    if not isinstance(said, dict):
        raise DataError(f"{name} holds no object; it may hold the fields label and caption")
    label, caption = said.get("label"), said.get("caption")
    if label is not None and (type(label) is not int or label < 0):
        raise DataError(f"{name} has the label {label!r}; it must be a class, 0 or greater")
    captions = [caption] if isinstance(caption, str) else [] if caption is None else caption
    if not isinstance(captions, list) or not all(isinstance(one, str) for one in captions):
        raise DataError(f"{name} has a caption that is neither a text nor a list of texts; correct it")
    return label, tuple(captions)
