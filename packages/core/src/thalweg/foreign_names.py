"""What wrappers leave in the names of tensors, taken off again."""

from collections.abc import Mapping

from torch import Tensor

from thalweg.errors import DataError

# Of the compiler, of activation checkpointing, of sharding and of Fabric: anywhere within a name.
_INSIDE = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_forward_module"}
# Of data-parallel training, of the attribute that held the network, and of averages: in front.
_IN_FRONT = {
    *("module", "model", "net", "network"),
    *("ema", "ema_model", "model_ema", "ema_net", "net_ema", "averaged_model", "online_model"),
}


def bare(name: str) -> str:
    """A tensor's name in the network itself."""
    parts = unwrapped(name).split(".")
    while len(parts) > 1 and parts[0] in _IN_FRONT:
        parts.pop(0)
    return ".".join(parts)


def unwrapped(name: str) -> str:
    """A tensor's name without what wrappers leave within."""
    parts = name.split(".")
    return ".".join([one for one in parts[:-1] if one not in _INSIDE] + parts[-1:])


def bare_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under their names in the network itself.

    Raises:
        DataError: if two would bear one name, as a network and its average in one table do.
    """
    origins: dict[str, str] = {}
    for name in tensors:
        other = origins.setdefault(bare(name), name)
        if other != name:
            raise DataError(
                f"'{other}' and '{name}' of the checkpoint are both '{bare(name)}' of a network; export the "
                f"one that is meant"
            )
    return {short: tensors[name] for short, name in origins.items()}
