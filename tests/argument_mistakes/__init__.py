"""Mistakes that callers make in Python, each with what must be said of it; and what is none, though near."""

from pathlib import Path

from argument_mistakes import (
    asking,
    composing,
    conditions,
    drawing,
    evaluating,
    evaluating_memory,
    shapes,
    training,
)
from argument_mistakes.making import Mistake
from argument_mistakes.rights import rights

__all__ = ["mistakes", "rights"]


def mistakes(folder: Path) -> list[Mistake]:
    """All of them; each call raises a ThalwegError and leaves nothing behind."""
    kinds = (asking, conditions, drawing, composing, shapes, training, evaluating, evaluating_memory)
    return [one for kind in kinds for one in kind.mistakes(folder)]
