"""Data of any shape: what is once a sample beside what is once an element."""

from jaxtyping import Float
from torch import Tensor


def per_sample_mean(x: Float[Tensor, "N *shape"]) -> Float[Tensor, " N"]:
    """The mean over each sample's own elements, whatever their axes."""
    return x.mean(dim=tuple(range(1, x.dim())))


def beside(values: Float[Tensor, " N"], x: Float[Tensor, "N *shape"]) -> Float[Tensor, "N *ones"]:
    """One value a sample, with as many axes as the samples have: it multiplies all of a sample's elements.

    Dtype and device stay what they are.
    """
    return values.view(-1, *[1] * (x.dim() - 1))
