"""What the importers read from the arguments of training scripts, and what they refuse by name."""

import re
from typing import Any

from thalweg.errors import ConfigError, DataError
from thalweg.import_options import PATHS, PREDICTIONS, ImportOptions, OptionResolver
from thalweg.storage.redaction import excerpt
from thalweg_backbones.sizes import SIZES

_SIZE = re.compile(r"(?:^|[-_])(S|B|L|XL)/\d+")
_WITH_NULL, _IMAGENET = 1001, 1000

# Arguments that one program's training script has and the other's lacks.
_SIT_ALONE = ("sample_eps", "train_eps", "loss_weight")
_REPA_ALONE = ("proj_coeff", "enc_type", "encoder_depth", "projector_dim", "projector_embed_dims", "z_dims")


def whose(options: ImportOptions, *, spelling: bool = True) -> str:
    """Whose training script wrote the arguments: SiT, REPA, DiT, or nothing where they do not show it.

    Args:
        options: with the file's arguments.
        spelling: go by how values are spelt, too, where no argument is one's alone.
    """
    dit = str(options.arguments.get("model", "")).startswith("DiT")
    # Flows are trained under a DiT's name, too; its own script has nothing to say of what is predicted.
    if dit and options.argument("prediction", "path_type") == (None, ""):
        return "DiT"
    ours = {"SiT": _SIT_ALONE, "REPA": _REPA_ALONE}
    marked = [name for name, marks in ours.items() if any(mark in options.arguments for mark in marks)]
    if len(marked) == 1:
        return marked[0]
    if not spelling:
        return ""
    path, prediction = options.arguments.get("path_type"), options.arguments.get("prediction")
    if prediction == "v":
        return "REPA"
    if prediction in ("velocity", "noise", "score") or path in ("Linear", "GVP", "VP"):
        return "SiT"
    return ""


def refuse_another(resolver: OptionResolver, source: str, *, spelling: bool = True) -> None:
    """Make sure that the file's arguments are those of the source that is named.

    Args:
        resolver: with the file's arguments.
        source: whose checkpoints it reads.
        spelling: as in :func:`whose`.

    Raises:
        DataError: if they are another's.
    """
    found = whose(resolver.options, spelling=spelling)
    if found in ("", source):
        return
    raise DataError(f"the file's args are those of {found}, not of {source}; import it as {found.lower()}")


def heads(resolver: OptionResolver, width: int, depth: int, tensors: int | None = None) -> int:
    """Attention heads, by option, the file's arguments or, where they show them, its tensors."""
    value, where = resolver.options.argument("num_heads", "heads")
    model, _ = resolver.options.argument("model", "model.model_type")
    named = _SIZE.search(model) if isinstance(model, str) else None
    if value is None and named is not None:
        size = SIZES[named[1]]
        # Of a network that is not of the size it is called by, the name says nothing.
        if (size.width, size.depth) == (width, depth):
            value, where = size.heads, f"the model '{model}' of the file's args"
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise _meaningless(value, where)
    known = next((size.heads for size in SIZES.values() if (size.width, size.depth) == (width, depth)), None)
    ask = f"released models of width {width} and depth {depth} have {known}" if known else ""
    found = resolver.resolve("heads", argument=(value, where), tensors=tensors, ask=ask)
    if found is not None and width % found:
        wrong = DataError if resolver.options.heads is None else ConfigError
        raise wrong(
            f"{found} heads are stated by {resolver.found['heads'].origin}, and the width of {width} is no "
            f"multiple of that; check the number"
        )
    return found or 1


def path(resolver: OptionResolver) -> str:
    """Our name of the path between data and noise.

    Raises:
        DataError: if it is none of ours.
    """
    stated, where = resolver.options.argument("path_type", "transport.path_type")
    ours = PATHS.get(stated.lower()) if isinstance(stated, str) else None
    if stated is not None and ours is None:
        raise _meaningless(stated, where)
    found = resolver.resolve("path", argument=(ours, where), ask="linear or cosine, which SiT calls GVP")
    if found not in (None, "linear", "cosine"):
        raise DataError(
            f"the path is {found} by {resolver.found['path'].origin}, which no network here follows; only "
            f"linear and cosine (GVP) can be imported"
        )
    return found or "linear"


def prediction(resolver: OptionResolver, *, sure: bool) -> None:
    """Make sure that velocities are predicted.

    Args:
        resolver: of the importer.
        sure: the tensors are of a program whose networks predict nothing else.

    Raises:
        DataError: if something else is.
    """
    stated, where = resolver.options.argument("prediction", "transport.prediction")
    ours = PREDICTIONS.get(stated.lower()) if isinstance(stated, str) else None
    if stated is not None and ours is None:
        raise _meaningless(stated, where)
    tensors = "velocity" if sure else None
    ask = "velocity; a DiT's file has the same tensors and predicts noise"
    found = resolver.resolve("prediction", argument=(ours, where), tensors=tensors, ask=ask)
    if found not in (None, "velocity"):
        raise DataError(
            f"the network predicts the {found} by {resolver.found['prediction'].origin}, and "
            f"{resolver.source}'s predict the velocity; a DiT, which predicts noise, is imported as dit"
        )


def classes(resolver: OptionResolver, rows: int) -> int:
    """How many classes a table has beside the null class, in its last row.

    Raises:
        DataError: if it has no null class.
    """
    stated, where = resolver.options.argument("num_classes", "data.num_classes")
    given = resolver.options.classes if stated is None else stated
    if given is not None and (not isinstance(given, int) or given < 1):
        raise _meaningless(given, where)
    if given == rows:
        raise DataError(
            f"the table of {rows} classes has no row for the null class, so the network was trained without "
            f"condition dropout; only networks with such a row can be imported"
        )
    if given is not None and given != rows - 1:
        raise DataError(
            f"the table of classes has {rows} rows and {given} classes are stated; {given + 1} are needed, "
            f"the last for the null class"
        )
    # What every model released for ImageNet has; where no label was hidden, the last row may be a class.
    tensors = _IMAGENET if rows == _WITH_NULL and hidden(resolver) else None
    ask = f"{rows - 1} if the last of the table's {rows} rows is the null class's"
    return resolver.resolve("classes", argument=(stated, where), tensors=tensors, ask=ask) or 1


def hidden(resolver: OptionResolver) -> bool:
    """Whether conditions were hidden in training: by the file's arguments, else they were.

    The row for the null class is made for that alone, and REPA hides captions in all models that it released.
    """
    share, where = resolver.options.argument("cfg_prob", "class_dropout_prob")
    if share is None:
        return True
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise _meaningless(share, where)
    resolver.note("condition_dropout", share, where)
    return share > 0


def clamp(resolver: OptionResolver, *, aligned: bool) -> bool:
    """Whether the time gap's scale is bounded: ``legacy_scaling`` of DeepFlow."""
    stated, where = resolver.options.argument("legacy_scaling")
    if stated is not None and not isinstance(stated, bool):
        raise _meaningless(stated, where)
    ask = "models released with alignment have the bound" + (", as this one seems to be" if aligned else "")
    return bool(resolver.resolve("clamp", argument=(stated, where), ask=ask))


def equal_branches(resolver: OptionResolver, depth: int, boundaries: int) -> None:
    """Make sure that branches are of equal length.

    Raises:
        DataError: if they are not.
    """
    stated, where = resolver.options.argument("df_idxs")
    if stated is not None and not all(isinstance(one, int) for one in _list(stated, where)):
        raise _meaningless(stated, where)
    ends = None if stated is None else tuple(stated)
    equal = tuple(depth * (index + 1) // (boundaries + 1) for index in range(boundaries))
    divided = depth % (boundaries + 1) == 0
    ask = f"such as {_text(equal)}" if divided else f"the depths of its {boundaries} refiners"
    found = resolver.resolve("branches_at", argument=(ends, where), ask=ask)
    if found is not None and (found != equal or not divided):
        raise DataError(
            f"the branches end after {_text(found)} of {depth} blocks by "
            f"{resolver.found['branches_at'].origin}, and the tensors are of {boundaries + 1}; only branches "
            f"of equal length can be imported" + (f", which end after {_text(equal)}" if divided else "")
        )


def refuse_qk_norm(resolver: OptionResolver, stated: bool, kind: str) -> None:
    """Refuse normalised queries and keys, by the tensors or the file's arguments.

    Raises:
        DataError: if there are such.
    """
    value, where = resolver.options.argument("qk_norm")
    if stated or value:
        raise DataError(
            f"queries and keys are normalised with {kind} by "
            f"{'the tensors' if stated else where}, which backbone dit does not do; such a network cannot be "
            f"imported"
        )


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _meaningless(value, where)
    return list(value)


def _text(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers)) or "none"


def _meaningless(value: Any, where: str) -> DataError:
    return DataError(
        f"{where or 'the option'} is {excerpt(repr(value), 60)}, which is not understood; check the file"
    )
