"""From the members of a tar file to samples: members that share a name up to its first dot are one."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, NamedTuple

from thalweg.data.sources.captions import stripped
from thalweg.data.sources.listed import LIST
from thalweg.data.sources.names import SUFFIXES
from thalweg.data.sources.passed_over import PassedOver, hidden_in
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
        described: whether a text or a field for captions is there, empty or not.
    """

    key: str
    image: Member
    text: Member | None
    label: int | None
    captions: tuple[str, ...]
    described: bool


class _Described(NamedTuple):
    """What a sample's ``.json`` says; captions are None where it has no field for them."""

    label: int | None = None
    captions: tuple[str, ...] | None = None
    status: str = "success"


def is_sidecar(name: str) -> bool:
    """Whether a member is small and says something of an image, so that it is read with the headers."""
    return _split(name)[1] in _SIDECARS and not is_list(name) and hidden_in(name) is None


def is_list(name: str) -> bool:
    """Whether a member may be the ``dataset.json`` of all images."""
    return name.rpartition("/")[2] == LIST and hidden_in(name) is None


def samples(members: Sequence[Member], where: str) -> tuple[list[Sample], PassedOver]:
    """The samples in the order of their first members, and what is passed over: hidden members, those of no
    known type, and samples that img2dataset could not download.

    Args:
        members: of one tar file.
        where: what it is called in errors.

    Raises:
        DataError: if a sample has no image, or two, or a label or caption that cannot be read.
    """
    passed = PassedOver()
    kept = set(passed.take_hidden(member.name for member in members))
    groups: dict[str, dict[str, Member]] = {}
    for member in (one for one in members if one.name in kept):
        key, suffix = _split(member.name)
        if suffix not in (*SUFFIXES, *_SIDECARS):
            passed.add("that are no images, labels or captions", [member.name])
            continue
        kind = "image" if suffix in SUFFIXES else suffix
        group = groups.setdefault(key, {})
        if kind in group:
            raise DataError(f"{where} holds two of {group[kind].name} and {member.name}; keep one of them")
        group[kind] = member
    found, bare = [], []
    for key, group in groups.items():
        said = _described(group[".json"], where) if ".json" in group else _Described()
        if said.status.startswith("failed") or ("image" not in group and said.status != "success"):
            passed.add("whose download failed", [key])
        elif "image" not in group:
            bare.append(next(iter(group.values())).name)
        else:
            found.append(_sample(key, group, said, where))
    if bare:
        raise DataError(
            f"{len(bare)} samples of {where} have no jpg, png or webp image, the first is that of {bare[0]}; "
            "add the images or take the rest out"
        )
    return found, passed


def _split(name: str) -> tuple[str, str]:
    """Key and suffix in lower case; folders may hold dots."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    return folder + slash + stem, (dot + suffix).lower()


def _sample(key: str, group: dict[str, Member], said: _Described, where: str) -> Sample:
    label = said.label
    if ".cls" in group:
        stated = _label(group[".cls"], where)
        if label not in (None, stated):
            raise DataError(f"{key} in {where} has label {stated} in .cls and {label} in .json; correct one")
        label = stated
    described = ".txt" in group or said.captions is not None
    return Sample(key, group["image"], group.get(".txt"), label, said.captions or (), described)


def _label(member: Member, where: str) -> int:
    text = (member.content or b"").removeprefix(BOM_UTF8).strip()
    if not text.isdigit() or len(text) > 9:
        raise DataError(f"{member.name} in {where} holds {text[:20]!r}; it must be a class, 0 or greater")
    return int(text)


def _described(member: Member, where: str) -> _Described:
    name = f"{member.name} in {where}"
    try:
        said: Any = parse_json(member.content or b"")
    except ValueError as error:
        raise DataError(f"{name} is no JSON ({error}); correct it") from error
    if not isinstance(said, dict):
        raise DataError(f"{name} holds no object; it may hold the fields label and caption")
    label, status = said.get("label"), said.get("status")
    if label is not None and (type(label) is not int or label < 0):
        raise DataError(f"{name} has the label {label!r}; it must be a class, 0 or greater")
    captions = None
    if "caption" in said:
        given = said["caption"]
        each = given if isinstance(given, list) else [given]
        if not all(one is None or isinstance(one, str) for one in each):
            raise DataError(f"{name} has a caption that is neither a text nor a list of texts; correct it")
        captions = stripped(each)
    return _Described(label, captions, status if isinstance(status, str) else "success")
