"""Configuration: TOML and overrides, strictly read into frozen attrs classes (no torch here).

A component is written as its bare name, which stands for its defaults, or as a table with ``type``::

    refiner = "vera"

    [backbone]
    type = "dit"
    size = "B"

In Python a slot takes a config, registered or not, or a part that is built as well; where it has no name, it
is recorded as the table ``{object = "module:QualName"}``, which nothing is ever imported by.

A table without ``type`` changes options of the default component, and under ``[objectives.NAME]`` or
``[loggers.NAME]`` the type is NAME unless stated. The word ``none`` leaves an optional value or component
out, since TOML has no null. Scalars are strict: no ``"12"`` for 12, no 3.0 for 3, no ``true`` for 1; an
integer does for a number.
"""

from thalweg.config.dumping import dump, dump_component, plain, to_toml
from thalweg.config.faults import FaultyConfigError, Problem
from thalweg.config.files import apply_override, load_config, read_toml
from thalweg.config.leaves import flat
from thalweg.config.recorded import CONFIG, parse_recorded, read_recorded, recorded_text
from thalweg.config.run import RunConfig, SamplingConfig, TrainingConfig
from thalweg.config.secret import secret_field, url_field
from thalweg.config.slots import Slot, component_field, component_list, component_table, listed, slot_of
from thalweg.config.structuring import check_made, component, components, structure

__all__ = [
    "CONFIG",
    "FaultyConfigError",
    "Problem",
    "RunConfig",
    "SamplingConfig",
    "Slot",
    "TrainingConfig",
    "apply_override",
    "check_made",
    "component",
    "component_field",
    "component_list",
    "component_table",
    "components",
    "dump",
    "dump_component",
    "flat",
    "listed",
    "load_config",
    "parse_recorded",
    "plain",
    "read_recorded",
    "read_toml",
    "recorded_text",
    "secret_field",
    "slot_of",
    "structure",
    "to_toml",
    "url_field",
]
