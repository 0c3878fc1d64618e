"""Weights of one network that a file holds more than once, under names that nobody agreed on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from thalweg.foreign_names import bare

_DEEPEST = 4
# The states of optimisers have tensors of the network's shapes, too.
_OPTIMISERS = "opt"


def others(content: Mapping[Any, Any], chosen: Mapping[str, Tensor]) -> list[str]:
    """Where in a file the tensors of the chosen network stand again, with other values perhaps.

    Args:
        content: of the file.
        chosen: tensors by their names, taken from it.
    """
    names = {_undotted(name) for name in chosen}
    shapes = sorted(tuple(one.shape) for one in chosen.values())
    own = {id(one) for one in chosen.values()}
    found = []
    for place, tensors in _tables(content, ()):
        if own & {id(one) for one in tensors.values()}:
            continue
        if all(isinstance(name, int) for name in tensors):
            again = len(tensors) > 1 and _most(sorted(tuple(one.shape) for one in tensors.values()), shapes)
        else:
            again = 2 * len(names & {_undotted(str(name)) for name in tensors}) > len(names)
        if again:
            found.append(".".join(place))
    return found


def _tables(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[Any, Tensor]]]:
    """All tables and lists of tensors, with where they stand; a pickle may hold itself."""
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = enumerate(value)
    tensors = {}
    for key, one in items:
        if isinstance(one, Tensor):
            tensors[key] = one
        elif len(place) < _DEEPEST and _OPTIMISERS not in str(key).lower():
            yield from _tables(one, (*place, str(key)))
    if tensors:
        yield place, tensors


def _most(some: list[tuple[int, ...]], all_of_them: list[tuple[int, ...]]) -> bool:
    """Whether these are among those, but for a few that are never trained."""
    left = list(all_of_them)
    for shape in some:
        if shape not in left:
            return False
        left.remove(shape)
    return 2 * len(some) > len(all_of_them)


def _undotted(name: str) -> str:
    return bare(name).replace(".", "")
