"""Blocks that some tokens of a stream pass, while the others go round them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.types import Routed, Stream


def over_subset(run: Callable[[Stream], Stream], stream: Stream, routed: Routed) -> Stream:
    """The stream after blocks that some of its tokens passed; the others stand where they stood.

    The context passes with them. Of samples that go round as a whole it stays as it was, too.

    Args:
        run: the blocks.
        stream: all tokens.
        routed: which of them pass.
    """
    tokens, values, kept = stream.tokens, stream.values, routed.kept
    index = kept.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
    some = None
    if values is not None:
        front = values.shape[1] - tokens.shape[1]
        some = torch.cat([values[:, :front], values[:, front:].gather(1, index)], dim=1)
    out = run(stream._replace(tokens=tokens.gather(1, index), places=kept, values=some))
    passed = tokens.scatter(1, index, out.tokens.to(tokens.dtype))
    context = out.context if stream.context is None else _unless(routed.dropped, stream.context, out.context)
    return stream._replace(tokens=_unless(routed.dropped, tokens, passed), context=context)


def _unless(dropped_N: Tensor, before: Tensor, after: Any) -> Tensor:
    return torch.where(dropped_N[:, None, None], before, after.to(before.dtype))
