"""Every guidance of ours says when there is nothing to leave out."""

import attrs
import pytest

from contracts.catalogue import FACTS, names
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.testing.kinds.guidance import network
from thalweg.types import Condition


@pytest.mark.parametrize("name", names("guidance"))
def test_nothing_to_leave_out_is_an_error_when_it_is_built(name):
    config = component("guidance", name)
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(attrs.evolve(FACTS, classes=None, text=None))
    with pytest.raises(ConfigError, match="unconditional"):
        config.build(FACTS)(network, Condition())
