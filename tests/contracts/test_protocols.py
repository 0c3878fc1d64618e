"""Every protocol has an example that fulfils it; that mypy agrees is checked by ``make test``."""

import inspect
from typing import Protocol

import pytest

from thalweg import protocols
from typed.examples import EXAMPLES


@pytest.mark.parametrize("protocol", EXAMPLES, ids=lambda one: one.__name__)
def test_an_example_is_what_it_claims(protocol):
    assert isinstance(EXAMPLES[protocol], protocol)
    assert not isinstance(object(), protocol)


def test_every_protocol_has_an_example():
    ours = {
        one
        for one in vars(protocols).values()
        if inspect.isclass(one)
        and Protocol in one.__bases__
        and one.__module__.startswith(f"{protocols.__name__}.")
    }
    # What is registered is stated by its examples' types alone, and every data set is a view of its samples.
    assert ours - set(EXAMPLES) == {protocols.Config, protocols.View}
