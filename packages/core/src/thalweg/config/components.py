"""The one place where names become configs: what stands in a slot is read as a component.

A name, a table, a config or a part that is built stands in a slot: a field of a config, or an argument.
Everything that is wrong with a config is collected on the way.
"""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

import attrs

from thalweg.config.values import (
    SLOT,
    FaultyConfigError,
    Problem,
    Slot,
    collect,
    default_of,
    fault,
    instance_of,
    is_secret,
    key_of,
    listed,
    read,
    shown,
    slot_of,
)
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.objects import is_object, lacking, made_in_python
from thalweg.plugins import build_component, is_config, registry
from thalweg.plugins.catalogue import FACTLESS, UNINFORMED
from thalweg.storage.redaction import register_secrets
from thalweg.suggestions import article, did_you_mean, known_words

T = TypeVar("T")

_PROTOCOLS = {
    "interpolant": ("thalweg.interpolant", "Schedule"),
    "schedule": ("thalweg.protocols", "RateSchedule"),
}
"""Those that are not called as their kind is."""

_PLAIN = (str, int, float, complex, bytes, list, tuple, set, frozenset, type(None))


def component_field(kind: str, default: Any = attrs.NOTHING, *, optional: bool = False) -> Any:
    """A field that holds what :func:`component` returns, and takes what that takes.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        default: a bare name, a mapping with ``type``, None, or nothing for a field that must be given.
        optional: None is allowed.
    """
    return _slot_field(Slot(kind, optional), default)


def component_table(kind: str, *, required: bool = False) -> Any:
    """A field that holds any number of components by name, at least one if required.

    The name is the component's type unless it states another; ``none`` takes a name out again.
    """
    return _slot_field(
        Slot(kind, table=True),
        attrs.NOTHING if required else attrs.Factory(dict),
        validator=attrs.validators.min_len(1) if required else None,
    )


def component_list(kind: str) -> Any:
    """A field that holds any number of components in an order, none by default; a tuple of configs.

    It takes one component as :func:`component_field` does, or a list of such, or None, written ``none``.
    """
    return _slot_field(Slot(kind, several=True), ())


def structure(cls: type[T], data: Mapping[str, Any]) -> T:
    """Read a mapping as a config class.

    Args:
        cls: a frozen attrs class.
        data: keys and plain values, as TOML or JSON have them; config instances pass as they are.

    Raises:
        FaultyConfigError: with all problems at once.
        PluginError: a component that is requested cannot be imported.
    """
    return _config(cls, data)  # type: ignore[no-any-return]


def component(
    kind: str,
    data: Any,
    *,
    optional: bool = False,
    default: str | Mapping[str, Any] | None = None,
    slot: str = "",
) -> Any:
    """The config of a component, or the component if it is built.

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`.
        data: a bare name; a mapping with ``type``; a config, registered or not, which is returned as it is
            once its values are of the types that its class states; a part that is built, which is returned
            as it is if it fulfils the protocol of its kind; or None or ``"none"`` if ``optional``.
        optional: return None for None and ``"none"``.
        default: the component that a mapping without ``type`` changes: its type, or a table.
        slot: where users write it, for messages; the kind by default.

    Raises:
        FaultyConfigError: with all problems at once.
        PluginError: the component cannot be imported.
    """
    try:
        return _slot(Slot(kind, optional), data, default_of(default))
    except FaultyConfigError as faults:
        raise faults.under(slot or kind) from None


def components(kind: str, data: Any) -> dict[str, Any]:
    """A table of components by name, as :func:`thalweg.config.component_table` holds it."""
    if not isinstance(data, Mapping):
        raise fault(f"expected a table of {kind}s by name, got {shown(data)}")
    slot = Slot(kind, optional=True)
    found = collect((name, partial(_component, slot, one, {"type": name})) for name, one in data.items())
    return {name: one for name, one in found.items() if one is not None}


def build(kind: str, part: Any, facts: Facts | None = None) -> Any:
    """Build a component as a recipe's slot does::

        data = thalweg.build("dataset", "two_moons")
        velocity = thalweg.build("objective", {"type": "velocity", "beta": 0.5}, network.facts)

    Args:
        kind: one of :data:`thalweg.plugins.KINDS`, such as ``objective``.
        part: its name, ``{"type": name, **fields}``, a config, or one that is built, which is returned as
            it is.
        facts: of the data and the network, such as ``network.facts``; none for data sets, sources,
            autoencoders, text encoders, importers and exporters, which state them or do without.

    Raises:
        ConfigError: there is no such component, a field is wrong, or facts are missing.
        PluginError: there is no such kind, or the component's plugin is broken.
    """
    if kind == "logger":
        raise ConfigError("a logger is built by the run that it follows; state it in [loggers]")
    config = component(kind, part)
    if kind in UNINFORMED:
        return build_component(config)
    if kind in FACTLESS:
        return build_component(config, None)
    if not isinstance(facts, Facts):
        raise ConfigError(
            f"to build the {kind.replace('_', ' ')} facts are needed; give them, such as network.facts"
        )
    return build_component(config, facts)


def check_made(config: Any) -> None:
    """A config that Python code has made, of a component or of a run, holds what its class states.

    Raises:
        FaultyConfigError: with all values that are of other types.
    """
    attrs.resolve_types(type(config))  # its class has looked at no types
    fields = [one for one in attrs.fields(type(config)) if one.init and not is_secret(one)]
    collect((key_of(one), partial(_check_field, one, getattr(config, one.name))) for one in fields)


def may_be_built(value: Any) -> bool:
    """Whether a value is an object of its own kind, and no plain value that was put there by mistake."""
    return not isinstance(value, _PLAIN)


def fault_of(kind: str, part: Any) -> str:
    """What keeps an object from being a part of a kind; empty if nothing does."""
    missing = lacking(part, protocol_of(kind))
    if not missing:
        return ""
    what, owner = type(part).__qualname__, type(part).__module__
    lacks = " and ".join(["cannot be called" if one == "__call__" else f"has no '{one}'" for one in missing])
    return (
        f"expected {article(kind)}: its name, a table, its config, or one that is built; {what} of {owner} "
        f"has no build and {lacks}"
    )


def protocol_of(kind: str) -> Any:
    """The runtime protocol that what is built of a kind fulfils."""
    usual = ("thalweg.protocols", "".join(map(str.capitalize, kind.split("_"))))
    module, name = _PROTOCOLS.get(kind, usual)
    return getattr(importlib.import_module(module), name)  # torch comes in here


def _slot_field(slot: Slot, default: Any, **more: Any) -> Any:
    converter = partial(_convert, slot, default_of(default))
    return attrs.field(default=default, converter=converter, metadata={SLOT: slot}, **more)


def _convert(slot: Slot, default: Mapping[str, Any], data: Any) -> Any:
    try:
        return _slot(slot, data, default)
    except FaultyConfigError as faults:
        raise (faults if slot.table or slot.several else faults.under(slot.kind)) from None


def _config(cls: type[Any], data: Any) -> Any:
    """An attrs class."""
    if isinstance(data, cls):
        return data
    if not isinstance(data, Mapping):
        raise fault(f"expected a table, got {shown(data)}")
    attrs.resolve_types(cls)
    fields = {key_of(field): field for field in attrs.fields(cls) if field.init}
    problems = [
        Problem((str(key),), f"unknown key{_meant(str(key), fields, data) or known_words(fields)}")
        for key in data
        if key not in fields
    ]
    values: dict[str, Any] = {}
    for key, field in fields.items():
        try:
            if key in data:
                values[key] = _value(field, data[key])
            elif field.default is attrs.NOTHING:
                problems.append(Problem((key,), _missing(field)))
            elif slot_of(field) and default_of(field.default):
                values[key] = _value(field, field.default)
        except FaultyConfigError as faults:
            problems += faults.under(key).problems
    return instance_of(cls, values, problems)


def _component(slot: Slot, data: Any, default: Mapping[str, Any]) -> Any:
    """A component by bare name, by table or as it is."""
    if slot.optional and (data is None or (isinstance(data, str) and data == "none")):
        return None
    if isinstance(data, type):
        raise fault(f"expected {article(slot.kind)}, got the class {data.__name__}; make one of it")
    if isinstance(data, str):
        data = {"type": data}
    if not isinstance(data, Mapping) and may_be_built(data):
        return _made(slot, data)
    if not isinstance(data, Mapping):
        known = known_words(registry().names(slot.kind))
        raise fault(f"expected the name of {article(slot.kind)} or a table, got {shown(data)}{known}")
    if is_object(data):
        raise fault(made_in_python(slot.kind.replace("_", " "), data))
    options = dict(data) if "type" in data else {**default, **data}
    name = options.pop("type", None)
    names = registry().names(slot.kind)
    if name is None:
        raise fault(f"missing, it names the {slot.kind}{known_words(names)}", "type")
    if not isinstance(name, str):
        raise fault(f"expected a string, got {shown(name)}", "type")
    if name not in names:
        raise fault(registry().unknown(slot.kind, name), "type")
    return _config(registry().config_class(slot.kind, name), options)


def _made(slot: Slot, made: Any) -> Any:
    """A config or a built part that Python code has made, if it is one of this kind."""
    if not is_config(made):
        wrong = fault_of(slot.kind, made)
        if wrong:
            raise fault(wrong)
        return made
    kinds = {one.kind for one in registry() if registry().is_config_of(one, type(made))}
    if kinds and slot.kind not in kinds:
        what, name = " and ".join(map(article, sorted(kinds))), type(made).__name__
        raise fault(f"expected the config of {article(slot.kind)}, and {name} is {what}")
    if attrs.has(type(made)):
        check_made(made)
    return made


def _check_field(field: "attrs.Attribute[Any]", value: Any) -> None:
    _value(field, value)
    if slot_of(field) is None and attrs.has(type(value)):
        check_made(value)


def _slot(slot: Slot, data: Any, default: Mapping[str, Any]) -> Any:
    """What stands in a slot."""
    if slot.table:
        return components(slot.kind, data)
    if not slot.several:
        return _component(slot, data, default)
    one = Slot(slot.kind)
    if not isinstance(data, list | tuple):
        return tuple(_component(one, part, {}) for part in listed(data))
    return tuple(collect((i, partial(_component, one, part, {})) for i, part in enumerate(data)).values())


def _value(field: "attrs.Attribute[Any]", data: Any) -> Any:
    slot = slot_of(field)
    if is_secret(field):
        if not isinstance(data, Mapping):
            raise fault("expected a table of storage options")  # which is not shown: it may be a secret
        register_secrets(data)
        return data
    if slot is None:
        return read(field.type, data, _config)
    return _slot(slot, data, default_of(field.default))


def _meant(key: str, fields: Mapping[str, "attrs.Attribute[Any]"], data: Mapping[str, Any]) -> str:
    """The key of this table that an unknown one may mean, or the one of a table within it."""
    for name, field in fields.items():
        slot = slot_of(field)
        if slot is None or slot.table:
            inner = field.type if isinstance(field.type, type) and attrs.has(field.type) else None
        else:
            if key in registry().names(slot.kind):
                return f", did you mean {name} = '{key}'?"
            kind = {**default_of(field.default), **default_of(data.get(name))}.get("type")
            known = isinstance(kind, str) and kind in registry().names(slot.kind)
            inner = registry().config_class(slot.kind, str(kind)) if known else None
        if inner is not None and any(key_of(one) == key for one in attrs.fields(inner)):
            return f", did you mean '{name}.{key}'?"
    return did_you_mean(key, fields)


def _missing(field: "attrs.Attribute[Any]") -> str:
    slot = slot_of(field)
    if slot is None:
        return "missing, it has no default"
    return (
        f"missing, it takes {f'at least one {slot.kind}' if slot.table else article(slot.kind)}"
        + known_words(registry().names(slot.kind))
    )
