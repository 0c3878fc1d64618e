"""Published means and standard deviations of latents, as VA-VAE has them beside its weights."""

from pathlib import Path

from thalweg.errors import ConfigError, DataError
from thalweg.facts import Normalisation
from thalweg_backbones.foreign.checkpoints import read_foreign


def read_statistics(path: Path | str) -> Normalisation:
    """The tensors ``mean`` and ``std`` of a file, one number a channel, of shape (C,) or (1, C, 1, 1).

    Args:
        path: ``.pt``, ``.pth`` or ``.safetensors``; nothing in it is executed.

    Raises:
        DataError: if it holds something else.
    """
    found = read_foreign(Path(path))
    if set(found) != {"mean", "std"} or any(
        one.numel() != max(one.shape, default=0) for one in found.values()
    ):
        raise DataError(
            f"{path} holds no statistics of latents: the tensors 'mean' and 'std', one number a channel, are "
            "expected, as in VA-VAE's latents_stats.pt"
        )
    try:
        return Normalisation(*(tuple(found[name].double().flatten().tolist()) for name in ("mean", "std")))
    except ConfigError as fault:
        raise DataError(f"{path} holds no statistics of latents: {fault}") from fault
