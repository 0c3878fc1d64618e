"""What a refiner keeps."""

import torch
from torch import Tensor

from thalweg.network import FlowNetwork
from thalweg.types import Boundary, Refinement
from thalweg_authoring.kinds.modules import networks
from thalweg_authoring.networks import between
from thalweg_authoring.numbers import draws, require_near, require_shape
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject


def refined(net: FlowNetwork, number: int) -> Tensor:
    """The tokens that it hands on at a boundary."""
    found: Tensor = net.refiner(*between(net, number)).tokens
    return found


@rule("refiner")
def a_refinement_has_the_shape_of_its_tokens(subject: Subject) -> None:
    """At each boundary it returns a Refinement of tokens, and of features for each of its read-outs."""
    for name, net in networks(subject):
        for number in range(net.branches - 1):
            stream, boundary = between(net, number)
            found, shape = net.refiner(stream, boundary), tuple(stream.tokens.shape)
            cure = "return thalweg.types.Refinement(tokens, features)"
            require(isinstance(found, Refinement), f"it returns a {type(found).__name__}; {cure}")
            require_shape(f"with {name} Refinement.tokens", found.tokens, shape, torch.float32)
            require(
                set(found.features) == set(net.refiner.readouts),
                f"its readouts are {tuple(net.refiner.readouts)} and the refinement has features for "
                f"{tuple(found.features)}; make both agree",
            )
            for read, features in found.features.items():
                require_shape(f"the features '{read}'", features, shape)


@rule("refiner")
def no_parameter_is_left_over(subject: Subject) -> None:
    """Every parameter has an effect at some boundary; boundaries may share one module or have their own."""
    for _, net in networks(subject):
        reached: set[str] = set()
        for number in range(net.branches - 1):
            net.zero_grad()
            out = refined(net, number)
            if not out.requires_grad:
                does_not_apply("it has no parameters")
            (out.sum() + (out * draws(*out.shape, seed=5)).sum()).backward()
            reached |= {name for name, p in net.refiner.named_parameters() if p.grad is not None}
        left = {name for name, _ in net.refiner.named_parameters()} - reached
        require(
            not left,
            f"the tokens do not depend on {', '.join(sorted(left)[:3])} at any boundary; take it away",
        )


@rule("refiner")
def it_is_deterministic_and_leaves_its_input_alone(subject: Subject) -> None:
    """Two calls give the same, and the tokens handed in stay what they were."""
    for _, net in networks(subject):
        stream, boundary = between(net)
        handed = (stream.tokens, boundary.patch_tokens, boundary.c)
        kept = [one.clone() for one in handed]
        first, second = (net.refiner(stream, boundary).tokens for _ in range(2))
        require(
            all(map(torch.equal, handed, kept)),
            "it writes into the tokens that it was handed; make new ones (no +=, no add_)",
        )
        require(torch.equal(first, second), "two calls with the same tokens differ; draw nothing in forward")


@rule("refiner")
def a_sample_does_not_see_its_neighbours(subject: Subject) -> None:
    """A sample is refined alike alone and in a batch."""
    for _, net in networks(subject):
        stream, boundary = between(net)
        both = net.refiner(stream, boundary).tokens
        second = Boundary(boundary.number, *(one[1:] for one in boundary[1:]))
        alone = net.refiner(stream.with_tokens(stream.tokens[1:]), second).tokens
        require_near(
            both[1:], alone, "a sample is refined otherwise in a batch; mix nothing over the first axis"
        )
