"""What a backbone keeps: embedding, condition, blocks by ranges, read-outs."""

import math
from typing import Any

import attrs
import torch
from torch import Tensor

from thalweg.composition import seeded
from thalweg.layers import read
from thalweg.types import Condition
from thalweg_authoring.networks import conditioned, network, of_other_shapes
from thalweg_authoring.numbers import captions, draws, randomised, require_near, require_shape
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject

TIMES = torch.tensor([0.3, 0.6])


def made(subject: Subject) -> Any:
    """A small one, alone, with no layer at zero."""
    return randomised(network(subject.config(), None, 1, subject.facts).backbone)


def through(backbone: Any, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """The tokens after all blocks."""
    c = backbone.condition(t, condition)
    tokens: Tensor = backbone.run(backbone.embed(x, condition), c, 0, backbone.depth).tokens
    return tokens


def readout(backbone: Any) -> Any:
    """A new read-out, drawn under a seed as in a network."""
    with seeded(0, torch.device("cpu")):
        return backbone.readout()


def samples(subject: Subject) -> Tensor:
    """Two samples."""
    return draws(2, *subject.facts.shape)


@rule("backbone")
def shapes_hold_on_every_rectangle(subject: Subject) -> None:
    """On every shape, with classes and without, tokens, condition and read-out have their shapes."""
    for shape in subject.shapes:
        for classes in (None, subject.facts.classes):
            facts = attrs.evolve(subject.facts, shape=shape, classes=classes)
            backbone, condition = made(attrs.evolve(subject, facts=facts)), conditioned(facts)
            tokens = math.prod(backbone.grid)
            require(
                backbone.width % backbone.heads == 0,
                f"width {backbone.width} is no multiple of heads {backbone.heads}",
            )
            require(
                shape[1] * backbone.grid[1] == shape[2] * backbone.grid[0] or tuple(backbone.grid) == (1, 1),
                f"grid is {backbone.grid} for samples of {shape[1]}x{shape[2]}; patches must be square, or "
                "one token stand for all, with the grid (1, 1)",
            )
            x = draws(2, *shape)
            stream = backbone.embed(x, condition)
            require_shape("embed(...).tokens", stream.tokens, (2, tokens, backbone.width))
            c = backbone.condition(torch.tensor([0.0, 1.0]), condition)
            require_shape("condition(...)", c, (2, backbone.width))
            out = backbone.run(stream, c, 0, backbone.depth)
            require_shape("run(...).tokens", out.tokens, (2, tokens, backbone.width), torch.float32)
            require_shape(
                "readout()(tokens, c)", read(randomised(readout(backbone)), out.tokens, c, x), (2, *shape)
            )


@rule("backbone")
def data_of_any_shape_are_taken_or_refused(subject: Subject) -> None:
    """On points, vectors and volumes it works, or says in a ConfigError that it is for images alone."""
    for shape, other, backbone in of_other_shapes(subject, made):
        condition, tokens = conditioned(other.facts), math.prod(backbone.grid)
        c = backbone.condition(TIMES, condition)
        x = draws(2, *shape)
        out = backbone.run(backbone.embed(x, condition), c, 0, backbone.depth)
        require_shape("run(...).tokens", out.tokens, (2, tokens, backbone.width), torch.float32)
        require_shape(
            "readout()(tokens, c)", read(randomised(readout(backbone)), out.tokens, c, x), (2, *shape)
        )


@rule("backbone")
def ranges_of_blocks_compose(subject: Subject) -> None:
    """Blocks run in two ranges give what they give in one, and leave their input alone."""
    backbone, condition = made(subject), conditioned(subject.facts)
    stream = backbone.embed(samples(subject), condition)
    c = backbone.condition(TIMES, condition)
    before = stream.tokens.clone()
    whole = backbone.run(stream, c, 0, backbone.depth).tokens
    require(
        torch.equal(stream.tokens, before), "run writes into the tokens that it was handed; make new ones"
    )
    for cut in range(backbone.depth + 1):
        half = backbone.run(stream, c, 0, cut)
        rest = backbone.run(half, c, cut, backbone.depth).tokens
        require(
            torch.equal(rest, whole),
            f"run(0, {cut}) and run({cut}, {backbone.depth}) differ from run(0, {backbone.depth}); let "
            "blocks hand on all that they need in the Stream, and nothing on the module",
        )
    require(
        torch.equal(backbone.run(stream, c, 1, 1).tokens, stream.tokens), "an empty range changes the tokens"
    )
    require(not torch.allclose(whole, stream.tokens), "the blocks change nothing")


@rule("backbone")
def a_readout_starts_at_zero_and_is_new_each_time(subject: Subject) -> None:
    """``readout()`` makes a new layer at each call, which gives zero until it is trained."""
    backbone, condition = made(subject), conditioned(subject.facts)
    first, second = readout(backbone), readout(backbone)
    c = backbone.condition(TIMES, condition)
    tokens, x = draws(2, math.prod(backbone.grid), backbone.width), samples(subject)
    require(
        not read(first, tokens, c, x).any(),
        "a new read-out does not give zero; zero its last layer (layers.zero_linear)",
    )
    for other, what in ((second, "two read-outs"), (backbone, "backbone and read-out")):
        shared = {id(p) for p in first.parameters()} & {id(p) for p in other.parameters()}
        require(not shared, f"{what} share parameters; make a new layer in each call of readout")
    require(
        read(randomised(first), tokens, c, x).std() > 0, "a read-out gives a constant whatever its weights"
    )


@rule("backbone")
def the_output_depends_on_time_image_and_label(subject: Subject) -> None:
    """The output depends on image, time and label, and on nothing that changes between calls."""
    backbone, labels = made(subject), conditioned(subject.facts)
    x, t = samples(subject), torch.tensor([0.3, 0.3])
    out = through(backbone, x, t, labels)
    require(
        torch.equal(out, through(backbone, x, t, labels)),
        "two calls differ; draw nothing in the forward pass",
    )
    require(
        not torch.allclose(out, through(backbone, x + 1, t, labels)),
        "the output does not depend on the image",
    )
    require(
        not torch.allclose(out, through(backbone, x, t + 0.2, labels)),
        "the output does not depend on the time",
    )
    if labels.labels is not None:
        others = labels._replace(labels=labels.labels.flip(0))
        require(
            not torch.allclose(out, through(backbone, x, t, others)),
            "the output does not depend on the label",
        )


@rule("backbone")
def hidden_labels_are_no_labels(subject: Subject) -> None:
    """A label that is dropped, or none at all, is the same: the unconditional half of guidance."""
    labels = conditioned(subject.facts)
    if labels.labels is None:
        does_not_apply("its facts know no classes")
    backbone, x, text = made(subject), samples(subject), labels.text
    others = None
    if text is not None:
        others = captions(2, seed=7, text=subject.facts.text)
        others = others._replace(empty_tokens=text.empty_tokens, empty_mask=text.empty_mask)  # type: ignore[union-attr]
    nothing = through(backbone, x, TIMES, Condition(text=others).null())
    hidden = through(backbone, x, TIMES, labels.null())
    require(
        torch.equal(hidden, nothing),
        "Condition(labels).null() differs from no labels; give dropped labels the embedding of the null "
        "class",
    )
    half = through(backbone, x, TIMES, labels._replace(dropped=torch.tensor([True, False])))
    require_near(half[0], nothing[0], "a dropped label still has an effect; replace it by the null class")
    require_near(half[1], through(backbone, x, TIMES, labels)[1], "a label that is not dropped has no effect")
    require(not torch.allclose(half[1], nothing[1]), "labels have no effect at all")


@rule("backbone")
def a_sample_does_not_see_its_neighbours(subject: Subject) -> None:
    """A sample is answered alike alone and in a batch."""
    backbone, labels, x = made(subject), conditioned(subject.facts), samples(subject)
    both = through(backbone, x, TIMES, labels)
    alone = through(backbone, x[1:], TIMES[1:], labels.select(torch.tensor([1])))
    require_near(
        both[1:], alone, "a sample is answered otherwise in a batch; mix nothing over the first axis"
    )


@rule("backbone")
def tokens_are_known_by_their_places(subject: Subject) -> None:
    """One that takes subsets gives the same for the same tokens in another order, with places that say so."""
    backbone, labels, x = made(subject), conditioned(subject.facts), samples(subject)
    if not getattr(backbone, "takes_subsets", False):
        does_not_apply("it does not state takes_subsets = True")
    stream, c = backbone.embed(x, labels), backbone.condition(TIMES, labels)
    count = stream.tokens.shape[1]
    whole = backbone.run(stream, c, 0, backbone.depth).tokens
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    mixed = stream._replace(tokens=stream.tokens[:, order], places=order.expand(len(x), -1))
    found = backbone.run(mixed, c, 0, backbone.depth).tokens
    message = "it states takes_subsets, and tokens in another order become others; go by stream.places"
    require_near(found, whole[:, order], message, rtol=1e-3, atol=1e-4)
    half = mixed._replace(tokens=mixed.tokens[:, : count // 2], places=order[: count // 2].expand(len(x), -1))
    some = backbone.run(half, c, 0, backbone.depth).tokens
    require_shape("run(...).tokens of half of the tokens", some, (len(x), count // 2, backbone.width))


@rule("backbone")
def tokens_in_bfloat16_stay_near_float32(subject: Subject) -> None:
    """Under autocast to bfloat16 the tokens after all blocks stay within a twentieth of those in float32."""
    backbone, labels, x = made(subject), conditioned(subject.facts), samples(subject)
    exact = through(backbone, x, TIMES, labels).detach()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = through(backbone, x, TIMES, labels).detach()
    gap = float((mixed.float() - exact).norm() / exact.norm())
    require(gap < 0.05, f"bfloat16 moves the tokens by {gap:.0%}; keep times and norms in float32")


@rule("backbone")
def gradients_reach_every_parameter_of_the_blocks(subject: Subject) -> None:
    """Every parameter has an effect on the tokens after the last block."""
    backbone, labels = made(subject), conditioned(subject.facts)
    tokens = through(backbone, samples(subject), TIMES, labels)
    (tokens * draws(*tokens.shape, seed=3)).sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()]
    require(not missing, f"no gradient reaches {', '.join(missing[:5])}; use it, or take it away")
