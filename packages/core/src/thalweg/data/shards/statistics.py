"""Mean and standard deviation of each channel of stored latents."""

from collections.abc import Callable

import numpy as np

from thalweg.data.shards.index import read_index
from thalweg.data.shards.store import ShardStore
from thalweg.errors import DataError
from thalweg.facts import Normalisation
from thalweg.storage import Location, default_cache

_CACHE = 64 * 2**30  # bytes that remote shards may take


def channel_statistics(location: Location, progress: Callable[[int, int], None]) -> Normalisation:
    """What brings the latents of a set of shards to mean 0 and standard deviation 1, channel by channel.

    Of latents (mean + std eps) * scale over all samples and places, with eps ~ N(0, 1) integrated out: the
    variance is scale^2 (E[mean^2 + std^2] - E[mean]^2). Mirrored images count where they are stored.

    Args:
        location: the folder.
        progress: called with how many shards are done, and of how many.

    Raises:
        DataError: if they hold pixels, a channel is constant, or a shard is missing or damaged.
    """
    index = read_index(location)
    header = index.header
    if header.kind == "pixels":
        raise DataError(f"{location} holds pixels, which are in [-1, 1] as they are read; give latents")
    store = ShardStore(location, index, default_cache(_CACHE))
    sums, squares = np.zeros(header.shape[0]), np.zeros(header.shape[0])
    count = 0
    for number in range(len(index.shards)):
        arrays = store.open(number)
        for suffix in ("", "_flipped") if header.flips else ("",):
            mean, std = (arrays[f"{name}{suffix}"].astype(np.float64) for name in ("mean", "std"))
            sums += mean.sum(axis=(0, 2, 3))
            squares += (mean**2 + std**2).sum(axis=(0, 2, 3))
            count += mean[:, 0].size
        progress(number + 1, len(index.shards))
    centre = sums / count
    spread = np.sqrt(np.maximum(squares / count - centre**2, 0))
    constant = np.flatnonzero(spread <= 1e-12 * np.maximum(1, np.abs(centre)))
    if len(constant):
        raise DataError(f"channel {constant[0]} of {location} is constant, so no factor brings it to 1")
    return Normalisation((centre * header.scale).tolist(), (spread * header.scale).tolist())
