"""Names of emoji as captions: what the picture shows, then the skin tones of the people in it."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

TONES = {
    "1f3fb": "light skin tone",
    "1f3fc": "medium-light skin tone",
    "1f3fd": "medium skin tone",
    "1f3fe": "medium-dark skin tone",
    "1f3ff": "dark skin tone",
}
"""The five modifiers of Unicode's emoji (UTS 51, table 4), by their code points, from light to dark."""

_SELECTOR = "fe0f"  # asks for the picture rather than the letter, and says nothing of what is seen
# The standard's five phrases as whole words, longest first; "gem_stone" has a tone in it and no skin.
_TONE = re.compile(r"(?<![a-z-])(medium-light|medium-dark|light|medium|dark)_skin_tone(?![a-z])")
_REGIONAL = range(0x1F1E6, 0x1F200)
_TAGGED = "1f3f4-e0067"


class Name(NamedTuple):
    """What a picture shows.

    Attributes:
        object: it, without skin tones; empty for a swatch of a skin tone.
        tones: of the people in it, in the order in which the standard names them.
    """

    object: str
    tones: tuple[str, ...]

    @property
    def caption(self) -> str:
        """``waving hand, medium-light skin tone``; of what has no tone, ``broom``."""
        return ", ".join(filter(None, (self.object, *self.tones)))


def by_code_points(table: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """English short names by code points, joined by ``-`` as the pictures' files are named.

    Each stands there as it is and, where that is not another's name, without the code point that asks for a
    picture, which some files leave out.

    Raises:
        KeyError: if an entry has no English name.
    """
    exact = {_points(emoji): str(entry["en"]) for emoji, entry in table.items()}
    bare = {_bare(points): name for points, name in exact.items()}
    return bare | exact


def name_of(points: str, short: str) -> Name:
    """What a picture shows, from its code points and its short name such as ``:waving_hand_dark_skin_tone:``.

    The tones come last, wherever the short name has them; flags of countries, whose short names are the
    countries', are called flags. All else stays as it is.
    """
    short = short.strip(":")
    tones = tuple(f"{one} skin tone" for one in _TONE.findall(short))
    said = " ".join(_TONE.sub("", short).replace("_", " ").split())
    return Name(f"flag of {said}" if _is_flag(points) else said, tones)


def without_tone(points: str) -> tuple[str, str] | None:
    """Code points without the one skin tone among them, and that; None where there is none, several, or
    nothing else."""
    parts = points.split("-")
    tones = [part for part in parts if part in TONES]
    rest = [part for part in parts if part not in TONES]
    return ("-".join(rest), tones[0]) if len(tones) == 1 and rest else None


def _points(emoji: str) -> str:
    return "-".join(f"{ord(letter):x}" for letter in emoji)


def _bare(points: str) -> str:
    return "-".join(part for part in points.split("-") if part != _SELECTOR)


def _is_flag(points: str) -> bool:
    parts = points.split("-")
    return points.startswith(_TAGGED) or (
        len(parts) == 2 and all(int(part, 16) in _REGIONAL for part in parts)
    )
