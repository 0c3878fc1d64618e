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

from thalweg.config.components import check_made as check_made
from thalweg.config.components import component as component
from thalweg.config.components import component_field as component_field
from thalweg.config.components import component_list as component_list
from thalweg.config.components import component_table as component_table
from thalweg.config.components import components as components
from thalweg.config.components import structure as structure
from thalweg.config.dumping import CONFIG as CONFIG
from thalweg.config.dumping import dump as dump
from thalweg.config.dumping import dump_component as dump_component
from thalweg.config.dumping import flat as flat
from thalweg.config.dumping import parse_recorded as parse_recorded
from thalweg.config.dumping import plain as plain
from thalweg.config.dumping import read_recorded as read_recorded
from thalweg.config.dumping import recorded_text as recorded_text
from thalweg.config.dumping import to_toml as to_toml
from thalweg.config.recipes import apply_override as apply_override
from thalweg.config.recipes import load_config as load_config
from thalweg.config.recipes import read_toml as read_toml
from thalweg.config.run import RunConfig as RunConfig
from thalweg.config.run import SamplingConfig as SamplingConfig
from thalweg.config.run import TrainingConfig as TrainingConfig
from thalweg.config.values import FaultyConfigError as FaultyConfigError
from thalweg.config.values import Problem as Problem
from thalweg.config.values import listed as listed
from thalweg.config.values import secret_field as secret_field
from thalweg.config.values import slot_of as slot_of
from thalweg.config.values import url_field as url_field
