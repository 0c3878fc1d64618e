"""Formulas between dollar signs as MathML, which browsers show without any script."""

import re

from latex2mathml.converter import convert

# Code is left alone: fenced, or between back ticks.
_PIECES = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
_FORMULA = re.compile(r"\$([^$]+)\$")


def with_mathml(text: str) -> str:
    """A page with its ``$...$`` turned into MathML."""
    pieces = _PIECES.split(text)
    pieces[::2] = [_FORMULA.sub(lambda found: _mathml(found[1]), piece) for piece in pieces[::2]]
    return "".join(pieces)


def _mathml(latex: str) -> str:
    return convert(" ".join(latex.split()))
