"""What averages of weights keep: they are applied and taken back, and a saved state resumes."""

from typing import Any

import torch
from torch import nn

from thalweg.errors import PluginError
from thalweg.training.components import checked_average
from thalweg_authoring.kinds.optimizers import Line
from thalweg_authoring.numbers import draws, require_near, same, weights
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject


def followed(subject: Subject) -> tuple[nn.Module, Any]:
    """A network whose weights have moved, and their averages."""
    network = Line()
    averages = subject.build()(network)
    for step in range(3):
        moved(network, step)
        averages.update(step)
    return network, averages


def moved(network: nn.Module, step: int) -> None:
    """Change all weights."""
    for index, parameter in enumerate(network.parameters()):
        parameter.data.add_(draws(*parameter.shape, seed=100 * step + index), alpha=0.1)


@rule("average")
def its_names_name_files(subject: Subject) -> None:
    """Each average has a name of its own that can be a file's, the same before and after it is made."""
    average = subject.build()
    try:
        names = checked_average(average).names
    except PluginError as error:
        require(False, str(error))
    require(tuple(average(Line()).names) == tuple(names), "averages are called otherwise than stated")


@rule("average")
def an_average_is_applied_and_taken_back(subject: Subject) -> None:
    """Where an average is applied, the network has what its state says; afterwards its own weights."""
    network, averages = followed(subject)
    for name in averages.names:
        before = weights(network)
        state = {key: one.clone() for key, one in averages.state_dict(name).items()}
        require(state.keys() == network.state_dict().keys(), "its state does not load as the network's")
        with averages.applied(name):
            inside = weights(network)
        for key, weight in inside.items():
            require_near(weight, state[key], f"where {name} is applied, {key} is not what its state says")
        require(
            same(weights(network), before),
            "weights are not given back to the bit; exchange them, and compute nothing",
        )
        require(same(state, averages.state_dict(name)), f"{name} changes by being applied")


@rule("average")
def a_recorded_graph_stays_valid(subject: Subject) -> None:
    """A loss recorded before an average is applied can be differentiated afterwards."""
    network, averages = followed(subject)
    loss = network(draws(5, 6)).square().sum()
    expected = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    with averages.applied(averages.names[0]), torch.no_grad():
        network(draws(5, 6))
    try:
        found = torch.autograd.grad(loss, list(network.parameters()))
    except RuntimeError as error:
        require(False, f"autograd finds weights changed ({error}); write to weight.data")
    for one, other in zip(found, expected, strict=True):
        require_near(one, other, "gradients of a loss recorded before are others")


@rule("average")
def updates_leave_the_weights_alone(subject: Subject) -> None:
    """An update reads weights and changes none."""
    network, averages = followed(subject)
    before = weights(network)
    averages.update(3)
    message = "an update changes the network's weights; change the averages alone"
    require(same(weights(network), before), message)


@rule("average")
def weights_that_stay_are_their_own_average(subject: Subject) -> None:
    """Weights that never move are what each average of them is."""
    network = Line()
    averages = subject.build()(network)
    for step in range(20):
        averages.update(step)
    for name in averages.names:
        for key, weight in network.named_parameters():
            require_near(
                averages.state_dict(name)[key],
                weight,
                f"{name} of weights that never move is something else; let shares sum to 1",
            )


@rule("average")
def a_saved_state_resumes(subject: Subject) -> None:
    """Loaded by new averages, a state is followed by the same updates."""
    network, averages = followed(subject)
    other = subject.build()(network)
    for name in averages.names:
        other.load_state_dict({key: one.clone() for key, one in averages.state_dict(name).items()}, name)
    for step in range(3, 6):
        moved(network, step)
        averages.update(step)
        other.update(step)
    for name in averages.names:
        require(
            same(averages.state_dict(name), other.state_dict(name)),
            f"{name} differs after it was saved and loaded; keep nothing beside its state, and count "
            "steps by the number that update is given",
        )
