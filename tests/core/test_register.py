"""``thalweg.register``: parts from scripts and notebooks, before and after the registry is loaded."""

import types

import attrs
import pytest

import thalweg
import thalweg.plugins
from plugin_makers import plugin, site_at
from thalweg import PluginError
from thalweg.config import component, dump_component
from thalweg.plugins import process
from thalweg.plugins.process import for_one_command

SOURCE = """
import attrs
import thalweg

@thalweg.register("sampler", "{name}")
@attrs.frozen
class Mine:
    '''A sampler of this cell.'''

    steps: int = {steps}

    def build(self, facts):
        return lambda velocity, x_1, increments=None, interpolant=None: x_1
"""


@pytest.fixture(autouse=True)
def own_registry():
    with for_one_command():
        yield
    thalweg.plugins.block()


def cell(name="mine", steps=3, module="__main__"):
    """Run a cell of a notebook."""
    namespace = {"__name__": module}
    exec(SOURCE.format(name=name, steps=steps), namespace)
    return types.SimpleNamespace(**namespace)


@pytest.mark.parametrize("loaded", [True, False], ids=["after", "before"])
def test_a_class_is_there_at_once_and_recorded_by_its_name(loaded):
    process._Process.registry = None
    if loaded:
        thalweg.registry()
    mine = cell().Mine
    made = component("sampler", {"type": "mine", "steps": 5})
    assert made == mine(steps=5)
    assert dump_component("sampler", made) == {"type": "mine", "steps": 5}
    assert str(thalweg.registry().origin("sampler", "mine")) == "__main__"


def test_it_is_there_still_when_the_registry_is_loaded_anew():
    cell()
    thalweg.plugins.block("refiners")
    assert "mine" in thalweg.registry().names("sampler")
    assert "vera" not in thalweg.registry().names("refiner")


def test_the_call_and_the_decorator_give_the_class_back():
    @attrs.frozen
    class Config:
        def build(self, facts):
            return None

    assert thalweg.register("refiner", "first", Config) is Config
    assert thalweg.register("refiner", "second")(Config) is Config
    thalweg.register("objective", "third", f"{__name__}:Lazy")
    assert thalweg.registry().config_class("refiner", "second") is Config


def test_a_cell_that_is_run_again_replaces_its_class():
    cell(steps=3)
    assert component("sampler", "mine").steps == 3
    cell(steps=7)
    assert component("sampler", "mine").steps == 7


def test_another_module_cannot_take_the_name():
    cell()
    with pytest.raises(PluginError, match="sampler 'mine', which __main__ has registered before and keeps"):
        cell(module="other")


def test_a_name_of_an_installed_plugin_is_refused_by_its_owner(tmp_path):
    with site_at(tmp_path) as site:
        site.install("zoo-plugin", plugin("'sampler', 'mine', 'm:C'"))
        thalweg.plugins.block()
        with pytest.raises(PluginError, match=r"'mine', which zoo-plugin 1\.0 has registered before"):
            cell()
    with pytest.raises(PluginError, match=r"sampler 'euler', which thalweg-samplers \S+ has registered"):
        cell("euler")


@attrs.define
class Thawed:
    def build(self, facts):
        return None


class Plain:
    def build(self, facts):
        return None


@attrs.frozen
class Bare:
    size: int = 1


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        (("samplr", "mine", Thawed), "'samplr', which is no kind of component, did you mean 'sampler'"),
        (("sampler", "my name", Thawed), "registers a sampler under 'my name', which is no name"),
        (("sampler", "none", Thawed), "registers a sampler under 'none', which is no name"),
        (("sampler", "mine", 3), "with 3, which is neither a class nor 'module:Class'"),
        (("sampler", "mine", "nonsense"), "with 'nonsense', which is neither"),
        (("sampler", "mine", Thawed), r"test_register:Thawed is not frozen; decorate it"),
        (("sampler", "mine", Plain), r"is no attrs class; put @attrs.frozen on it, beneath"),
        (("sampler", "mine", Bare), r"test_register:Bare has no method build"),
    ],
)
def test_what_entry_points_may_not_register_neither_may_python(registration, message):
    with pytest.raises(PluginError, match=message):
        thalweg.register(*registration)
    assert "mine" not in thalweg.registry().names("sampler")


def test_a_plugin_that_registers_as_it_is_imported_is_heard(tmp_path):
    with site_at(tmp_path) as site:
        site.install(
            "zoo-plugin",
            plugin("'sampler', 'lion', 'm:C'", also="import zoo_more"),
            zoo_more=SOURCE.format(name="tiger", steps=1),
        )
        thalweg.plugins.block()
        assert {"lion", "tiger"} <= {*thalweg.registry().names("sampler")}
        assert thalweg.registry().faults == []
