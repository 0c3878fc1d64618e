import importlib
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import thalweg.plugins
from plugin_makers import CONFIG, plugin, site_at
from thalweg.errors import PluginError
from thalweg.hookspecs import hookimpl
from thalweg.plugins import KINDS, load


@pytest.fixture
def site(tmp_path):
    with site_at(tmp_path) as made:
        yield made


@pytest.fixture
def anew():
    thalweg.plugins.block()
    yield
    thalweg.plugins.block()


def test_unknown_component_suggests():
    known = r"unknown refiner 'verra', did you mean 'vera'\? \(known: film, gated, plain, vera\)"
    with pytest.raises(PluginError, match=known):
        load().config_class("refiner", "verra")


def test_unknown_kind_suggests():
    with pytest.raises(PluginError, match=r"unknown kind 'refinr', did you mean 'refiner'\?"):
        load().names("refinr")


def test_unknown_component_mentions_plugins_that_did_not_load(site):
    site.install("zoo-plugin", "import nothing_of_that_name")
    with pytest.raises(
        PluginError, match=r"unknown sampler 'lion'.*'zoo_plugin' of zoo-plugin 1.0 cannot be imported"
    ):
        load().config_class("sampler", "lion")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("import nothing_of_that_name", "importing zoo_config:Config failed: ModuleNotFoundError"),
        ("x = 1", "AttributeError"),
        ("raise SystemExit", "SystemExit"),
        ("class Config:\n    def build(self, facts): pass", "is no attrs class"),
        ("Config = 3", "is no attrs class"),
        ("import attrs\n@attrs.define\nclass Config:\n    def build(self, facts): pass", "is not frozen"),
        ("import attrs\n@attrs.frozen\nclass Config: pass", "has no method build"),
        (
            "import attrs\n@attrs.frozen\nclass Config:\n    type: str\n    def build(self, facts): pass",
            "has a field 'type'",
        ),
    ],
)
def test_config_that_breaks_the_contract_is_named(site, config, reason):
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'zoo_config:Config'"), zoo_config=config)
    registry = load()
    assert registry.faults == []  # nothing is imported before it is requested
    with pytest.raises(PluginError, match=r"sampler 'lion' of zoo-plugin 1\.0 cannot be used") as caught:
        registry.config_class("sampler", "lion")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_class_may_be_registered_itself_and_nested(site):
    nested = "class Outer:\n" + "\n".join(f"    {line}" for line in CONFIG.strip().splitlines())
    also = f"{CONFIG}\n"
    site.install(
        "zoo-plugin",
        plugin("'sampler', 'lion', Config", "'sampler', 'tiger', 'zoo_config:Outer.Config'", also=also),
        zoo_config=nested,
    )
    registry = load()
    for name in ("lion", "tiger"):
        config = registry.config_class("sampler", name)
        assert config().build(None) == 3
        assert registry.name_of("sampler", config) == name


def test_name_of_finds_a_class_that_is_registered_by_another_path(site):
    site.install(
        "zoo-plugin",
        plugin("'metric', 'lion', 'zoo_front:Config'"),
        zoo_front="from zoo_config import Config",
        zoo_config=CONFIG,
    )
    registry = load(allowed={"zoo_plugin"})
    assert registry.name_of("metric", registry.config_class("metric", "lion")) == "lion"


def test_name_of_a_class_that_nobody_registered():
    @attrs.frozen
    class Config:
        pass

    assert load(allowed={"core"}).name_of("sampler", Config) is None


def test_iteration_goes_by_kind_then_name():
    keys = [(KINDS.index(one.kind), one.name) for one in load()]
    assert keys == sorted(keys)
    assert keys


OBSERVER = """
import thalweg
seen = []

@thalweg.hookimpl
def thalweg_step_finished(step, numbers):
    seen.append(step)
    {then}
"""


def test_observers_are_called_with_what_they_ask_for(site):
    site.install(
        "zoo-plugin",
        OBSERVER.format(then="") + "@thalweg.hookimpl\ndef thalweg_run_ended(step): seen.append(-step)\n",
    )
    registry = load()
    registry.hook.thalweg_step_finished(run_dir=None, step=1, numbers={})
    registry.hook.thalweg_run_ended(run_dir=None, step=2, completed=True)
    registry.hook.thalweg_run_started(run_dir=None, config=None)
    assert sys.modules["zoo_plugin"].seen == [1, -2]


def test_observer_that_raises_is_reported_once_and_left_out(site, caplog):
    site.install("aa-broken", OBSERVER.format(then="1 / 0"))
    site.install("zoo-plugin", OBSERVER.format(then=""))
    registry = load()
    for step in (1, 2):
        registry.hook.thalweg_step_finished(run_dir=None, step=step, numbers={})
    assert sys.modules["aa_broken"].seen == [1]
    assert sys.modules["zoo_plugin"].seen == [1, 2]
    (fault,) = registry.faults
    assert fault.distribution == "aa-broken"
    assert "failed in thalweg_step_finished" in fault.reason
    assert caplog.text.count("aa-broken") == 1


def test_hook_of_no_plugin_protocol_is_an_attribute_error():
    with pytest.raises(AttributeError):
        _ = load(allowed={"core"}).hook.__wrapped__


def test_registry_of_the_process_is_loaded_once(anew):
    assert thalweg.plugins.registry() is thalweg.plugins.registry()


def test_block_loads_anew(anew):
    assert "vera" in thalweg.plugins.registry().names("refiner")
    thalweg.plugins.block("refiners")
    assert thalweg.plugins.registry().names("refiner") == []
    thalweg.plugins.block()
    assert "vera" in thalweg.plugins.registry().names("refiner")


@pytest.mark.parametrize(
    ("value", "samplers", "refiners"),
    [("samplers", True, False), (" samplers , refiners ", True, True), ("", True, True)],
)
def test_allow_list_of_the_environment(anew, monkeypatch, value, samplers, refiners):
    monkeypatch.setenv("THALWEG_PLUGINS", value)
    known = thalweg.plugins.registry()
    assert bool(known.names("sampler")) is samplers
    assert bool(known.names("refiner")) is refiners


def test_plugin_that_asks_for_the_registry_while_it_is_loaded(site, anew):
    site.install("zoo-plugin", plugin("thalweg.registry(), 'x', 'm:C'"))
    (fault,) = thalweg.plugins.registry().faults
    assert "while plugins are still being loaded" in fault.reason


def test_the_marker_is_ours():
    assert hookimpl.project_name == "thalweg"


@pytest.mark.parametrize(
    "what",
    [
        "import thalweg",
        "import thalweg; list(thalweg.registry())",
        "import thalweg.config; thalweg.load_config; thalweg.RunConfig; thalweg.Facts; thalweg.__version__",
        "import thalweg_backbones, thalweg_eval, thalweg_refiners, thalweg_samplers; dir(thalweg_backbones)",
        "import thalweg.cli.main",
        "from thalweg.cli.main import main; main(['--help'])",
        "from thalweg.cli.main import main; main(['plugins', 'list'])",
    ],
)
def test_torch_is_imported_only_where_it_is_needed(what):
    check = (
        "heavy = {'torch', 'numpy', 'lightning_fabric', 'rich'} & set(sys.modules)\nassert not heavy, heavy"
    )
    code = f"import sys\n{what}\n{check}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_lazy_names_are_all_there():
    for name in thalweg.__all__:
        if name not in {"Trainer", "sample", "load", "compose", "FlowNetwork"}:
            assert getattr(thalweg, name) is not None
    assert set(thalweg.__all__) <= set(dir(thalweg))
    with pytest.raises(AttributeError, match="no attribute 'componse'"):
        _ = thalweg.componse


SIBLINGS = ["thalweg_backbones", "thalweg_eval", "thalweg_refiners", "thalweg_samplers"]


@pytest.mark.parametrize("package", SIBLINGS)
def test_what_people_type_is_found_in_the_siblings(package):
    door = importlib.import_module(package)
    assert all(getattr(door, name).__name__ == name for name in door.__all__)
    assert set(door.__all__) <= set(dir(door))
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'DiTs'"):
        _ = door.DiTs


@pytest.mark.parametrize("package", ["thalweg", *SIBLINGS])
def test_no_module_takes_the_place_of_a_lazy_name(package):
    door = importlib.import_module(package)
    modules = {path.stem for path in Path(door.__file__).parent.iterdir()}
    assert not modules & set(door.__all__)


def test_compose_is_the_function_even_after_its_module_was_imported():
    import thalweg.composition

    assert callable(thalweg.compose)
    assert thalweg.compose is thalweg.composition.compose
