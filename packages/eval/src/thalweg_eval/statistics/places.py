"""Results that do not depend on the order in which images arrive."""

from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import DataError


def in_order(places_N: Int64[Tensor, " N"]) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]:
    """The places of images within their set, ascending, and the order that makes them so.

    Raises:
        DataError: if an image was counted twice.
    """
    ascending_N, order_N = places_N.sort()
    twice = ascending_N[1:][ascending_N[1:] == ascending_N[:-1]]
    if len(twice):
        raise DataError(f"image {int(twice[0])} was counted twice; evaluate again from the beginning")
    return ascending_N, order_N
