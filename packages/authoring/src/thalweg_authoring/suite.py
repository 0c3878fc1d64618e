"""Conformance as a pytest suite: subclass, name the component, and every rule is a test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from torch import Tensor

from thalweg.facts import Facts
from thalweg.import_options import ImportOptions
from thalweg.network import FlowNetwork
from thalweg_authoring.numbers import FACTS
from thalweg_authoring.rules import BrokenRuleError, NotApplicableError, rules_of
from thalweg_authoring.running import run_rule
from thalweg_authoring.subject import SHAPES, Subject


class ConformanceSuite:
    """All rules of a kind as tests. To be subclassed by a class whose name begins with ``Test``::

        class TestRipple(ConformanceSuite):
            kind = "refiner"
            name = "ripple"
            expected_failures = {"compiles": "it calls a library that torch.compile cannot see into"}

    Needs pytest. A rule in ``expected_failures`` must be broken: when it is kept, its test fails.

    Attributes:
        kind, name, options, facts, shapes, backend: those of :class:`thalweg_authoring.Subject`.
        expected_failures: names of rules that it breaks, with the reasons.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    facts: ClassVar[Facts] = FACTS
    shapes: ClassVar[tuple[tuple[int, int, int], ...]] = SHAPES
    backend: ClassVar[str] = "aot_eager"
    expected_failures: ClassVar[Mapping[str, str]] = {}

    def checkpoint(self) -> tuple[Mapping[str, Tensor], ImportOptions]:
        """A checkpoint that an importer reads: its tensors, and what has to be stated beside them.

        To be overridden by the suites of importers.
        """
        raise NotApplicableError("no checkpoint is at hand; override the suite's method checkpoint")

    def network(self) -> FlowNetwork:
        """A small network that an exporter takes.

        To be overridden by the suites of exporters.
        """
        raise NotApplicableError("no network is at hand; override the suite's method network")

    def subject(self, folder: Path) -> Subject:
        """The component; ``folder`` is empty, and another one for each rule."""
        return Subject(
            self.kind,
            self.name,
            options=self.options,
            facts=self.facts,
            shapes=self.shapes,
            backend=self.backend,
            folder=folder,
            checkpoint=self.checkpoint,
            network=self.network,
        )

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test a rule."""
        if "rule_name" in metafunc.fixturenames and metafunc.cls is not None:
            known = [one.name for one in rules_of(self.kind)]
            unknown = [name for name in self.expected_failures if name not in known]
            if unknown:
                raise pytest.UsageError(
                    f"{metafunc.cls.__name__}.expected_failures names '{unknown[0]}', which is no rule of "
                    f"{self.kind} (known: {', '.join(known)})"
                )
            metafunc.parametrize("rule_name", known)

    def test_rule(self, rule_name: str, tmp_path: Path) -> None:
        """The component keeps the rule."""
        one = next(one for one in rules_of(self.kind) if one.name == rule_name)
        reason = self.expected_failures.get(rule_name)
        try:
            run_rule(one, self.subject(tmp_path))
        except NotApplicableError as error:
            pytest.skip(str(error))
        except BrokenRuleError:
            if reason is None:
                raise
            pytest.xfail(reason)
        if reason is not None:
            pytest.fail(f"'{rule_name}' is declared as an expected failure ({reason}), and is kept")
