"""Guidances of ours say what is missing where they cannot act."""

import attrs
import pytest

from contracts.catalogue import FACTS
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.types import Condition, Query
from thalweg_authoring.kinds.guidance import TIMES, network
from thalweg_authoring.numbers import draws


def test_nothing_to_leave_out_is_an_error_when_it_is_built():
    config = component("guidance", "cfg")
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(attrs.evolve(FACTS, classes=None, text=None))
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(FACTS)(network)(Query(draws(3, *FACTS.shape), TIMES, Condition()))


@pytest.mark.parametrize("name", ["internal", "half", "ladder"])
def test_a_network_without_intermediate_heads_has_none_to_guide_by(name):
    config = component("guidance", name)
    with pytest.raises(ConfigError, match="needs an intermediate head, and this network has none; remove"):
        config.build(attrs.evolve(FACTS, branches=1, ends=(4,)))
    after = [1] if name == "ladder" else 1
    with pytest.raises(ConfigError, match="has intermediate ones after 2"):
        component("guidance", {"type": name, "after": after}).build(FACTS)
