"""Which box of a tensor this process holds, be it plain or sharded by FSDP2."""

import attrs
from torch import Tensor

from thalweg.errors import ThalwegError
from thalweg.training.checkpoint import Piece


@attrs.frozen(eq=False)
class Held:
    """What a process holds of a tensor.

    Attributes:
        piece: its box; the values are those of the tensor itself, not a copy.
        mine: whether it is this process that writes them, of all that hold the same.
        sharded: whether other processes hold other boxes.
    """

    piece: Piece
    mine: bool
    sharded: bool


def held(tensor: Tensor, rank: int) -> Held:
    """The box of a tensor that is here.

    A plain tensor is the same everywhere, and the first process writes it. Of a DTensor the box follows
    from mesh and placements: n processes share a dimension of size m in chunks of ceil(m / n), the last
    ones being smaller or empty.

    Args:
        tensor: plain or a DTensor.
        rank: of this process.

    Raises:
        ThalwegError: if it is sharded in another way than by whole dimensions.
    """
    mesh = getattr(tensor, "device_mesh", None)
    if mesh is None:
        return Held(Piece.whole(tensor.detach()), rank == 0, False)
    from torch.distributed.tensor import DTensor, Replicate, Shard

    if not isinstance(tensor, DTensor):
        raise ThalwegError(f"a tensor of {type(tensor).__name__} cannot be saved; use plain tensors")
    offset, extent, mine = [0] * tensor.dim(), list(tensor.shape), True
    for place, processes, placement in zip(
        mesh.get_coordinate() or (), mesh.shape, tensor.placements, strict=True
    ):
        if isinstance(placement, Replicate):
            mine = mine and place == 0
        elif type(placement) is Shard:
            size = extent[placement.dim]
            chunk = -(-size // processes)
            begin = min(place * chunk, size)
            offset[placement.dim] += begin
            extent[placement.dim] = min(chunk, size - begin)
        else:
            raise ThalwegError(f"a tensor placed as {placement} cannot be saved; shard whole dimensions")
    local: Tensor = tensor.detach().to_local()  # type: ignore[attr-defined]  # it is a DTensor
    if list(local.shape) != extent:
        raise ThalwegError(
            f"a tensor of shape {tuple(tensor.shape)} has shape {tuple(local.shape)} on process {rank}, "
            f"where {tuple(extent)} was expected; shard it evenly"
        )
    return Held(Piece(local, tuple(offset), tuple(tensor.shape)), mine, True)
