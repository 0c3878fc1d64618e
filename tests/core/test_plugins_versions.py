"""Plugins of other versions of the contract are named, with what to do."""

import pytest

import thalweg.plugins
from plugin_makers import plugin, site_at
from thalweg import hookspecs
from thalweg.plugins import load


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    with site_at(tmp_path / "site") as made:
        thalweg.plugins.block()
        yield made
    thalweg.plugins.block()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (
            hookspecs.API_VERSION + 1,
            "was written for version 2 of the plugin interface, this Thalweg speaks version 1: "
            "upgrade thalweg-core (module zoo_plugin)",
        ),
        (0, "states api_version 0, and the first version is 1 (module zoo_plugin)"),
    ],
)
def test_contracts_that_are_not_spoken_are_named(site, version, reason):
    site.install("zoo-plugin", plugin(also=f"api_version = {version}"))
    (fault,) = load().faults
    assert fault.reason == reason


def test_one_that_states_this_version_or_none_loads(site):
    site.install("aa-plugin", plugin("'sampler', 'lion', 'm:C'"))
    site.install("zoo-plugin", plugin("'sampler', 'tiger', 'm:C'", also="api_version = 1"))
    registry = load()
    assert registry.faults == []
    assert {"lion", "tiger"} <= {*registry.names("sampler")}
