"""Guidances of ours say what is missing where they cannot act."""

import attrs
import pytest

from contracts.catalogue import FACTS
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.testing.kinds.guidance import TIMES, network
from thalweg.testing.numbers import draws
from thalweg.types import Condition, Query


def test_nothing_to_leave_out_is_an_error_when_it_is_built():
    config = component("guidance", "cfg")
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(attrs.evolve(FACTS, classes=None, text=None))
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(FACTS)(network)(Query(draws(3, *FACTS.shape), TIMES, Condition()))


def test_a_network_of_one_branch_has_no_head_to_guide_by():
    config = component("guidance", "internal")
    with pytest.raises(ConfigError, match="this network has one branch; remove the guidance, or train with"):
        config.build(attrs.evolve(FACTS, branches=1))
    with pytest.raises(ConfigError, match="branch is 1, and the branches before the last are 0 to 0"):
        component("guidance", {"type": "internal", "branch": 1}).build(FACTS)
