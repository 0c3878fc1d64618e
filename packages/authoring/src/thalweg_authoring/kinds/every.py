"""What every component keeps, whatever its kind."""

import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs

from thalweg.config import FaultyConfigError, component, dump, dump_component, structure, to_toml
from thalweg.config.components import protocol_of
from thalweg.plugins import KINDS, files, registry
from thalweg_authoring import process
from thalweg_authoring.networks import closing, made
from thalweg_authoring.rules import does_not_apply, require, require_raises, rule, rules_of
from thalweg_authoring.subject import Subject

HEAVY = ("torch", "numpy", "scipy", "sklearn", "PIL", "lightning_fabric")


@rule(*KINDS)
def its_plugin_module_is_light(subject: Subject) -> None:
    """Importing the plugin module imports neither torch nor anything else that takes long."""
    name = registry().origin(subject.kind, subject.name).plugin
    plugin = next((one.origin for one in registry().plugins if one.origin.plugin == name), None)
    if plugin is None or any(plugin.distribution == file.name for file in files()):
        does_not_apply("it is no installed plugin, so no other command waits for it")
    module = plugin.module
    failure, heavy = _imported_by(module)
    require(not failure, f"importing {module} by itself fails: {failure}")
    require(
        not heavy,
        f"importing {module} imports {', '.join(heavy)}, which every 'thalweg --help' waits for; register "
        "components as 'module:Class' and import inside functions",
    )


@rule(*KINDS)
def its_config_is_frozen_and_hashable(subject: Subject) -> None:
    """The config is an immutable value: nothing can be set, and equal ones hash alike."""
    config = subject.defaults()
    for field in (*(one.name for one in attrs.fields(type(config))), "something_else"):
        try:
            setattr(config, field, None)
        except (attrs.exceptions.FrozenInstanceError, AttributeError):
            continue
        require(False, f"{type(config).__name__}.{field} can be set; decorate the class with attrs.frozen")
    try:
        same = hash(config) == hash(subject.defaults())
    except TypeError as error:
        require(
            False, f"the config cannot be hashed ({error}); give fields that hold lists a converter to tuple"
        )
    require(same, "two equal configs have different hashes; leave equality and hash to attrs.frozen")


@rule(*KINDS)
def its_config_survives_being_written_and_read(subject: Subject) -> None:
    """A config written as JSON or TOML and read again is equal."""
    for config in (subject.defaults(), subject.config()):
        cls = type(config).__name__
        require(
            structure(type(config), dump(config)) == config, f"{cls} differs once it is dumped and read again"
        )
        written = dump_component(subject.kind, config)
        require(
            None not in list(_leaves(written)), f"{cls} is written with a null, which TOML lacks; use 'none'"
        )
        for how, read in (
            ("JSON", json.loads(json.dumps(written))),
            ("TOML", tomllib.loads(to_toml(written))),
        ):
            require(
                component(subject.kind, read) == config,
                f"{cls} differs once it is written as {how} and read again; make converters take their own "
                "results",
            )
        name = registry().name_of(subject.kind, type(config))
        require(
            name == subject.name,
            f"{cls} is registered under '{name}' too; register each class under one name",
        )


@rule(*KINDS)
def an_unknown_key_is_refused(subject: Subject) -> None:
    """A misspelt key is an error, never silently ignored."""
    message = "an unknown key is taken; let attrs make __init__ from the fields alone"
    with require_raises(
        FaultyConfigError, message, "no_such_key: unknown key", "an unknown key is reported as"
    ):
        component(subject.kind, subject.small(no_such_key=1))


@rule(*KINDS)
def its_docstring_says_what_every_field_is(subject: Subject) -> None:
    """The config's docstring says in its first line what it is, and under ``Attributes:`` every field."""
    cls = subject.config_class
    doc = inspect.cleandoc(cls.__doc__ or "")
    require(doc.partition("\n")[0], f"{cls.__name__} has no docstring; say in its first line what it is")
    fields = subject.fields
    described = set(re.findall(r"^    (\w+): \S", doc.partition("Attributes:\n")[2], re.MULTILINE))
    require(
        described >= fields,
        f"the docstring of {cls.__name__} does not describe {', '.join(sorted(fields - described))} under "
        "'Attributes:'",
    )
    require(
        described <= fields,
        f"the docstring of {cls.__name__} describes {', '.join(sorted(described - fields))}, which is no "
        "field",
    )


@rule(*KINDS)
def its_defaults_build_or_say_what_they_need(subject: Subject) -> None:
    """Whatever has no default is the only thing that must be given."""
    first, second = subject.defaults(), subject.defaults()
    require(type(first) is subject.config_class, "its config is of another class than is registered")
    require(dump(first) == dump(second), "two configs of defaults differ; let no default be drawn")


@rule(*KINDS)
def it_keeps_the_protocol_of_its_kind(subject: Subject) -> None:
    """What is built has the attributes and methods of its kind."""
    protocol = protocol_of(subject.kind)
    with closing(made(subject)) as one:
        missing = ", ".join(name for name in _members(protocol) if not hasattr(one, name))
        where = f"{protocol.__module__}.{protocol.__name__}"
        require(isinstance(one, protocol), f"{type(one).__name__} has no {missing}; see {where}")


@rule(*KINDS)
def building_leaves_its_config_alone(subject: Subject) -> None:
    """Building takes nothing from the config away."""
    config = subject.config()
    written = dump(config)
    with closing(subject.build(config=config)):
        pass
    require(dump(config) == written, "build changes what its config holds; copy what you change")


@rule(*KINDS)
def the_process_is_left_alone(subject: Subject) -> None:
    """Building and using it changes no random generator, dtype, grad mode, thread count or flag."""
    for _ in range(2):  # The first time libraries are imported, and some draw while they are.
        before = process.state()
        try:
            with closing(made(subject)):
                pass
            _use(subject)
        finally:
            changed = process.changed(before)
            process.restore(before)
        if not changed:
            break
    require(
        not changed,
        f"building or calling it changes {' and '.join(changed)} for the whole process; draw from a "
        "torch.Generator of your own, and set nothing that outlives a call",
    )


def _use(subject: Subject) -> None:
    own = [
        one
        for one in rules_of(subject.kind)
        if inspect.getmodule(one.function) is not inspect.getmodule(_use)
    ]
    if own:
        try:
            own[0].function(subject)
        except Exception:
            return  # That rule reports it.


def _members(protocol: type) -> list[str]:
    names = [*getattr(protocol, "__annotations__", {}), *vars(protocol)]
    return sorted({name for name in names if not name.startswith("_") or name in ("__call__", "__len__")})


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


@cache
def _imported_by(module: str) -> tuple[str, tuple[str, ...]]:
    """What goes wrong when it is imported by itself, and which heavy packages are imported with it."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import {module}; print(*[name for name in {HEAVY!r} if "
        "name in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    failure = (done.stderr.strip()[-300:] or "it ended the process") if done.returncode else ""
    return failure, tuple(done.stdout.split())
