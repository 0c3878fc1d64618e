"""The built-in plugins, and what their components need to be built."""

import attrs
import pytest

from contracts.catalogue import REGISTRY, REQUIRED, SMALL, VARIATIONS, components

EVERY = pytest.mark.parametrize(("kind", "name"), components())


def test_all_built_in_plugins_are_sound():
    assert REGISTRY.faults == [] or all(fault.deliberate for fault in REGISTRY.faults)
    for one in REGISTRY:
        REGISTRY.config_class(one.kind, one.name)
    known = {(one.kind, one.name) for one in REGISTRY}
    assert known >= {*REQUIRED, *SMALL, *VARIATIONS}


@EVERY
def test_every_field_but_the_required_has_a_default(kind, name):
    fields = attrs.fields(REGISTRY.config_class(kind, name))
    without = {field.alias for field in fields if field.default is attrs.NOTHING}
    assert without == REQUIRED.get((kind, name), set())
