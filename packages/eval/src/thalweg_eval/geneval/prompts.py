"""GenEval's prompts and what each asks of an image: the published set, or one's own in the same layout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from thalweg.errors import DataError
from thalweg.regular import parse_json, read_text
from thalweg_eval.geneval.names import COLOURS, OBJECTS, POSITIONS, TASKS

_SEED, _EACH, _MOST = 43, 100, 4
_NUMBERS = ("zero", "one", "two", "three", "four")


@attrs.frozen
class Wanted:
    """Objects of one class that must be there, or must not.

    Attributes:
        name: their class.
        count: how many at least.
        colour: which colour they must have, if any.
        position: where they must be, and from which of the prompt's wanted things, by its place; if at all.
    """

    name: str
    count: int
    colour: str | None = None
    position: tuple[str, int] | None = None


@attrs.frozen
class Prompt:
    """A prompt.

    Attributes:
        text: as a model is given it.
        task: one of the six.
        include: what must be there, all of it.
        exclude: what must not, none of it.
    """

    text: str
    task: str
    include: tuple[Wanted, ...]
    exclude: tuple[Wanted, ...] = ()


def standard_prompts() -> tuple[Prompt, ...]:
    """The 553 published prompts, drawn anew as the paper's authors drew them: numpy's generator, seed 43."""
    return tuple(dict.fromkeys(_drawn(np.random.default_rng(_SEED))))


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Prompts from a file like the published ``evaluation_metadata.jsonl``: one JSON object a line.

    Raises:
        DataError: naming the line, if something is missing or unknown.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as GenEval's prompts: {error}") from error
    prompts: dict[str, Prompt] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompt = _parsed(parse_json(line))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}, line {number} is no prompt in GenEval's layout ({error}); see "
                "evaluation_metadata.jsonl"
            ) from error
        if prompts.setdefault(prompt.text, prompt) != prompt:
            raise DataError(f"{path}, line {number} asks something else of a prompt that came before")
    if not prompts:
        raise DataError(f"{path} holds no prompts; give a file like GenEval's evaluation_metadata.jsonl")
    return tuple(prompts.values())


def _drawn(rng: np.random.Generator) -> Iterator[Prompt]:
    """The order of the draws decides what comes out."""
    objects, things = len(OBJECTS), len(OBJECTS) - 1  # things: all but persons, who come first
    for one in rng.choice(objects, size=objects, replace=False):
        yield Prompt(f"a photo of {_a(OBJECTS[one])}", TASKS[0], (Wanted(OBJECTS[one], 1),))
    for _ in range(_EACH):
        first, second = (OBJECTS[one] for one in rng.choice(objects, size=2, replace=False))
        text = f"a photo of {_a(first)} and {_a(second)}"
        yield Prompt(text, TASKS[1], (Wanted(first, 1), Wanted(second, 1)))
    for _ in range(_EACH):
        name, count = OBJECTS[rng.choice(objects)], int(rng.integers(2, _MOST, endpoint=True))
        text = f"a photo of {_NUMBERS[count]} {name}{'es' if name.endswith('s') else 's'}"
        yield Prompt(text, TASKS[2], (Wanted(name, count),), (Wanted(name, count + 1),))
    for _ in range(_EACH):
        name, colour = OBJECTS[rng.choice(things) + 1], COLOURS[rng.choice(len(COLOURS))]
        yield Prompt(f"a photo of {_a(colour)} {name}", TASKS[3], (Wanted(name, 1, colour),))
    for _ in range(_EACH):
        first, second = (OBJECTS[one] for one in rng.choice(objects, size=2, replace=False))
        where = POSITIONS[rng.choice(len(POSITIONS))]
        text = f"a photo of {_a(first)} {where} {_a(second)}"
        yield Prompt(text, TASKS[4], (Wanted(second, 1), Wanted(first, 1, position=(where, 0))))
    for _ in range(_EACH):
        first, second = (OBJECTS[one + 1] for one in rng.choice(things, size=2, replace=False))
        one, other = (COLOURS[index] for index in rng.choice(len(COLOURS), size=2, replace=False))
        text = f"a photo of {_a(one)} {first} and {_a(other)} {second}"
        yield Prompt(text, TASKS[5], (Wanted(first, 1, one), Wanted(second, 1, other)))


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _parsed(line: Any) -> Prompt:
    include = tuple(_wanted(one) for one in line["include"])
    for place, one in enumerate(include):
        if one.position is not None and not 0 <= one.position[1] < place:
            raise ValueError(f"{one.name} stands by something that does not come before it")
    if line["tag"] not in TASKS:
        raise ValueError(f"unknown task {line['tag']!r}")
    if not isinstance(line["prompt"], str):
        raise ValueError("the prompt is no text")
    return Prompt(
        line["prompt"], line["tag"], include, tuple(_wanted(one) for one in line.get("exclude", ()))
    )


def _wanted(one: Any) -> Wanted:
    name, count, colour, position = one["class"], one["count"], one.get("color"), one.get("position")
    if name not in OBJECTS:
        raise ValueError(f"unknown class {name!r}")
    if type(count) is not int or count < 1:
        raise ValueError(f"count {count!r} of {name}")
    if colour is not None and colour not in COLOURS:
        raise ValueError(f"unknown colour {colour!r}")
    if position is not None:
        where, target = position
        if where not in POSITIONS or type(target) is not int:
            raise ValueError(f"unknown position {position!r}")
        position = (where, target)
    return Wanted(name, count, colour, position)
