"""What is one number a sample, beside data of any shape."""

from jaxtyping import Float
from torch import Tensor


def like(t: Float[Tensor, " N"], x: Float[Tensor, "N *shape"]) -> Float[Tensor, "N *ones"]:
    """One number a sample in x's dtype and on its device, shaped to be broadcast over x's other axes."""
    return t.to(device=x.device, dtype=x.dtype).view(-1, *[1] * (x.dim() - 1))


def sample_mean(x: Float[Tensor, "N *shape"]) -> Float[Tensor, " N"]:
    """The mean over each sample's elements."""
    return x.mean(dim=tuple(range(1, x.dim())))
