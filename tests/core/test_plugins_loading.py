import pytest
import torch

import thalweg
from plugin_makers import CONFIG, plugin, site_at
from thalweg.facts import Facts
from thalweg.hookspecs import API_VERSION
from thalweg.plugins import load

OBJECTIVES = [
    "acceleration", "alignment", "conflict_velocity", "contrastive", "dispersive", "distillation",
    "flow_map", "latent_alignment", "layer_sync", "self_alignment", "velocity", "weak_to_strong",
]  # fmt: skip
CONTROL = "shuffled_velocity"


@pytest.fixture
def site(tmp_path):
    with site_at(tmp_path) as made:
        yield made


def faults_of(registry, name):
    return [fault for fault in registry.faults if fault.plugin == name]


def assert_rest_loads(registry):
    assert registry.names("refiner") == ["film", "gated", "plain", "vera"]


def test_built_in_components_register_as_strangers_do():
    registry = load()
    assert registry.faults == []
    distributions = [one.origin.distribution for one in registry.plugins]
    assert distributions == [
        f"thalweg-{name}" for name in ("core", "backbones", "refiners", "samplers", "eval", "authoring")
    ]
    assert registry.names("sampler") == [
        "dopri5",
        "euler",
        "euler_maruyama",
        "flow_map",
        "heun",
        "multistep",
        "stochastic_heun",
        "unipc",
    ]


def test_stranger_joins(site):
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'zoo_config:Config'"), zoo_config=CONFIG)
    registry = load()
    assert registry.faults == []
    origin = registry.origin("sampler", "lion")
    assert (origin.plugin, origin.distribution, origin.version) == ("zoo_plugin", "zoo-plugin", "1.0")
    assert origin.module == "zoo_config"
    assert registry.config_class("sampler", "lion")().build(None) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "import not_to_be_found\n",
            "cannot be imported: ModuleNotFoundError: No module named 'not_to_be_found'",
        ),
        ("this is no python", "cannot be imported: SyntaxError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("x = 1\n", "implements no hook"),
        (plugin(also="api_version = '1'"), "api_version '1', which is no integer"),
        (plugin(also=f"api_version = {API_VERSION + 1}"), "upgrade thalweg-core"),
        (
            "import thalweg\n@thalweg.hookimpl\ndef thalweg_componets(register): pass\n",
            "did you mean 'thalweg_components'?",
        ),
        ("import thalweg\n@thalweg.hookimpl\ndef thalweg_components(cli): pass\n", "cannot be registered"),
        (
            "import thalweg\n@thalweg.hookimpl(wrapper=True)\ndef thalweg_components(register):\n    yield\n",
            "cannot be wrapped",
        ),
        (
            plugin("'sampler', 'lion', 'm:C'", "1 / 0, 'a', 'b'"),
            "failed in thalweg_components: ZeroDivisionError",
        ),
    ],
)
def test_broken_plugin_is_named_and_costs_the_rest_nothing(site, text, reason):
    site.install("aa-broken", text, version="2.5")
    site.install("zoo-plugin", plugin("'sampler', 'tiger', 'm:C'"))
    registry = load()
    (fault,) = registry.faults
    assert (fault.plugin, fault.distribution, fault.version) == ("aa_broken", "aa-broken", "2.5")
    assert reason in fault.reason
    assert "\n" not in str(fault)
    assert_rest_loads(registry)
    assert "tiger" in registry.names("sampler")
    assert "lion" not in registry.names("sampler")  # nothing of a plugin that fails half-way
    assert "aa_broken" not in [one.origin.plugin for one in registry.plugins]


def test_optional_hook_of_another_version_is_no_fault(site):
    text = "import thalweg\n@thalweg.hookimpl(optionalhook=True)\ndef thalweg_of_tomorrow(x): pass\n"
    site.install("zoo-plugin", text)
    assert load().faults == []


@pytest.mark.parametrize("stranger", ["aa-first-by-alphabet", "zz-last"])
def test_clash_with_a_built_in_names_both_and_the_built_in_stays(site, stranger):
    site.install(stranger, plugin("'refiner', 'vera', 'm:C'", "'refiner', 'mine', 'm:C'"))
    registry = load()
    (fault,) = registry.faults
    assert fault.distribution == stranger
    assert "refiner 'vera'" in fault.reason
    assert "thalweg-refiners" in fault.reason
    assert registry.origin("refiner", "vera").distribution == "thalweg-refiners"
    assert registry.origin("refiner", "mine").distribution == stranger  # only the clashing one is refused


def test_clash_of_strangers_goes_by_alphabet(site):
    site.install("b-zoo", plugin("'sampler', 'lion', 'm:B'"))
    site.install("a-zoo", plugin("'sampler', 'lion', 'm:A'"))
    registry = load()
    assert registry.origin("sampler", "lion").distribution == "a-zoo"
    (fault,) = registry.faults
    assert (fault.distribution, "a-zoo 1.0" in fault.reason) == ("b-zoo", True)


def test_same_name_in_two_kinds_is_no_clash(site):
    site.install("zoo-plugin", plugin("'sampler', 'vera', 'm:C'"))
    assert load().faults == []


def test_plugin_of_a_taken_name(site):
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'm:C'"), name="core")
    registry = load()
    (fault,) = registry.faults
    assert "same name as the plugin of thalweg-core" in fault.reason
    assert registry.names("objective") == sorted([*OBJECTIVES, CONTROL])


@pytest.mark.parametrize(
    ("registration", "reason"),
    [
        ("'smapler', 'x', 'm:C'", "no kind of component, did you mean 'sampler'?"),
        ("3, 'x', 'm:C'", "no kind of component"),
        ("['sampler'], 'x', 'm:C'", "no kind of component"),
        ("'sampler', 'a b', 'm:C'", "which is no name"),
        ("'sampler', 'none', 'm:C'", "which is no name"),
        ("'sampler', None, 'm:C'", "which is no name"),
        ("'sampler', 'x', 'm.C'", "neither a class nor 'module:Class'"),
        ("'sampler', 'x', 3", "neither a class nor 'module:Class'"),
    ],
)
def test_one_bad_registration_is_refused_and_the_others_stay(site, registration, reason):
    site.install("zoo-plugin", plugin(registration, "'sampler', 'lion', 'm:C'"))
    registry = load()
    (fault,) = registry.faults
    assert reason in fault.reason
    assert "lion" in registry.names("sampler")
    assert "x" not in registry.names("sampler")


def test_blocked_plugin_is_recorded_and_not_imported(site):
    site.install("zoo-plugin", "raise AssertionError('imported')", name="zoo")
    registry = load(blocked={"zoo"})
    (fault,) = registry.faults
    assert (fault.plugin, fault.distribution, fault.deliberate) == ("zoo", "zoo-plugin", True)
    assert "no:zoo" in fault.reason


def test_allow_list_keeps_core(site):
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'm:C'"), name="zoo")
    registry = load(allowed={"zoo"})
    assert registry.names("sampler") == ["lion"]
    assert registry.names("objective") == OBJECTIVES
    siblings = {"authoring", "backbones", "eval", "refiners", "samplers"}
    assert {fault.plugin for fault in registry.faults} == siblings
    assert all(fault.deliberate for fault in registry.faults)


def test_names_that_are_not_installed_are_faults():
    registry = load(allowed={"refinrs", "samplers"}, blocked={"nobody"})
    assert not faults_of(registry, "refinrs")[0].deliberate
    assert "not installed, did you mean 'refiners'?" in str(faults_of(registry, "refinrs")[0])
    assert str(faults_of(registry, "nobody")[0]).startswith("plugin 'nobody' is blocked, but not installed")


def test_core_cannot_be_blocked():
    registry = load(blocked={"core"})
    assert registry.names("objective") == sorted([*OBJECTIVES, CONTROL])
    assert "always loads" in faults_of(registry, "core")[0].reason


def test_unreadable_entry_points_cost_the_rest_nothing(site):
    site.dist_info("broken-metadata", "[thalweg]\nno equals sign\n", "Name: broken-metadata\nVersion: 3\n\n")
    registry = load()
    assert_rest_loads(registry)
    (fault,) = registry.faults
    assert (fault.distribution, fault.version) == ("broken-metadata", "3")
    assert "entry_points.txt" in fault.reason


def test_distribution_that_is_hidden_by_another_is_left_out(site, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    site.install("zoo-plugin", plugin("'sampler', 'lion', 'm:C'"))
    with site_at(hidden) as nearer:
        nearer.install("Zoo_Plugin", plugin("'sampler', 'lion', 'm:C'"), version="9", module="other")
        registry = load()
    assert registry.faults == []
    assert registry.origin("sampler", "lion").version == "9"


def test_loading_asks_each_plugin_once(site):
    site.install("zoo-plugin", plugin("'sampler', f'lion{len(calls)}', 'm:C'", also="calls = [1]"))
    assert [name for name in load().names("sampler") if "lion" in name] == ["lion1"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (
            "nowhere.plugin",
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere'; its entry point",
        ),
        (
            "thalweg.nowhere",
            "cannot be imported: ModuleNotFoundError: No module named 'thalweg.nowhere'; its entry",
        ),
        (
            "thalweg.errors:nothing",
            "has no attribute 'nothing'; its entry point names 'thalweg.errors:nothing'",
        ),
    ],
)
def test_an_entry_point_to_nothing_is_said_with_distribution_module_and_fix(site, module, reason):
    site.dist_info(
        "aa-lost", f"[thalweg]\nlost = {module}\n", "Metadata-Version: 2.1\nName: aa-lost\nVersion: 2.5\n"
    )
    (fault,) = load().faults
    said = str(fault)
    assert said.startswith("plugin 'lost' of aa-lost 2.5 cannot be imported")
    assert reason in said
    assert "correct it under [project.entry-points.thalweg] of aa-lost and install that again" in said
    assert f"(module {module.partition(':')[0]})" in said


def test_what_a_plugin_itself_misses_is_no_fault_of_its_entry_point(site):
    site.install("aa-broken", "import not_to_be_found\n")
    (fault,) = load().faults
    assert "entry point" not in fault.reason
    assert fault.reason.endswith("(module aa_broken)")


def test_a_taken_name_and_a_newer_contract_are_said_with_module_and_fix(site):
    site.install("aa-greedy", plugin("'refiner', 'vera', 'm:C'"))
    site.install("bb-newer", plugin(also=f"api_version = {API_VERSION + 1}"))
    taken, newer = map(str, load().faults)
    assert taken == (
        "plugin 'aa_greedy' of aa-greedy 1.0 registers refiner 'vera', which thalweg-refiners 0.1.0 has"
        " registered before and keeps; choose another name in aa_greedy"
    )
    assert newer.startswith("plugin 'bb_newer' of bb-newer 1.0 was written for version")
    assert newer.endswith("upgrade thalweg-core (module bb_newer)")


BROKEN = """
import attrs, torch
from torch import nn
from thalweg.types import Refinement

@attrs.frozen
class Raises:
    def build(self, facts):
        raise RuntimeError("no luck")

@attrs.frozen
class Nothing:
    def build(self, facts):
        pass

@attrs.frozen
class Short:
    def build(self, facts):
        return Shortening()

class Shortening(nn.Module):
    readouts = ()
    def forward(self, stream, boundary):
        return Refinement(stream.tokens[:, 1:])
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "cannot be built: its build raises RuntimeError: no luck; fix Raises.build in bad_parts"),
        (
            "nothing",
            "cannot be built: its build returns None; return the component from Nothing.build in bad_parts",
        ),
        (
            "short",
            "(bad_parts) gives tokens of shape (2, 15, 32) where (2, 16, 32) is needed; fix it, and run"
            " thalweg plugins check on it",
        ),
    ],
)
def test_a_component_that_breaks_in_a_network_is_named(site, name, said):
    registrations = [
        f"'refiner', '{one.lower()}', 'bad_parts:{one}'" for one in ("Raises", "Nothing", "Short")
    ]
    site.install("bad-plugin", plugin(*registrations), bad_parts=BROKEN)
    thalweg.plugins.block()
    backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 2}

    def predict():
        network = thalweg.compose(backbone=backbone, refiner=name, branches=2, facts=Facts(shape=(4, 8, 8)))
        network(torch.zeros(2, 4, 8, 8), torch.zeros(2, 2))

    with pytest.raises(thalweg.PluginError) as caught:
        predict()
    thalweg.plugins.block()
    assert str(caught.value).startswith(f"refiner '{name}' of bad-plugin 1.0")
    assert str(caught.value).endswith(said)
