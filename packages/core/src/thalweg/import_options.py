"""What is stated of a released checkpoint beside its tensors, and how each thing is resolved.

Tensors have shapes and nothing else: neither the number of heads nor the path nor what is predicted. The
arguments that a training script kept in the file state most of it, options the rest. What several of them
state must agree; what none states has to be given, and is never guessed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs
from torch import Tensor

from thalweg.arguments import Integers, described
from thalweg.errors import ConfigError, DataError
from thalweg.facts import MOST_CLASSES, Facts
from thalweg.storage.redaction import excerpt

OPTIONS = {
    "heads": "--heads",
    "branches_at": "--branches-at",
    "path": "--path",
    "prediction": "--prediction",
    "clamp": "--clamp or --no-clamp",
    "classes": "--classes",
    "tokens": "--tokens",
}
"""What may be stated, and the option of the command line that states it."""

PATHS = {"linear": "linear", "cosine": "cosine", "gvp": "cosine", "vp": "vp"}
"""How paths are called, in small letters, and our names: SiT calls the cosine path GVP."""

PREDICTIONS = {"velocity": "velocity", "v": "velocity", "noise": "noise", "score": "score"}
"""How predictions are called, and our names."""

_COUNT = Integers(1, MOST_CLASSES)


def _named(names: Mapping[str, str], field: str, value: Any) -> str:
    known = names.get(value.lower()) if isinstance(value, str) else None
    if known is None:
        raise ConfigError(
            f"{field} is {described(value)}; give one of {', '.join(sorted(set(names.values())))}"
        )
    return known


def _depths(values: Any) -> tuple[int, ...]:
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)
    return tuple(_COUNT.check(f"branches_at[{place}]", one) for place, one in enumerate(found))


def _option(read: Callable[[Any], Any]) -> Any:
    return attrs.field(default=None, converter=attrs.converters.optional(read))


def _switch(_: object, __: object, value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"clamp is {described(value)}; give True or False")


@attrs.frozen
class ImportOptions:
    """What is stated of a checkpoint beside its tensors; None where nothing is.

    Attributes:
        heads: attention heads.
        branches_at: depths after which all branches but the last end.
        path: ``linear``, ``cosine`` (also called GVP) or ``vp``.
        prediction: ``velocity``, ``noise`` or ``score``.
        clamp: whether the time gap's scale is bounded.
        classes: number of classes, without the null class.
        tokens: of a caption.
        arguments: those that the file itself keeps, under their names there.

    Raises:
        ConfigError: one of them is of another type or range.
    """

    heads: int | None = _option(partial(_COUNT.check, "heads"))
    branches_at: Sequence[int] | None = _option(_depths)
    path: str | None = _option(partial(_named, PATHS, "path"))
    prediction: str | None = _option(partial(_named, PREDICTIONS, "prediction"))
    clamp: bool | None = attrs.field(default=None, validator=_switch)
    classes: int | None = _option(partial(_COUNT.check, "classes"))
    tokens: int | None = _option(partial(_COUNT.check, "tokens"))
    arguments: Mapping[str, Any] = attrs.field(factory=lambda: MappingProxyType({}), eq=False)

    def argument(self, *names: str) -> tuple[Any, str]:
        """The first of the file's arguments that is there and not None, and where it stands."""
        for name in names:
            if self.arguments.get(name) is not None:
                return self.arguments[name], f"'{name}' of the file's args"
        return None, ""


@attrs.frozen
class Resolved:
    """A value, and where it comes from."""

    value: Any
    origin: str


@attrs.frozen(eq=False)
class Imported:
    """What an importer read.

    Attributes:
        composition: backbone, refiner, branches and interpolant, as :func:`thalweg.compose` takes them.
        facts: shape and classes.
        state_dict: the tensors under our names.
        resolved: what the tensors alone do not show, with where each comes from:
            :attr:`OptionResolver.found`.
    """

    composition: Mapping[str, Any]
    facts: Facts
    state_dict: Mapping[str, Tensor]
    resolved: Mapping[str, Resolved]


class OptionResolver:
    """Resolves each thing once, and makes sure that nothing stated is ignored.

    Args:
        source: whose checkpoint it is, for messages.
        options: options, and arguments of the file.
    """

    def __init__(self, source: str, options: ImportOptions) -> None:
        self.source, self.options = source, options
        self.found: dict[str, Resolved] = {}
        self._asked: list[str] = []

    def resolve(
        self, name: str, *, argument: tuple[Any, str] = (None, ""), tensors: Any = None, ask: str = ""
    ) -> Any:
        """The value of something, from its option, an argument of the file and the tensors.

        Args:
            name: one of :data:`OPTIONS`.
            argument: what the file's arguments say in our words, and where; None for nothing.
            tensors: what the tensors say; None for nothing.
            ask: what to add where it has to be asked for.

        Returns:
            None if nothing states it, which :meth:`finish` reports.

        Raises:
            ConfigError: an option says otherwise than the file.
            DataError: the file's arguments say otherwise than its tensors.
        """
        option = getattr(self.options, name)
        stated = [(option, _said(name, option)), argument, (tensors, "the tensors")]
        given = [Resolved(value, origin) for value, origin in stated if value is not None]
        if not given:
            self._asked.append(f"{OPTIONS[name]}{f' ({ask})' if ask else ''}")
            self.found[name] = Resolved(None, "nothing")
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
        self.found[name] = Resolved(first.value, " and ".join(one.origin for one in given))
        return first.value

    def note(self, name: str, value: Any, origin: str) -> None:
        """Keep what was taken of something that no option states."""
        self.found[name] = Resolved(value, origin)

    def finish(self) -> None:
        """Make sure that all is resolved and that every option was of use.

        Raises:
            ConfigError: naming the options that are needed, or those that say nothing here.
        """
        given = {name: getattr(self.options, name) for name in OPTIONS}
        useless = [
            _said(name, value)
            for name, value in given.items()
            if value is not None and name not in self.found
        ]
        if useless:
            raise ConfigError(
                f"checkpoints of {self.source} have nothing that {' and '.join(useless)} could state; leave "
                f"{'it' if len(useless) == 1 else 'them'} out"
            )
        if self._asked:
            raise ConfigError(
                f"neither the tensors nor arguments in the file state all that {self.source} needs; give "
                f"{', '.join(self._asked)}"
            )


def _said(name: str, value: Any) -> str:
    """The option as it was given."""
    return ("--clamp" if value else "--no-clamp") if name == "clamp" else OPTIONS[name]


def _shown(value: Any) -> str:
    return excerpt(str(value), 60)
