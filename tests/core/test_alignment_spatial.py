"""Alignment's projection by a convolution, and its teacher's tokens with their places brought out."""

import attrs
import pytest
import torch

from objective_steps import FACTS, composed, planned, step_of
from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import StoredFeatures
from thalweg.layers import TokenConvolution
from thalweg.objectives.alignment import AlignmentConfig, contrasted
from thalweg.training.step import Losses
from thalweg.types import Prediction
from thalweg_authoring.numbers import draws

STORED = attrs.evolve(FACTS, features={"stored": StoredFeatures((4, 4), 6, {})})
NETWORK = composed(facts=STORED)


@attrs.frozen
class Stored:
    """A teacher whose features are there."""

    name: str = "stored"
    patch_identity = {}  # noqa: RUF012 - as its class states it

    def build(self, facts):
        raise AssertionError("what is stored is used")


def aligned(**options):
    torch.manual_seed(0)
    return AlignmentConfig(teacher=Stored(), after=(2,), channels=(8,), **options).build(NETWORK.facts)


def stepped(objective, tokens):
    plan, batch = planned(NETWORK)
    batch = attrs.evolve(batch, features={"stored": tokens})
    prediction = NETWORK(plan.x_t, plan.times, batch.condition, hidden=objective.hidden)
    return step_of(NETWORK, plan, batch, prediction)


def test_places_are_brought_out():
    """Two tokens of two features: means 2 and 0, standard deviations 1 and 3."""
    tokens = torch.tensor([[[1.0, -3.0], [3.0, 3.0]]])
    torch.testing.assert_close(contrasted(tokens, 1.0), torch.tensor([[[-1.0, -1.0], [1.0, 1.0]]]))
    torch.testing.assert_close(contrasted(tokens, 0.5), torch.tensor([[[0.0, -1.0], [2.0, 1.0]]]))
    torch.testing.assert_close(contrasted(tokens, 0.0), torch.tensor([[[1.0, -1.0], [3.0, 1.0]]]))
    assert torch.isfinite(contrasted(torch.ones(1, 4, 2), 1.0)).all()


def test_with_gamma_one_what_all_tokens_share_does_not_count():
    tokens = draws(5, 16, 6)
    shifted = 3 * tokens + draws(5, 1, 6, seed=1)
    objective = aligned(spatial=1.0)
    one, other = (objective(stepped(objective, each)).total for each in (tokens, shifted))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    plain = aligned()
    assert not torch.allclose(
        plain(stepped(plain, tokens)).total, plain(stepped(plain, shifted)).total, atol=0.01
    )


def test_images_keep_their_own_means():
    tokens = draws(5, 16, 6)
    objective = aligned(spatial=0.6)
    expected = objective(stepped(objective, tokens)).total[0]
    others = torch.cat([tokens[:1], 9 * tokens[1:] + 4])
    torch.testing.assert_close(objective(stepped(objective, others)).total[0], expected)


def test_the_loss_is_taken_to_the_changed_tokens():
    objective = aligned(spatial=0.6)
    plan, batch = planned(NETWORK)
    tokens = draws(5, 16, 6)
    batch = attrs.evolve(batch, features={"stored": tokens})
    hidden = draws(5, 16, 16, seed=2)
    objective.projectors[0] = torch.nn.Linear(16, 6, bias=False)
    value = objective(step_of(NETWORK, plan, batch, Prediction((plan.velocity,), hidden={2: hidden})))
    wanted = (tokens - 0.6 * tokens.mean(1, keepdim=True)) / tokens.std(1, keepdim=True, correction=0)
    cosine = torch.nn.functional.cosine_similarity(objective.projectors[0](hidden), wanted, dim=-1)
    torch.testing.assert_close(value.total, -cosine.mean(1), atol=1e-4, rtol=1e-4)


def test_a_convolution_is_one_on_the_grid():
    """The weights' middle alone is a linear layer; one tap to the right reads the token on the right."""
    layer = TokenConvolution(3, 3, (2, 4))
    tokens = draws(2, 8, 3)
    torch.nn.init.zeros_(layer.convolution.weight)
    with torch.no_grad():
        layer.convolution.weight[:, :, 1, 1] = torch.eye(3)
    torch.testing.assert_close(layer(tokens), tokens)
    with torch.no_grad():
        layer.convolution.weight.zero_()
        layer.convolution.weight[:, :, 1, 2] = torch.eye(3)
    places = tokens.unflatten(1, (2, 4))
    expected = torch.cat([places[:, :, 1:], torch.zeros(2, 2, 1, 3)], dim=2).flatten(1, 2)
    torch.testing.assert_close(layer(tokens), expected)


def test_a_convolution_reaches_neighbours_alone():
    layer = TokenConvolution(3, 5, (4, 4))
    tokens = draws(1, 16, 3).requires_grad_()
    layer(tokens)[0, 5].sum().backward()
    reached = tokens.grad[0].abs().sum(-1).nonzero().flatten().tolist()
    assert reached == [0, 1, 2, 4, 5, 6, 8, 9, 10]


@pytest.mark.parametrize("options", [{"projector": "conv"}, {"projector": "conv", "spatial": 0.6}])
def test_it_trains_its_convolution(options):
    objective = aligned(**options)
    assert {name for name, _ in objective.named_parameters()} == {
        "projectors.0.convolution.weight",
        "projectors.0.convolution.bias",
    }
    plan, batch = planned(NETWORK)
    batch = attrs.evolve(batch, features={"stored": draws(5, 16, 6)})
    losses = Losses(NETWORK, {"alignment": objective})
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    found = []
    for _ in range(30):
        numbers = losses(plan, batch)
        found.append(float(numbers["alignment"]))
        optimizer.zero_grad()
        numbers["loss"].backward()
        optimizer.step()
    NETWORK.zero_grad(set_to_none=True)
    assert found[-1] < found[0] - 0.05


def test_one_token_has_no_places():
    facts = attrs.evolve(NETWORK.facts, grid=(1, 1), features={"stored": StoredFeatures((1, 1), 6, {})})
    with pytest.raises(ConfigError, match=r"alignment\.spatial compares an image's tokens .* one token"):
        AlignmentConfig(teacher=Stored(), after=(2,), spatial=0.6).build(facts)


@pytest.mark.parametrize("options", [{"projector": "convolution"}, {"spatial": 1.5}, {"spatial": -0.1}])
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        component("objective", {"type": "alignment", "teacher": "dinov2", **options})
