"""What is told of a released checkpoint beside its tensors, and how each thing is settled.

Tensors tell shapes and nothing else: not the number of heads, not the path, not what is predicted. The
arguments that a training script kept in the file tell most of it, options tell the rest. What several of
them tell must agree; what none tells is asked for, never guessed.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from thalweg.arguments import described
from thalweg.errors import ConfigError, DataError
from thalweg.facts import MOST_CLASSES
from thalweg.integers import Integers
from thalweg.storage.redaction import excerpt

OPTIONS = {
    "heads": "--heads",
    "branches_at": "--branches-at",
    "path": "--path",
    "prediction": "--prediction",
    "clamp": "--clamp or --no-clamp",
    "classes": "--classes",
}
"""What may be told, and the option of the command line that tells it."""

PATHS = {"linear": "linear", "cosine": "cosine", "gvp": "cosine", "vp": "vp"}
"""How paths are called, in small letters, and our names: SiT calls the cosine path GVP."""

PREDICTIONS = {"velocity": "velocity", "v": "velocity", "noise": "noise", "score": "score"}
"""How predictions are called, and our names."""

_COUNT = Integers(1, MOST_CLASSES)


def _path(value: Any) -> str | None:
    return _named(value, PATHS, "path")


def _prediction(value: Any) -> str | None:
    return _named(value, PREDICTIONS, "prediction")


def _named(value: Any, names: Mapping[str, str], field: str) -> str | None:
    if value is None:
        return None
    known = names.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise ConfigError(
            f"{field} is {described(value)}; give one of {', '.join(sorted(set(names.values())))}"
        )
    return known


def _integers(values: Any) -> tuple[int, ...] | None:
    if values is None:
        return None
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)
    return tuple(_COUNT.check(f"branches_at[{place}]", one) for place, one in enumerate(found))


def _heads(value: Any) -> int | None:
    return None if value is None else _COUNT.check("heads", value)


def _classes(value: Any) -> int | None:
    return None if value is None else _COUNT.check("classes", value)


def _switch(_: object, __: object, value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"clamp is {described(value)}; give True or False")


@attrs.frozen
class Told:
    """What is told of a checkpoint beside its tensors; None where nothing is.

    Attributes:
        heads: attention heads.
        branches_at: depths after which all branches but the last end.
        path: ``linear``, ``cosine`` (also called GVP) or ``vp``.
        prediction: ``velocity``, ``noise`` or ``score``.
        clamp: whether the time gap's scale is bounded.
        classes: number of classes, without the null class.
        arguments: those that the file itself keeps, under their names there.

    Raises:
        ConfigError: one of them is of another type or range.
    """

    heads: int | None = attrs.field(default=None, converter=_heads)
    branches_at: tuple[int, ...] | None = attrs.field(default=None, converter=_integers)
    path: str | None = attrs.field(default=None, converter=_path)
    prediction: str | None = attrs.field(default=None, converter=_prediction)
    clamp: bool | None = attrs.field(default=None, validator=_switch)
    classes: int | None = attrs.field(default=None, converter=_classes)
    arguments: Mapping[str, Any] = attrs.field(factory=lambda: MappingProxyType({}), eq=False)

    def argument(self, *names: str) -> tuple[Any, str]:
        """The first of the file's arguments that is there and not None, and where it stands."""
        for name in names:
            if self.arguments.get(name) is not None:
                return self.arguments[name], f"'{name}' of the file's args"
        return None, ""


@attrs.frozen
class Settled:
    """A value, and what told it."""

    value: Any
    origin: str


class Settling:
    """Settles each thing once, and makes sure that nothing told is passed over.

    Args:
        source: whose checkpoint it is, for messages.
        told: options, and arguments of the file.
    """

    def __init__(self, source: str, told: Told) -> None:
        self.source, self.told = source, told
        self.found: dict[str, Settled] = {}
        self._asked: list[str] = []

    def settle(
        self, name: str, *, argument: tuple[Any, str] = (None, ""), tensors: Any = None, ask: str = ""
    ) -> Any:
        """The value of something, from its option, an argument of the file and the tensors.

        Args:
            name: one of :data:`OPTIONS`.
            argument: what the file's arguments say in our words, and where; None for nothing.
            tensors: what the tensors say; None for nothing.
            ask: what to add where it has to be asked for.

        Returns:
            None if nothing tells it, which :meth:`finish` reports.

        Raises:
            ConfigError: an option says otherwise than the file.
            DataError: the file's arguments say otherwise than its tensors.
        """
        option = getattr(self.told, name)
        stated = [(option, _said(name, option)), argument, (tensors, "the tensors")]
        given = [Settled(value, origin) for value, origin in stated if value is not None]
        if not given:
            self._asked.append(f"{OPTIONS[name]}{f' ({ask})' if ask else ''}")
            self.found[name] = Settled(None, "nothing")
            return None
        first, *others = given
        for other in others:
            if other.value != first.value:
                wrong, cure = (
                    (DataError, "they contradict each other, so check the file")
                    if option is None
                    else (ConfigError, "leave the option out, or check the file")
                )
                raise wrong(
                    f"{name} is {_shown(first.value)} by {first.origin} and {_shown(other.value)} by "
                    f"{other.origin}; {cure}"
                )
        self.found[name] = Settled(first.value, " and ".join(one.origin for one in given))
        return first.value

    def note(self, name: str, value: Any, origin: str) -> None:
        """Keep what was taken of something that no option tells."""
        self.found[name] = Settled(value, origin)

    def finish(self) -> None:
        """Make sure that all is settled and that every option was of use.

        Raises:
            ConfigError: naming the options that are needed, or those that say nothing here.
        """
        given = {name: getattr(self.told, name) for name in OPTIONS}
        useless = [
            _said(name, value)
            for name, value in given.items()
            if value is not None and name not in self.found
        ]
        if useless:
            raise ConfigError(
                f"checkpoints of {self.source} have nothing that {' and '.join(useless)} could tell; leave "
                f"{'it' if len(useless) == 1 else 'them'} out"
            )
        if self._asked:
            raise ConfigError(
                f"neither the tensors nor arguments in the file tell all that {self.source} needs; give "
                f"{', '.join(self._asked)}"
            )


def _said(name: str, value: Any) -> str:
    """The option as it was given."""
    return ("--clamp" if value else "--no-clamp") if name == "clamp" else OPTIONS[name]


def _shown(value: Any) -> str:
    return excerpt(str(value), 60)
