"""Every objective of ours, beyond what all must keep."""

import pytest

from contracts.catalogue import names, subject
from thalweg_authoring.kinds.objectives import built, predicted, stepped

COSINES = ("alignment", "layer_sync", "self_alignment")
BELOW_ZERO = ("contrastive", "dispersive")
OF_ONE_ERROR = ("distillation", "latent_alignment", "layer_sync", "self_alignment", "shuffled_velocity")


@pytest.mark.parametrize("name", names("objective"))
def test_losses_are_squares_or_cosines_or_push_away_and_have_parts(name):
    one = subject("objective", name)
    objective = built(one)
    value = objective(stepped(one, predicted(one, objective)))
    if name in BELOW_ZERO:
        assert (value.total < 0).any()
        assert (value.total <= 0).all()
    else:
        assert (value.total > (-1 if name in COSINES else 0)).all()
    assert bool(value.parts) == (name not in OF_ONE_ERROR)
