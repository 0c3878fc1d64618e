"""Every objective of ours, beyond what all must keep."""

import pytest

from contracts.catalogue import names, subject
from thalweg.testing.kinds.objectives import built, predicted, stepped


@pytest.mark.parametrize("name", names("objective"))
def test_losses_are_squares_or_cosines_and_have_parts(name):
    one = subject("objective", name)
    objective = built(one)
    value = objective(stepped(one, predicted(one, objective)))
    assert (value.total > (-1 if name == "alignment" else 0)).all()
    assert value.parts
