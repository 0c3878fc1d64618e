"""What a distribution of training times keeps."""

import torch
from torch import Tensor

from thalweg.interpolant import Interpolant
from thalweg_authoring.gaussian import COSINE, LINEAR
from thalweg_authoring.numbers import require_generator_decides, require_shape, require_unit
from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject

_MANY = 20_000


def times(subject: Subject, count: int, interpolant: Interpolant = LINEAR, seed: int = 0) -> Tensor:
    """Some draws."""
    drawn: Tensor = subject.build()(count, torch.Generator().manual_seed(seed), interpolant)
    return drawn


@rule("time_sampler")
def times_lie_in_the_unit_interval(subject: Subject) -> None:
    """As many float32 times as asked for, all in [0, 1], on both paths."""
    for interpolant in (LINEAR, COSINE):
        for count in (1, 7, _MANY):
            drawn = times(subject, count, interpolant)
            require_shape(f"the draw of {count} times", drawn, (count,), torch.float32)
            require_unit(drawn)


@rule("time_sampler")
def times_spread_over_the_interval(subject: Subject) -> None:
    """No fifth of the interval is left without training, and times are no grid."""
    for interpolant in (LINEAR, COSINE):
        drawn = times(subject, _MANY, interpolant)
        counts = torch.histc(drawn, 5, 0, 1)
        require(
            (counts > 0.01 * _MANY).all(),
            f"of {_MANY} times the fifths of [0, 1] get {[int(one) for one in counts]}; a network must learn "
            "all times",
        )
        require(len(drawn.unique()) > 0.75 * _MANY, "many times are the same; draw them from a density")


@rule("time_sampler")
def the_generator_alone_decides(subject: Subject) -> None:
    """Equal generators give equal times, others others, and the global one is left alone."""
    require_generator_decides(lambda seed: (times(subject, 9, seed=seed),))
