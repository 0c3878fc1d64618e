"""For authors: the skeletons of a project and of a plugin, and the rules that components keep.

::

    from thalweg_authoring import ConformanceSuite, check_refiner

    check_refiner("ripple")  # raises ConformanceError, which names every rule that is broken

    class TestRipple(ConformanceSuite):  # or: every rule is a test of pytest
        kind = "refiner"
        name = "ripple"

``thalweg plugins check refiner ripple`` does the same from the command line. There is a ``check_KIND`` for
each of :data:`thalweg.plugins.KINDS`. Names are looked up when they are first used: plugins load without
torch, and only suites need pytest.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from thalweg.lazy_names import lazy_names
from thalweg.plugins import KINDS

if TYPE_CHECKING:
    from thalweg_authoring.rules import BrokenRuleError as BrokenRuleError
    from thalweg_authoring.rules import NotApplicableError as NotApplicableError
    from thalweg_authoring.rules import Rule as Rule
    from thalweg_authoring.rules import rules_of as rules_of
    from thalweg_authoring.running import ConformanceError as ConformanceError
    from thalweg_authoring.running import RuleOutcome as RuleOutcome
    from thalweg_authoring.running import check as check
    from thalweg_authoring.running import outcomes as outcomes
    from thalweg_authoring.scaffold import new_plugin as new_plugin
    from thalweg_authoring.subject import Subject as Subject
    from thalweg_authoring.suite import ConformanceSuite as ConformanceSuite

_find, _names, __all__ = lazy_names(
    __name__,
    {
        "thalweg_authoring.rules": "BrokenRuleError NotApplicableError Rule rules_of",
        "thalweg_authoring.running": "ConformanceError RuleOutcome check outcomes",
        "thalweg_authoring.scaffold": "new_plugin",
        "thalweg_authoring.subject": "Subject",
        "thalweg_authoring.suite": "ConformanceSuite",
    },
)
_CHECKS = {f"check_{kind}": kind for kind in KINDS}


def __getattr__(name: str) -> Any:
    return partial(_find("check"), _CHECKS[name]) if name in _CHECKS else _find(name)


def __dir__() -> list[str]:
    return sorted({*_names(), *_CHECKS})
