"""Conformance of components: what every plugin author, and this library itself, is checked by.

::

    from thalweg.testing import ConformanceSuite, check_refiner

    check_refiner("ripple")  # raises ConformanceError, which names every rule that is broken

    class TestRipple(ConformanceSuite):  # or: every rule is a test of pytest
        kind = "refiner"
        name = "ripple"

``thalweg plugins check refiner ripple`` does the same from the command line.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from thalweg.testing.rules import BrokenRuleError, NotApplicableError, Rule, rules_of
from thalweg.testing.running import ConformanceError, Outcome, check, outcomes
from thalweg.testing.subject import Subject

if TYPE_CHECKING:
    from thalweg.testing.suite import ConformanceSuite

__all__ = [
    "BrokenRuleError",
    "ConformanceError",
    "ConformanceSuite",
    "NotApplicableError",
    "Outcome",
    "Rule",
    "Subject",
    "check",
    "check_autoencoder",
    "check_average",
    "check_backbone",
    "check_dataset",
    "check_extractor",
    "check_guidance",
    "check_importer",
    "check_interpolant",
    "check_logger",
    "check_metric",
    "check_objective",
    "check_optimizer",
    "check_planner",
    "check_refiner",
    "check_sampler",
    "check_schedule",
    "check_source",
    "check_teacher",
    "check_text_encoder",
    "check_time_sampler",
    "outcomes",
    "rules_of",
]

check_autoencoder = partial(check, "autoencoder")
check_average = partial(check, "average")
check_backbone = partial(check, "backbone")
check_dataset = partial(check, "dataset")
check_extractor = partial(check, "extractor")
check_guidance = partial(check, "guidance")
check_importer = partial(check, "importer")
check_interpolant = partial(check, "interpolant")
check_logger = partial(check, "logger")
check_metric = partial(check, "metric")
check_objective = partial(check, "objective")
check_optimizer = partial(check, "optimizer")
check_planner = partial(check, "planner")
check_refiner = partial(check, "refiner")
check_sampler = partial(check, "sampler")
check_schedule = partial(check, "schedule")
check_source = partial(check, "source")
check_teacher = partial(check, "teacher")
check_text_encoder = partial(check, "text_encoder")
check_time_sampler = partial(check, "time_sampler")


def __getattr__(name: str) -> Any:
    # Only suites need pytest, which users need not have.
    if name == "ConformanceSuite":
        from thalweg.testing.suite import ConformanceSuite

        return ConformanceSuite
    raise AttributeError(f"module 'thalweg.testing' has no attribute '{name}'")
