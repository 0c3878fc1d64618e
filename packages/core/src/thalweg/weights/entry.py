"""Tables of published weights: TOML, read strictly."""

import re
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
from attrs.validators import ge, max_len, min_len, optional

from thalweg.config import FaultyConfigError, Problem, structure
from thalweg.config.recipes import parse_toml
from thalweg.errors import ConfigError
from thalweg.regular import read_text
from thalweg.storage.gate import PLACELESS
from thalweg.storage.redaction import excerpt
from thalweg.storage.url_texts import MASK, query_values, scheme_of, user_infos

Checked = Literal["verified", "stated", "unverified"]
"""How far a SHA-256 is known: compared with the file by whoever made the table, stated by who published it,
or not at all."""

WHOLE = 64
"""Digits of a whole SHA-256."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FILE = re.compile(r"[A-Za-z0-9][\w.+-]*")
_SHA256 = re.compile(rf"[0-9a-f]{{8,{WHOLE}}}")
_SECRET = re.compile(r"secret|token|sig|pass|cred|auth", re.IGNORECASE)
_LARGEST = 4 * 2**20  # bytes of a table
_LONGEST = 100


def _urls(_: object, __: object, urls: list[str]) -> None:
    if not urls:
        raise ConfigError("must name at least one URL")
    for url in urls:
        # Of what may be a secret, nothing is shown.
        if [*user_infos(url)] or MASK in url or "#" in url:
            raise ConfigError("holds user info, a mask or a fragment; give URLs that anybody may open")
        if any(_SECRET.search(name) for name, _ in query_values(url)):
            raise ConfigError("holds a credential in its query; give URLs that anybody may open")
        if not scheme_of(url) or scheme_of(url).lower() in PLACELESS:
            raise ConfigError(f"holds {excerpt(url, _LONGEST)!r}, which is no URL")


def _matching(pattern: re.Pattern[str], wanted: str) -> Any:
    def check(_: object, __: object, text: str) -> None:
        if not pattern.fullmatch(text) or len(text) > _LONGEST:
            raise ConfigError(f"is {excerpt(text, _LONGEST)!r}, and must be {wanted}")

    return check


@attrs.frozen
class WeightsFile:
    """One file.

    Attributes:
        name: what it is called here.
        urls: where it is published; of several, the first that answers is taken.
        bytes: its size, if known.
        sha256: how its SHA-256 begins, in 8 to 64 hexadecimal digits; empty if nothing is known of it.
        checked: how that is known.
        about: roughly how many bytes, where ``bytes`` is unknown; for people, and compared with nothing.
    """

    name: str = attrs.field(validator=_matching(_FILE, "letters, digits and . _ + -, no folder"))
    urls: list[str] = attrs.field(validator=_urls)
    bytes: int | None = attrs.field(default=None, validator=optional(ge(1)))
    sha256: str = attrs.field(default="")
    checked: Checked = attrs.field(default="unverified")
    about: int | None = attrs.field(default=None, validator=optional(ge(1)))

    @sha256.validator
    def _digits(self, _: object, sha256: str) -> None:
        if sha256 and not _SHA256.fullmatch(sha256):
            raise ConfigError(f"is {excerpt(sha256, _LONGEST)!r}, and must be 8 to 64 hexadecimal digits")

    @checked.validator
    def _known(self, _: object, checked: Checked) -> None:
        if (checked == "unverified") != (not self.sha256):
            raise ConfigError("is 'verified' or 'stated' where there is a sha256, else 'unverified'")
        if checked == "verified" and len(self.sha256) != WHOLE:
            raise ConfigError("is 'verified', which takes the whole sha256 of 64 digits")

    @property
    def whole(self) -> bool:
        """Whether its whole SHA-256 is known beforehand."""
        return len(self.sha256) == WHOLE


@attrs.frozen
class WeightsEntry:
    """What a name stands for: a file, or a folder of several.

    Attributes:
        name: by which it is fetched and used.
        what: it is, in a sentence.
        licence: under which it is published: an identifier of SPDX where there is one.
        source: the page on which it is published.
        files: all that belongs to it.
    """

    name: str = attrs.field(validator=_matching(_NAME, "small letters, digits and . _ -"))
    what: str = attrs.field(validator=min_len(1))
    licence: str = attrs.field(validator=min_len(1))
    source: str = attrs.field(validator=min_len(1))
    files: list[WeightsFile] = attrs.field(validator=[min_len(1), max_len(_LONGEST)])

    @files.validator
    def _distinct(self, _: object, files: list[WeightsFile]) -> None:
        if len({one.name for one in files}) < len(files):
            raise ConfigError("has two files of one name")

    @property
    def folder(self) -> bool:
        """Whether it is a folder of several files."""
        return len(self.files) > 1

    @property
    def bytes(self) -> int | None:
        """Of all files together; None if that of one is unknown."""
        sizes = [one.bytes for one in self.files if one.bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    @property
    def about(self) -> int:
        """Roughly how many bytes, as far as anything is known of them; 0 if nothing is."""
        return sum(one.bytes or one.about or 0 for one in self.files)

    @property
    def checked(self) -> Checked:
        """How far the checksums are known: as far as that of the least known file."""
        order = get_args(Checked)
        return max((one.checked for one in self.files), key=order.index)


def read_table(path: Path) -> list[WeightsEntry]:
    """The entries of a table: of TOML, whose tables at the top are entries by their names.

    Raises:
        ConfigError: it cannot be read, or has faults, all of which are named.
    """
    try:
        data = parse_toml(read_text(path, _LARGEST))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a table of weights: {error}") from error
    entries: list[WeightsEntry] = []
    problems: list[Problem] = []
    for name, about in data.items():
        try:
            given = about if isinstance(about, dict) else {}
            entries.append(structure(WeightsEntry, {**given, "name": name}))
        except FaultyConfigError as faults:
            problems += faults.under(name).problems
    if problems:
        raise FaultyConfigError(problems, str(path))
    return entries
