"""Plugins of other versions of the contract: one of the previous works and is told what to change."""

import warnings
from pathlib import Path

import pytest

import thalweg.plugins
from plugin_makers import plugin, site_at
from thalweg import hookspecs
from thalweg.cli.main import main
from thalweg.plugins import load
from thalweg.plugins.deprecation import DEPRECATED
from thalweg.training.loop import Trainer
from tiny_runs import tiny

# As an author wrote it for version 1 of the contract, and never touched again.
OF_VERSION_1 = """
import thalweg

api_version = 1


@thalweg.hookimpl
def thalweg_components(register):
    register("sampler", "lion", "zoo_config:Config")


@thalweg.hookimpl
def thalweg_run_started(run_dir, config):
    (run_dir / "note.txt").write_text(f"{config.name} begins\\n")


@thalweg.hookimpl
def thalweg_step_finished(step, numbers):
    assert numbers["loss"] > 0


@thalweg.hookimpl
def thalweg_run_finished(run_dir, step):
    (run_dir / "note.txt").write_text(f"finished at step {step}\\n")
"""
NEW_SPELLING = """
@thalweg.hookimpl
def thalweg_run_ended(run_dir, step, completed):
    (run_dir / "note.txt").write_text(f"ended at step {step}, {completed}\\n")
"""
WARNING = (
    r"^plugin 'zoo_plugin' of zoo-plugin 1\.0 implements the deprecated hook 'thalweg_run_finished'; "
    r"implement 'thalweg_run_ended' instead, version 3 of the plugin interface will not call the old one$"
)


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    with site_at(tmp_path / "site") as made:
        thalweg.plugins.block()
        yield made
    thalweg.plugins.block()


def test_a_plugin_of_the_previous_contract_works_and_is_warned(site, tmp_path):
    site.install("zoo-plugin", OF_VERSION_1, zoo_config="")
    with pytest.warns(DeprecationWarning, match=WARNING) as caught:
        registry = thalweg.plugins.registry()
    assert [Path(one.filename).name for one in caught] == ["zoo_plugin.py"]
    assert registry.faults == []
    assert "lion" in registry.names("sampler")
    Trainer(tiny(steps=2), tmp_path / "run", accelerator="cpu", quiet=True).train()
    assert (tmp_path / "run" / "note.txt").read_text() == "finished at step 2\n"


def test_a_plugin_of_both_contracts_is_called_once_and_not_warned(site, tmp_path):
    site.install("zoo-plugin", OF_VERSION_1 + NEW_SPELLING, zoo_config="")
    registry = thalweg.plugins.registry()
    assert registry.notices == ()
    registry.hook.thalweg_run_ended(run_dir=tmp_path, step=7, completed=True)
    assert (tmp_path / "note.txt").read_text() == "ended at step 7, True\n"


def test_where_warnings_are_errors_the_plugin_is_refused_and_the_rest_loads(site):
    site.install("zoo-plugin", OF_VERSION_1, zoo_config="")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        registry = load()
    (fault,) = registry.faults
    assert "is refused: DeprecationWarning: plugin 'zoo_plugin' of zoo-plugin 1.0" in fault.reason
    assert registry.names("refiner") == ["plain", "vera"]


def test_the_list_of_plugins_shows_what_is_deprecated(site, capsys):
    site.install("zoo-plugin", OF_VERSION_1, zoo_config="")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as Python does by default
        assert main(["plugins", "list"]) == 0
    assert "deprecated\n  plugin 'zoo_plugin' of zoo-plugin 1.0 implements" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (hookspecs.API_VERSION + 1, "upgrade thalweg-core"),
        (hookspecs.OLDEST_API_VERSION - 1, "upgrade zoo-plugin"),
    ],
)
def test_contracts_that_are_not_spoken_are_named(site, version, reason):
    site.install("zoo-plugin", plugin(also=f"api_version = {version}"))
    (fault,) = load().faults
    assert f"was written for version {version} of the plugin interface" in fault.reason
    assert fault.reason.endswith(f"{reason} (module zoo_plugin)")


def test_every_deprecated_hook_has_a_replacement_that_offers_its_arguments():
    for old, deprecation in DEPRECATED.items():
        assert deprecation.replacement not in DEPRECATED
        before, now = (
            getattr(hookspecs, name).__code__.co_varnames for name in (old, deprecation.replacement)
        )
        assert set(before) <= set(now)
        assert hookspecs.OLDEST_API_VERSION < deprecation.since <= hookspecs.API_VERSION < deprecation.until
