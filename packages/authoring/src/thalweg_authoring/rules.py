"""Rules: what every component of a kind must keep, and how a broken one is reported."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn, TypeVar

import attrs

from thalweg.errors import ConfigError
from thalweg.plugins import KINDS
from thalweg.suggestions import did_you_mean, known_words

Function = TypeVar("Function", bound=Callable[[Any], None])


class BrokenRuleError(AssertionError):
    """A component breaks a rule; the message says what to change."""


class NotApplicableError(Exception):
    """A rule says nothing of this component; the message says why."""


@attrs.frozen
class Rule:
    """One rule.

    Attributes:
        name: of its function, such as ``gradients_reach_every_parameter``.
        function: takes a :class:`thalweg_authoring.Subject`; raises what it finds.
    """

    name: str
    function: Callable[[Any], None]

    @property
    def says(self) -> str:
        """The rule in one line."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


_RULES: dict[str, list[Rule]] = {kind: [] for kind in KINDS}


def rule(*kinds: str) -> Callable[[Function], Function]:
    """Make a function a rule of these kinds, in the order of definition."""

    def register(function: Function) -> Function:
        for kind in kinds:
            _RULES[kind].append(Rule(function.__name__, function))
        return function

    return register


def rules_of(kind: str) -> tuple[Rule, ...]:
    """All rules of a kind; those that every component keeps come first.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in _RULES:
        raise ConfigError(f"unknown kind '{kind}'{did_you_mean(kind, KINDS) or known_words(KINDS)}")
    _define()
    return tuple(_RULES[kind])


@cache
def _define() -> None:
    importlib.import_module("thalweg_authoring.kinds")


def require(condition: object, message: str) -> None:
    """Unless this holds, the component is broken, and the message says what to do.

    Raises:
        BrokenRuleError: it does not hold.
    """
    if not condition:
        raise BrokenRuleError(message)


@contextmanager
def require_raises(
    error: type[Exception], message: str, saying: str = "", otherwise: str = ""
) -> Iterator[None]:
    """The block raises this error, with these words in it.

    Args:
        error: of which class.
        message: what to change where the block comes to its end.
        saying: words of the error; empty for any.
        otherwise: the beginning of the message where the error has other words.

    Raises:
        BrokenRuleError: it does not.
    """
    try:
        yield
    except error as found:
        require(saying in str(found), f"{otherwise}: {found}")
        return
    raise BrokenRuleError(message)


def does_not_apply(reason: str) -> NoReturn:
    """Leave a rule because it says nothing of this component.

    Raises:
        NotApplicableError: always.
    """
    raise NotApplicableError(reason)
