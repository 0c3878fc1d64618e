"""Checking a component against all rules of its kind."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from thalweg.errors import ConfigError, PluginError, ThalwegError
from thalweg.plugins import registry
from thalweg.suggestions import did_you_mean, known_words, one_line
from thalweg_authoring import process
from thalweg_authoring.networks import check_it_builds
from thalweg_authoring.rules import BrokenRuleError, NotApplicableError, Rule, rules_of
from thalweg_authoring.subject import Subject

Result = Literal["kept", "broken", "not applicable", "expected"]


@attrs.frozen
class RuleOutcome:
    """What became of one rule.

    Attributes:
        rule: its name.
        result: ``kept``; ``broken``; ``not applicable``, where the rule says nothing of the component;
            or ``expected``, where the author declared that it is broken.
        message: what to change, or why the rule does not apply; empty where it is kept.
    """

    rule: str
    result: Result
    message: str = ""


class ConformanceError(AssertionError):
    """A component breaks rules of its kind; the message lists them."""


def run_rule(one: Rule, subject: Subject) -> None:
    """Check one rule.

    Raises:
        BrokenRuleError: the component breaks it, or raised something of its own.
        NotApplicableError: it says nothing of this component.
    """
    before = process.state()
    try:
        with _placed(subject) as placed:
            one.function(placed)
    except (BrokenRuleError, NotApplicableError, KeyboardInterrupt):
        raise
    except PluginError as error:
        raise BrokenRuleError(str(error)) from error
    except ThalwegError as error:
        raise BrokenRuleError(f"{subject} refuses what the rule asks of it: {error}") from error
    except Exception as error:
        raise BrokenRuleError(f"{subject} raises {one_line(error)}, {_line(error)}; fix it there") from error
    finally:
        # What one rule finds changed would be there already for the next.
        process.restore(before)


def outcomes(
    subject: Subject, expected: Mapping[str, str] | None = None, only: Collection[str] = ()
) -> Iterator[RuleOutcome]:
    """Check all rules of a kind one after another.

    Args:
        subject: the component.
        expected: rules that it is known to break, with the reasons. One that is kept after all is broken.
        only: names of the rules to check; empty for all.

    Raises:
        ConfigError: there is no such rule, or the component cannot be built with the options given.
        PluginError: there is no such component, its config is broken, or what it needs is not installed.
    """
    expected = expected or {}
    rules = rules_of(subject.kind)
    names = [one.name for one in rules]
    for name in (*expected, *only):
        if name not in names:
            raise ConfigError(
                f"{subject.kind} has no rule '{name}'{did_you_mean(name, names) or known_words(names)}"
            )
    registry().config_class(subject.kind, subject.name)
    subject.config()
    with _placed(subject) as placed:
        check_it_builds(placed)
    for one in rules:
        if not only or one.name in only:
            yield _outcome(one, subject, expected.get(one.name))


def _outcome(one: Rule, subject: Subject, reason: str | None) -> RuleOutcome:
    try:
        run_rule(one, subject)
    except NotApplicableError as error:
        return RuleOutcome(one.name, "not applicable", str(error))
    except BrokenRuleError as error:
        return (
            RuleOutcome(one.name, "broken", str(error))
            if reason is None
            else RuleOutcome(one.name, "expected", reason)
        )
    if reason is not None:
        message = f"it is declared as an expected failure ({reason}), and is kept; take the declaration away"
        return RuleOutcome(one.name, "broken", message)
    return RuleOutcome(one.name, "kept")


def check(
    kind: str, name: str, *, expected: Mapping[str, str] | None = None, **subject: Any
) -> list[RuleOutcome]:
    """Check a registered component against all rules of its kind.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        name: what it is registered under.
        expected: rules that it is known to break, with the reasons.
        **subject: further attributes of :class:`Subject`, such as ``options``.

    Raises:
        ConformanceError: it breaks rules; all of them are named, with what to change.
        ConfigError: a rule or kind is unknown, or it cannot be built with the options given.
        PluginError: there is no such component, its config is broken, or what it needs is not installed.
    """
    one = Subject(kind, name, **subject)
    found = list(outcomes(one, expected))
    broken = [outcome for outcome in found if outcome.result == "broken"]
    if broken:
        lines = "".join(f"\n  {outcome.rule}: {outcome.message}" for outcome in broken)
        raise ConformanceError(f"{one} breaks {len(broken)} of {len(found)} rules:{lines}")
    return found


@contextmanager
def _placed(subject: Subject) -> Iterator[Subject]:
    """The subject with a folder to write in: its own, or an empty one for a while."""
    if subject.folder is not None:
        yield subject
        return
    with tempfile.TemporaryDirectory() as name:
        yield attrs.evolve(subject, folder=Path(name))


def _line(error: BaseException) -> str:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "at an unknown line"
    return f"in line {trace.tb_lineno} of {trace.tb_frame.f_code.co_filename}"
