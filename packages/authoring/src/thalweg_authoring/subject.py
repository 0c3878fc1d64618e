"""What is checked: one component, and the small world that it is built for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from thalweg.config import component
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.import_options import ImportOptions
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component, registry
from thalweg.plugins.catalogue import FACTLESS, UNINFORMED
from thalweg_authoring.numbers import FACTS

SHAPES = ((4, 8, 8), (1, 6, 10), (3, 16, 4))


@attrs.frozen
class Subject:
    """A component under test.

    Attributes:
        kind: one of :data:`thalweg.plugins.KINDS`.
        name: what it is registered under.
        options: fields of a small one, beside those that its config class states as ``small``.
        facts: what it is built for.
        shapes: shapes of images or latents that it must work on.
        backend: of torch.compile; ``inductor`` needs a C++ compiler.
        folder: an empty folder, for those that write; each rule gets one of its own unless it is stated.
        checkpoint: makes the tensors of a checkpoint that an importer reads, and what has to be stated beside
            them; None where none is at hand.
        network: makes a small network that an exporter takes; None where none is at hand.
    """

    kind: str
    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    facts: Facts = FACTS
    shapes: tuple[tuple[int, int, int], ...] = SHAPES
    backend: str = "aot_eager"
    folder: Path | None = None
    checkpoint: Callable[[], tuple[Mapping[str, Tensor], ImportOptions]] | None = None
    network: Callable[[], FlowNetwork] | None = None

    def __str__(self) -> str:
        origin = registry().origin(self.kind, self.name)
        return f"{self.kind} '{self.name}' of {origin} ({origin.module})"

    @property
    def config_class(self) -> type[Any]:
        """The class that is registered."""
        return registry().config_class(self.kind, self.name)

    def small(self, **more: Any) -> dict[str, Any]:
        """The options of a small one."""
        stated = getattr(self.config_class, "small", {})
        return {"type": self.name, **stated, **self.options, **more}

    def config(self, **more: Any) -> Any:
        """The config of a small one.

        Raises:
            ConfigError: it needs options that were not given.
        """
        missing = self.required - self.small(**more).keys()
        if missing:
            keys = ", ".join(f"{key}=..." for key in sorted(missing))
            raise ConfigError(
                f"{self.kind} '{self.name}' cannot be built without {keys}; add it to be checked"
            )
        return component(self.kind, self.small(**more))

    def defaults(self) -> Any:
        """Its config as a bare name gives it, with only what it cannot be built without."""
        given = self.small()
        return component(
            self.kind, {"type": self.name, **{key: given[key] for key in self.required & given.keys()}}
        )

    @property
    def fields(self) -> set[str]:
        """Its fields, as they are written."""
        return {field.alias or field.name for field in attrs.fields(self.config_class)}

    @property
    def required(self) -> set[str]:
        """Its fields without defaults."""
        fields = attrs.fields(self.config_class)
        return {field.alias or field.name for field in fields if field.default is attrs.NOTHING}

    def has(self, field: str) -> bool:
        """Whether its config has this field."""
        return field in self.fields

    def build(self, facts: Facts | None = None, config: Any = None, **more: Any) -> Any:
        """A small one.

        Raises:
            PluginError: its ``build`` raised what is no :class:`thalweg.ThalwegError`.
        """
        return built(
            self.config(**more) if config is None else config, self.kind, facts or self.facts, self.folder
        )


def built(config: Any, kind: str, facts: Facts | None, folder: Path | None = None) -> Any:
    """Build from a config, whatever its kind is built from.

    Raises:
        PluginError: its ``build`` raised what is no :class:`thalweg.ThalwegError`, or returned nothing.
    """
    if kind in UNINFORMED:
        return build_component(config)
    if kind == "logger":
        return build_component(config, folder)
    return build_component(config, None if kind in FACTLESS else facts)
