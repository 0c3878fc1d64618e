"""Where training checkpoints keep their weights: averaged ones first, and never another's in silence."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from torch import Tensor

from thalweg.errors import DataError
from thalweg.storage.redaction import excerpt

_AVERAGED = (
    *("ema", "model_ema", "ema_model", "ema_state_dict", "model_ema_state_dict", "state_dict_ema"),
    *("params_ema", "ema_params", "net_ema", "ema_net"),
)
_PLAIN = ("model", "state_dict", "model_state_dict", "module", "params", "net", "network", "weights")
ARGUMENT_PLACES = ("args", "config", "cfg", "hparams", "hyper_parameters")
"""Where training scripts keep their options beside the weights."""

# What was trained, beside an average that stands under a plain name, as Lightning keeps it.
_TRAINED = ("current_model_state",)
# A list in the order of the parameters, as torch_ema and diffusers keep it.
_LISTED = "shadow_params"
# Averages as a module of their own beside the network, whose tensors are then distinguished by their prefix.
_AVERAGED_PREFIXES = ("ema_model", "model_ema", "ema", "net_ema", "ema_net", "averaged_model")
_PLAIN_PREFIXES = ("online_model", "model", "net", "network", "module")
_COUNTERS = {"n_averaged", "initted", "step", "decay", "num_updates", "optimization_step"}
# Some averages leave out what is never trained: only the fixed table of positions in the layouts known here.
_FIXED = ("pos_embed",)
_DEEPEST = 4
# The states of optimisers have tensors of the network's shapes, too.
_OPTIMISERS = "opt"
# Of the compiler, of activation checkpointing, of sharding and of Fabric: anywhere within a name.
_INSIDE = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_forward_module"}
# Of data-parallel training, of the attribute that held the network, and of averages: in front.
_IN_FRONT = {
    *("module", "model", "net", "network"),
    *("ema", "ema_model", "model_ema", "ema_net", "net_ema", "averaged_model", "online_model"),
}


@attrs.frozen(eq=False)
class FoundWeights:
    """Tensors and where they stood; ``left`` names other weights in the file."""

    tensors: Mapping[str, Tensor]
    place: str = ""
    left: tuple[str, ...] = ()


def weights_in(content: Mapping[Any, Any]) -> FoundWeights:
    """The EMA weights of a checkpoint, else its only ones; without tensors if there are none.

    Raises:
        DataError: if there are EMA weights that cannot be read, or others and it is unknown which are
            meant.
    """
    found = _one_of_several(_descended(content, ()))
    more = [one for one in _others(content, found.tensors) if one not in found.left]
    averaged = any(part in (*_AVERAGED, *_AVERAGED_PREFIXES, _LISTED) for part in found.place.split("."))
    unclear = [] if averaged else [one for one in more if one not in _TRAINED]
    if unclear:
        places = ", ".join([found.place or "the top", *unclear])
        raise DataError(
            f"weights of one network stand in several places ({excerpt(places, 80)}), and which of "
            f"them are the EMA weights is unknown; export the ones that are meant as safetensors"
        )
    return attrs.evolve(found, left=(*found.left, *more))


def arguments_in(content: Mapping[Any, Any]) -> dict[str, Any]:
    """The options that a training script kept beside the weights: plain values alone.

    Those in tables of one are named with the table's name and a dot in front.
    """
    for key in ARGUMENT_PLACES:
        stated = content.get(key)
        table = vars(stated) if isinstance(stated, argparse.Namespace) else stated
        if isinstance(table, Mapping) and table:
            tables = [("", table), *((f"{name}.", one) for name, one in table.items() if _filled(one))]
            return {
                f"{prefix}{name}": one
                for prefix, within in tables
                for name, one in within.items()
                if isinstance(name, str) and _plain(one)
            }
    return {}


def _plain(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return all(one is None or isinstance(one, str | int | float) for one in values)


def _descended(content: Mapping[Any, Any], place: tuple[str, ...]) -> FoundWeights:
    deep = len(place) == _DEEPEST  # a pickle may hold itself
    present = [] if deep else [key for key in (*_AVERAGED, *_PLAIN) if _filled(content.get(key))]
    listed = content.get(_LISTED)
    if isinstance(listed, Sequence) and listed:
        return _named(listed, content, content, place)
    for key in present:
        value, here = content[key], (*place, key)
        if isinstance(value.get(_LISTED), Sequence) and value[_LISTED]:
            found = _named(value[_LISTED], content, value, here)
        else:
            found = _descended(value, here)
        if found.tensors:
            left = [".".join((*place, other)) for other in present if other != key]
            return attrs.evolve(found, left=tuple(dict.fromkeys((*found.left, *left))))
        if key in _AVERAGED:
            raise DataError(
                f"EMA weights stand under '{'.'.join(here)}' in a form that is not understood "
                f"({_keys(value)}); export them as safetensors"
            )
    tensors = {str(name): one for name, one in content.items() if isinstance(one, Tensor)}
    return FoundWeights(tensors, ".".join(place))


def _filled(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0


def _named(
    listed: Sequence[Any], beside: Mapping[Any, Any], own: Mapping[Any, Any], place: Any
) -> FoundWeights:
    """Averages in a list, by the names of the network beside them."""
    here = ".".join((*place, _LISTED))
    for key in _PLAIN:
        if not _filled(beside.get(key)) or beside[key] is own:
            continue
        model = _descended(beside[key], (key,)).tensors
        trained = [name for name in model if unwrapped(name).rpartition(".")[2] not in _FIXED]
        for names in (list(model), trained):
            if [tuple(model[name].shape) for name in names] == [_shape(one) for one in listed]:
                fixed = {name: model[name] for name in model if name not in names}
                return FoundWeights({**dict(zip(names, listed, strict=True)), **fixed}, here, (key,))
    raise DataError(
        f"EMA weights stand under '{here}' without names, and no network beside them has tensors of "
        f"these shapes in this order; export them with their names as safetensors"
    )


def _shape(one: Any) -> tuple[int, ...] | None:
    return tuple(one.shape) if isinstance(one, Tensor) else None


def _one_of_several(found: FoundWeights) -> FoundWeights:
    """Of a network and its average in one table, the average."""
    tensors = {name: one for name, one in found.tensors.items() if not _counts(name, one)}
    front = {name: unwrapped(name).partition(".")[0] for name in tensors}
    average = next((one for one in _AVERAGED_PREFIXES if one in front.values()), None)
    if average is None:
        return attrs.evolve(found, tensors=tensors or found.tensors)
    mine = bare_names({name: tensors[name] for name in tensors if front[name] == average})
    rest = [name for name in tensors if front[name] != average]
    # A network that holds its own average has no prefix.
    plain = [name for name in rest if front[name] in _PLAIN_PREFIXES or bare(name) in mine]
    if not any("." in name for name in mine) and plain:
        mine = _dotted(mine, {unwrapped(name).partition(".")[2]: tensors[name] for name in plain}, average)
    kept = {name: tensors[name] for name in rest if name not in plain}
    left = {f"{front[name]}.*" if front[name] in _PLAIN_PREFIXES else "unprefixed" for name in plain}
    place = f"{found.place}.{average}" if found.place else average
    return FoundWeights({**mine, **kept}, place, (*found.left, *sorted(left)))


def _dotted(mine: Mapping[str, Tensor], beside: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Averages whose names lost their dots, as buffers' must, by the names of the network beside them."""
    known = {name.replace(".", ""): name for name in beside}
    lost = [name for name in mine if name not in known]
    if lost or len(known) != len(beside):
        raise DataError(
            f"EMA weights stand under '{prefix}' in a form that is not understood "
            f"({excerpt(', '.join(lost) or 'names that fit several tensors', 80)}); export them as "
            f"safetensors"
        )
    fixed = {name: beside[name] for name in beside if name.rpartition(".")[2] in _FIXED}
    return {**fixed, **{known[name]: tensor for name, tensor in mine.items()}}


def _counts(name: str, tensor: Tensor) -> bool:
    return name.rpartition(".")[2] in _COUNTERS and tensor.numel() == 1


def _keys(table: Mapping[Any, Any]) -> str:
    return excerpt(", ".join(map(str, table)) or "nothing", 80)


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


def _others(content: Mapping[Any, Any], chosen: Mapping[str, Tensor]) -> list[str]:
    """Where in a file the tensors of the chosen network stand again, with other values perhaps.

    Args:
        content: of the file.
        chosen: tensors by their names, taken from it.
    """
    names = {_undotted(name) for name in chosen}
    shapes = sorted(tuple(one.shape) for one in chosen.values())
    own = {id(one) for one in chosen.values()}
    found = []
    for place, tensors in _tables(content, ()):
        if own & {id(one) for one in tensors.values()}:
            continue
        if all(isinstance(name, int) for name in tensors):
            again = len(tensors) > 1 and _most(sorted(tuple(one.shape) for one in tensors.values()), shapes)
        else:
            again = 2 * len(names & {_undotted(str(name)) for name in tensors}) > len(names)
        if again:
            found.append(".".join(place))
    return found


def _tables(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[Any, Tensor]]]:
    """All tables and lists of tensors, with where they stand; a pickle may hold itself."""
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = enumerate(value)
    tensors = {}
    for key, one in items:
        if isinstance(one, Tensor):
            tensors[key] = one
        elif len(place) < _DEEPEST and _OPTIMISERS not in str(key).lower():
            yield from _tables(one, (*place, str(key)))
    if tensors:
        yield place, tensors


def _most(some: list[tuple[int, ...]], all_of_them: list[tuple[int, ...]]) -> bool:
    """Whether these are among those, but for a few that are never trained."""
    left = list(all_of_them)
    for shape in some:
        if shape not in left:
            return False
        left.remove(shape)
    return 2 * len(some) > len(all_of_them)


def _undotted(name: str) -> str:
    return bare(name).replace(".", "")
