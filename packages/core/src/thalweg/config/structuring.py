"""From plain mappings to frozen configs, collecting everything that is wrong on the way."""

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from thalweg.config.building import build
from thalweg.config.built import fault_of, may_be_built
from thalweg.config.faults import FaultyConfigError, Problem, shown
from thalweg.config.scalars import read
from thalweg.config.secret import is_secret
from thalweg.config.slots import Slot, default_of, listed, slot_of
from thalweg.objects import is_object, made_in_python
from thalweg.plugins import Registry, is_config
from thalweg.plugins import registry as process_registry
from thalweg.storage.redaction import register_secrets
from thalweg.suggestions import article, did_you_mean, known_words

T = TypeVar("T")


def structure(cls: type[T], data: Mapping[str, Any], registry: Registry | None = None) -> T:
    """Read a mapping as a config class.

    Args:
        cls: a frozen attrs class.
        data: keys and plain values, as TOML or JSON have them; config instances pass as they are.
        registry: where components are looked up; the process's own by default.

    Raises:
        FaultyConfigError: with all problems at once.
        PluginError: a component that is asked for cannot be imported.
    """
    return _Reader(registry).config(cls, data)  # type: ignore[no-any-return]


def component(
    kind: str,
    data: Any,
    registry: Registry | None = None,
    *,
    optional: bool = False,
    default: str | Mapping[str, Any] | None = None,
) -> Any:
    """The config of a component, or the component if it is built.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        data: a bare name; a mapping with ``type``; a config, registered or not, which is returned as it is
            once its values are of the types that its class states; a part that is built, which is returned
            as it is if it fulfils the protocol of its kind; or None or ``"none"`` if ``optional``.
        registry: where it is looked up; the process's own by default.
        optional: return None for None and ``"none"``.
        default: the component that a mapping without ``type`` changes: its type, or a table.

    Raises:
        FaultyConfigError: with all problems at once.
        PluginError: the component cannot be imported.
    """
    try:
        return _Reader(registry).component(Slot(kind, optional), data, default_of(default))
    except FaultyConfigError as faults:
        raise faults.under(kind) from None


def check_made(config: Any) -> None:
    """A config that Python code has made holds what its class states.

    Args:
        config: a frozen attrs instance, of a component or of a run.

    Raises:
        FaultyConfigError: with all values that are of other types.
    """
    _Reader(None).check_made(config)


def components(kind: str, data: Any, registry: Registry | None = None) -> dict[str, Any]:
    """A table of components by name, as :func:`thalweg.config.component_table` holds it."""
    return _Reader(registry).table(kind, data)


def components_in_order(kind: str, data: Any, registry: Registry | None = None) -> tuple[Any, ...]:
    """Components in an order, as :func:`thalweg.config.component_list` holds them."""
    return _Reader(registry).several(kind, data)


class _Reader:
    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry

    @property
    def registry(self) -> Registry:
        """Plugins are loaded only if a component is asked for."""
        if self._registry is None:
            self._registry = process_registry()
        return self._registry

    def config(self, cls: type[Any], data: Any) -> Any:
        """An attrs class."""
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping):
            raise _problem(f"expected a table, got {shown(data)}")
        attrs.resolve_types(cls)
        fields = {field.alias or field.name: field for field in attrs.fields(cls) if field.init}
        problems = [
            Problem((str(key),), f"unknown key{self._meant(str(key), fields, data) or known_words(fields)}")
            for key in data
            if key not in fields
        ]
        values: dict[str, Any] = {}
        for key, field in fields.items():
            try:
                if key in data:
                    values[key] = self._value(field, data[key])
                elif field.default is attrs.NOTHING:
                    problems.append(Problem((key,), self._missing(field)))
                elif slot_of(field) and default_of(field.default):
                    values[key] = self._value(field, field.default)
            except FaultyConfigError as faults:
                problems += faults.under(key).problems
        return build(cls, values, problems)

    def component(self, slot: Slot, data: Any, default: Mapping[str, Any]) -> Any:
        """A component by bare name, by table or as it is."""
        if slot.optional and (data is None or (isinstance(data, str) and data == "none")):
            return None
        if isinstance(data, type):
            raise _problem(f"expected {article(slot.kind)}, got the class {data.__name__}; make one of it")
        if isinstance(data, str):
            data = {"type": data}
        if not isinstance(data, Mapping) and may_be_built(data):
            return self.made(slot, data)
        if not isinstance(data, Mapping):
            known = known_words(self.registry.names(slot.kind))
            raise _problem(f"expected the name of {article(slot.kind)} or a table, got {shown(data)}{known}")
        if is_object(data):
            raise _problem(made_in_python(slot.kind.replace("_", " "), data))
        options = dict(data) if "type" in data else {**default, **data}
        name = options.pop("type", None)
        names = self.registry.names(slot.kind)
        if name is None:
            raise _problem(f"missing, it names the {slot.kind}{known_words(names)}", "type")
        if not isinstance(name, str):
            raise _problem(f"expected a string, got {shown(name)}", "type")
        if name not in names:
            raise _problem(self.registry.unknown(slot.kind, name), "type")
        return self.config(self.registry.config_class(slot.kind, name), options)

    def made(self, slot: Slot, made: Any) -> Any:
        """A config or a built part that Python code has made, if it is one of this kind."""
        if not is_config(made):
            fault = fault_of(slot.kind, made)
            if fault:
                raise _problem(fault)
            return made
        kinds = {one.kind for one in self.registry if self.registry.is_config_of(one, type(made))}
        if kinds and slot.kind not in kinds:
            what, name = " and ".join(map(article, sorted(kinds))), type(made).__name__
            raise _problem(f"expected the config of {article(slot.kind)}, and {name} is {what}")
        if attrs.has(type(made)):
            self.check_made(made)
        return made

    def check_made(self, made: Any) -> None:
        """The values of a config that Python code has made: its class has looked at no types."""
        attrs.resolve_types(type(made))
        problems: list[Problem] = []
        for field in attrs.fields(type(made)):
            value = getattr(made, field.name)
            if not field.init or is_secret(field):
                continue
            try:
                self._value(field, value)
                if slot_of(field) is None and attrs.has(type(value)):
                    self.check_made(value)
            except FaultyConfigError as faults:
                problems += faults.under(field.alias or field.name).problems
        if problems:
            raise FaultyConfigError(problems)

    def table(self, kind: str, data: Any) -> dict[str, Any]:
        """Components by name."""
        if not isinstance(data, Mapping):
            raise _problem(f"expected a table of {kind}s by name, got {shown(data)}")
        found: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, one in data.items():
            try:
                found[name] = self.component(Slot(kind, optional=True), one, {"type": name})
            except FaultyConfigError as faults:
                problems += faults.under(name).problems
        if problems:
            raise FaultyConfigError(problems)
        return {name: one for name, one in found.items() if one is not None}

    def several(self, kind: str, data: Any) -> tuple[Any, ...]:
        """Components in an order."""
        found: list[Any] = []
        problems: list[Problem] = []
        ordered = isinstance(data, list | tuple)
        for place, one in enumerate(listed(data)):
            try:
                found.append(self.component(Slot(kind), one, {}))
            except FaultyConfigError as faults:
                problems += (faults.under(place) if ordered else faults).problems
        if problems:
            raise FaultyConfigError(problems)
        return tuple(found)

    def _value(self, field: "attrs.Attribute[Any]", data: Any) -> Any:
        slot = slot_of(field)
        if is_secret(field):
            return _storage_options(data)
        if slot is None:
            return read(field.type, data, self.config)
        if slot.table:
            return self.table(slot.kind, data)
        if slot.several:
            return self.several(slot.kind, data)
        return self.component(slot, data, default_of(field.default))

    def _meant(self, key: str, fields: Mapping[str, "attrs.Attribute[Any]"], data: Mapping[str, Any]) -> str:
        """The key of this table that an unknown one may mean, or the one of a table within it."""
        for name, field in fields.items():
            slot = slot_of(field)
            if slot is None or slot.table:
                inner = field.type if isinstance(field.type, type) and attrs.has(field.type) else None
            else:
                if key in self.registry.names(slot.kind):
                    return f", did you mean {name} = '{key}'?"
                kind = {**default_of(field.default), **default_of(data.get(name))}.get("type")
                known = isinstance(kind, str) and kind in self.registry.names(slot.kind)
                inner = self.registry.config_class(slot.kind, str(kind)) if known else None
            if inner is not None and any((one.alias or one.name) == key for one in attrs.fields(inner)):
                return f", did you mean '{name}.{key}'?"
        return did_you_mean(key, fields)

    def _missing(self, field: "attrs.Attribute[Any]") -> str:
        slot = slot_of(field)
        if slot is None:
            return "missing, it has no default"
        return (
            f"missing, it takes {f'at least one {slot.kind}' if slot.table else article(slot.kind)}"
            + known_words(self.registry.names(slot.kind))
        )


def _storage_options(data: Any) -> Any:
    if not isinstance(data, Mapping):
        raise _problem("expected a table of storage options")  # which is not shown: it may be a secret
    register_secrets(data)
    return data


def _problem(message: str, *path: str) -> FaultyConfigError:
    return FaultyConfigError([Problem(path, message)])
