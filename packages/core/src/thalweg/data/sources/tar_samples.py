"""The samples of one tar file in the layout of WebDataset."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, NamedTuple

from thalweg.data.sources.captions import joined, stripped, text_of
from thalweg.data.sources.listed import LARGEST_LIST, LIST, Listing, listing
from thalweg.data.sources.names import SUFFIXES, Skipped, hidden_in
from thalweg.data.sources.tar_scan import Member, scan
from thalweg.errors import DataError
from thalweg.regular import parse_json
from thalweg.storage import Location

_SIDECARS = (".cls", ".txt", ".json")


class Sample(NamedTuple):
    """One image within a tar file.

    Attributes:
        key: the name that its members share.
        image: the image's member.
        text: the member that holds captions.
        label: its class.
        stated: the captions that stood in its ``.json``.
        described: whether a text or a field for captions is there, empty or not.
    """

    key: str
    image: Member
    text: Member | None
    label: int | None
    stated: tuple[str, ...]
    described: bool

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions.

        Raises:
            DataError: if its text is damaged.
        """
        if self.text is None:
            return self.stated
        return joined(text_of(self.text.content, str(self.text)), self.stated)


class _Described(NamedTuple):
    """What a sample's ``.json`` says; captions are None where it has no field for them."""

    label: int | None = None
    captions: tuple[str, ...] | None = None
    status: str = "success"


def samples_of(location: Location) -> tuple[list[Sample], Skipped]:
    """The samples of a tar file in the order of their first members, with the classes that a ``dataset.json``
    among them states, and what is skipped.

    Raises:
        DataError: if it is no tar file, or damaged; if it holds what no data set does; if a sample has no
            image, or two, or a label or caption that cannot be read; or if samples and list do not belong
            together.
    """
    members, listed = [], None
    for member in scan(location, _is_sidecar):
        if not _is_list(member.name):
            members.append(member)
            continue
        content = member.read(limit=LARGEST_LIST)
        one = listing(content, str(member))
        if one is None:
            # What is called dataset.json and is no such list is a sample's own.
            members.append(member._replace(content=content))
        elif listed is not None:
            raise DataError(f"{location} holds {listed[0].where} and another {LIST}; pack each set alone")
        else:
            listed = one, member.name.rpartition("/")[0]
    found, passed = _samples(members, str(location))
    return found if listed is None else _labelled(found, *listed, where=str(location)), passed


def _is_sidecar(name: str) -> bool:
    """Whether a member is small and says something of an image, so that it is read with the headers."""
    return _split(name)[1] in _SIDECARS and not _is_list(name) and hidden_in(name) is None


def _is_list(name: str) -> bool:
    """Whether a member may be the ``dataset.json`` of all images."""
    return name.rpartition("/")[2] == LIST and hidden_in(name) is None


def _samples(members: Sequence[Member], where: str) -> tuple[list[Sample], Skipped]:
    """Passed over are hidden members, those of no known type, and samples that img2dataset could not
    download."""
    passed = Skipped()
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
        meta = _described(group[".json"]) if ".json" in group else _Described()
        if meta.status.startswith("failed") or ("image" not in group and meta.status != "success"):
            passed.add("whose download failed", [key])
        elif "image" not in group:
            bare.append(next(iter(group.values())).name)
        else:
            found.append(_sample(key, group, meta, where))
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


def _sample(key: str, group: dict[str, Member], meta: _Described, where: str) -> Sample:
    label = meta.label
    if ".cls" in group:
        stated = _label(group[".cls"])
        if label not in (None, stated):
            raise DataError(f"{key} in {where} has label {stated} in .cls and {label} in .json; correct one")
        label = stated
    described = ".txt" in group or meta.captions is not None
    return Sample(key, group["image"], group.get(".txt"), label, meta.captions or (), described)


def _label(member: Member) -> int:
    text = member.content.removeprefix(BOM_UTF8).strip()
    if not text.isdigit() or len(text) > 9:
        raise DataError(f"{member} holds {text[:20]!r}; it must be a class, 0 or greater")
    return int(text)


def _described(member: Member) -> _Described:
    try:
        meta: Any = parse_json(member.content)
    except ValueError as error:
        raise DataError(f"{member} is no JSON ({error}); correct it") from error
    if not isinstance(meta, dict):
        raise DataError(f"{member} holds no object; it may hold the fields label and caption")
    label, status = meta.get("label"), meta.get("status")
    if label is not None and (type(label) is not int or label < 0):
        raise DataError(f"{member} has the label {label!r}; it must be a class, 0 or greater")
    captions = None
    if "caption" in meta:
        given = meta["caption"]
        each = given if isinstance(given, list) else [given]
        if not all(one is None or isinstance(one, str) for one in each):
            raise DataError(f"{member} has a caption that is neither a text nor a list of texts; correct it")
        captions = stripped(each)
    return _Described(label, captions, status if isinstance(status, str) else "success")


def _labelled(found: list[Sample], listed: Listing, folder: str, where: str) -> list[Sample]:
    """Samples with the classes that the list beside them states."""
    prefix = f"{folder}/" if folder else ""
    outside = [one.image.name for one in found if not one.image.name.startswith(prefix)]
    if outside:
        raise DataError(f"{where} holds {outside[0]} outside of {folder}, whose {LIST} is read; take it out")
    labels = listed.labels_of([one.image.name.removeprefix(prefix) for one in found])
    if labels is None:
        return found
    for one, label in zip(found, labels, strict=True):
        if one.label not in (None, label):
            raise DataError(f"{one.key} in {where} has label {one.label}, and {label} in {LIST}; correct one")
    return [one._replace(label=label) for one, label in zip(found, labels, strict=True)]


def all_or_none(where: str, what: str, having: list[tuple[str, bool]]) -> bool:
    """Whether every sample, by its key, has something.

    Raises:
        DataError: if some have and others have not.
    """
    without = [key for key, has in having if not has]
    if without and len(without) < len(having):
        raise DataError(
            f"{len(without)} of {len(having)} samples of {where} have no {what}, the first is {without[0]}; "
            f"give every sample a {what}, or none"
        )
    return not without
