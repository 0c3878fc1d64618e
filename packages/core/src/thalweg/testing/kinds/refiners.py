"""What a refiner keeps."""

from typing import Any

import torch

from thalweg.network import FlowNetwork
from thalweg.testing.kinds.modules import branches_of, pairs
from thalweg.testing.networks import stirred
from thalweg.testing.numbers import draws, require_near, require_shape
from thalweg.testing.rules import does_not_apply, require, rule
from thalweg.testing.subject import Subject
from thalweg.types import Refinement

GAP = torch.tensor([0.01, -0.004])


def networks(subject: Subject) -> list[tuple[str, FlowNetwork]]:
    """The refiner between the branches of every backbone."""
    return [
        (name, stirred(backbone, refiner, branches_of(subject, backbone), subject.facts))
        for name, backbone, refiner in pairs(subject)
    ]


def inputs(net: FlowNetwork, seed: int = 0) -> Any:
    """Tokens and patch tokens."""
    return draws(2, 2, net.facts.grid[0] * net.facts.grid[1], net.facts.width, seed=seed).unbind()


@rule("refiner")
def a_refinement_has_the_shape_of_its_tokens(subject: Subject) -> None:
    """At each boundary it returns a Refinement of tokens, and of accelerations if it says so."""
    for name, net in networks(subject):
        tokens, patch_tokens = inputs(net)
        for boundary in range(net.branches - 1):
            found = net.refiner(tokens, patch_tokens, GAP, boundary)
            require(
                isinstance(found, Refinement),
                f"it returns a {type(found).__name__}; return thalweg.types.Refinement(tokens, acceleration)",
            )
            require_shape(f"with {name} Refinement.tokens", found.tokens, tuple(tokens.shape), torch.float32)
            require(
                (found.acceleration is not None) == net.refiner.has_acceleration,
                f"has_acceleration is {net.refiner.has_acceleration} and the refinement has "
                f"{'none' if found.acceleration is None else 'one'}; make both agree",
            )
            if found.acceleration is not None:
                require_shape("Refinement.acceleration", found.acceleration, tuple(tokens.shape))


@rule("refiner")
def each_boundary_has_parameters_of_its_own(subject: Subject) -> None:
    """Refiners of different boundaries do not share all of their parameters, and none is left over."""
    for _, net in networks(subject):
        reached = []
        for boundary in range(net.branches - 1):
            net.zero_grad()
            out = net.refiner(*inputs(net), GAP, boundary).tokens
            if not out.requires_grad:
                does_not_apply("it has no parameters")
            (out.sum() + (out * inputs(net, 5)[0]).sum()).backward()
            reached.append({name for name, p in net.refiner.named_parameters() if p.grad is not None})
        require(
            len(reached) < 2 or reached[0] != reached[1],
            "all boundaries share all parameters; keep one set for each of the facts.branches - 1 boundaries",
        )
        left = {name for name, _ in net.refiner.named_parameters()} - set.union(*reached)
        require(
            not left,
            f"the tokens do not depend on {', '.join(sorted(left)[:3])} at any boundary; take it away",
        )


@rule("refiner")
def it_is_deterministic_and_leaves_its_input_alone(subject: Subject) -> None:
    """Two calls give the same, and the tokens handed in stay what they were."""
    for _, net in networks(subject):
        tokens, patch_tokens = inputs(net)
        kept = tokens.clone(), patch_tokens.clone()
        first, second = (net.refiner(tokens, patch_tokens, GAP, 0).tokens for _ in range(2))
        require(
            torch.equal(tokens, kept[0]) and torch.equal(patch_tokens, kept[1]),
            "it writes into the tokens that it was handed; make new ones (no +=, no add_)",
        )
        require(torch.equal(first, second), "two calls with the same tokens differ; draw nothing in forward")


@rule("refiner")
def a_sample_does_not_see_its_neighbours(subject: Subject) -> None:
    """A sample is refined alike alone and in a batch."""
    for _, net in networks(subject):
        tokens, patch_tokens = inputs(net)
        both = net.refiner(tokens, patch_tokens, GAP, 0).tokens
        alone = net.refiner(tokens[1:], patch_tokens[1:], GAP[1:], 0).tokens
        require_near(
            both[1:], alone, "a sample is refined otherwise in a batch; mix nothing over the first axis"
        )
