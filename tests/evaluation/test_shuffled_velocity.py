"""The control of benches is flow matching towards the next sample's target."""

import torch

from objective_steps import built, composed, planned, step_of


def test_each_head_is_drawn_to_the_target_of_the_next_sample():
    network = composed(heads=[2])
    plan, batch = planned(network, count=3)
    step = step_of(network, plan, batch, network(plan.x_t, plan.times, batch.condition))
    total = built(network.facts, "shuffled_velocity")(step).total
    moved = [plan.velocity[index] for index in (2, 0, 1)]
    expected = 0.0
    for velocity in (step.prediction.heads[2], step.prediction.velocities[-1]):
        errors = [(one - other).square().mean() for one, other in zip(velocity, moved, strict=True)]
        expected = expected + torch.stack(errors).mean()
    assert torch.allclose(total, expected)
    assert total.requires_grad
