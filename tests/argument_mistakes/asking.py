"""Samples, times and depths that a network cannot be asked at."""

from pathlib import Path

import torch

from argument_mistakes import making
from argument_mistakes.making import Mistake, labelled


def mistakes(_: Path) -> list[Mistake]:
    """Samples, times and depths that a network cannot be asked at."""
    net = making.net()
    x, times, t, two = torch.randn(2, 4, 8, 8), torch.rand(2, 2), torch.rand(2), labelled(1, 2)
    return [
        Mistake("x is an array", lambda: net(x.numpy(), times, two), "x_t", "ndarray", "tensor"),
        Mistake("x of three axes", lambda: net(x[0], times, two), "x_t", "(4, 8, 8)", "(N, 4, 8, 8)"),
        Mistake(
            "x of other channels", lambda: net(x[:, :3], times, two), "x_t", "(2, 3, 8, 8)", "(N, 4, 8, 8)"
        ),
        Mistake("x of another size", lambda: net(torch.randn(2, 4, 16, 16), times, two), "(2, 4, 16, 16)"),
        Mistake("x channels last", lambda: net(x.permute(0, 2, 3, 1), times, two), "(2, 8, 8, 4)"),
        Mistake(
            "x of integers", lambda: net(x.to(torch.uint8), times, two), "x_t", "uint8", "floating point"
        ),
        Mistake("x complex", lambda: net(x.to(torch.complex64), times, two), "x_t", "complex64"),
        Mistake("x of float64", lambda: net(x.double(), times, two), "x_t", "float64", "float32"),
        Mistake("x elsewhere", lambda: net(x.to("meta"), times), "x_t", "meta", "cpu"),
        Mistake("times a number", lambda: net(x, 0.5, two), "times", "0.5", "tensor"),
        Mistake(
            "times of other samples", lambda: net(x, torch.rand(3), two), "times", "(3,)", "(2, 2)", "(2,)"
        ),
        Mistake("times of one branch", lambda: net(x, t[None], two), "times", "(1, 2)", "(2, 2)"),
        Mistake(
            "times transposed",
            lambda: net(torch.randn(3, 4, 8, 8), torch.rand(3, 2), labelled(1, 2, 3)),
            "times",
            "(3, 2)",
            "(2, 3)",
        ),
        Mistake("times of one sample", lambda: net(x, times[:, :1], two), "times", "(2, 1)", "(2, 2)"),
        Mistake(
            "times of integers", lambda: net(x, torch.ones(2, 2, dtype=torch.int64), two), "times", "int64"
        ),
        Mistake(
            "times counted to 1000",
            lambda: net(x, torch.full((2, 2), 500.0), two),
            "times",
            "500",
            "0 (data) to 1 (noise)",
        ),
        Mistake("times below 0", lambda: net(x, torch.full((2, 2), -0.25), two), "times", "-0.25"),
        Mistake("times that are none", lambda: net(x, torch.full((2, 2), torch.nan), two), "times", "nan"),
        Mistake("times elsewhere", lambda: net(x, times.to("meta"), two), "times", "meta", "cpu"),
        Mistake("depths as a number", lambda: net(x, times, two, hidden=1), "hidden", "1", "("),
        Mistake("depths between blocks", lambda: net(x, times, two, hidden=(1.5,)), "hidden", "1.5"),
        Mistake(
            "velocity at a number", lambda: net.velocity(x, 0.5, two), "t is 0.5", "torch.full((2,), 0.5)"
        ),
        Mistake(
            "velocity at one time for all", lambda: net.velocity(x, torch.tensor(0.5), two), "t", "()", "(2,)"
        ),
        Mistake(
            "velocity at one time of many",
            lambda: net.velocity(x, torch.tensor([0.5]), two),
            "t",
            "(1,)",
            "(2,)",
        ),
        Mistake(
            "velocity at times in a column", lambda: net.velocity(x, t[:, None], two), "t", "(2, 1)", "(2,)"
        ),
        Mistake("velocity at other times", lambda: net.velocity(x, torch.tensor([0.5, 1.5]), two), "1.5"),
        Mistake("velocity of bytes", lambda: net.velocity(x.to(torch.uint8), t, two), "x", "uint8"),
        Mistake(
            "velocity of labels",
            lambda: net.velocity(x, t, torch.tensor([1, 2])),
            "condition",
            "Condition(labels=",
        ),
    ]
