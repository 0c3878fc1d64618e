"""The plugin modules: quick to import, and honest about what they register."""

import subprocess
import sys

import pytest

from contracts.catalogue import PLUGINS, REGISTRY

MODULES = [one.origin.module for one in REGISTRY.plugins]
HEAVY = ("torch", "numpy", "sklearn", "PIL", "lightning_fabric", "tensorboard")


def test_every_built_in_plugin_is_loaded():
    assert next(one.origin.plugin for one in REGISTRY.plugins) == "core"
    assert {one.origin.plugin for one in REGISTRY.plugins} == set(PLUGINS)
    assert {one.origin.distribution for one in REGISTRY.plugins} == {f"thalweg-{name}" for name in PLUGINS}


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_plugin_module_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_listing_the_components_imports_nothing_heavy():
    code = (
        "import sys, thalweg; names = [(one.kind, one.name) for one in thalweg.registry()];"
        f"print(len(names), *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *heavy = done.stdout.split()
    assert int(count) >= len(list(REGISTRY))
    assert heavy == []


def test_a_sibling_brings_only_what_is_its_own():
    for one in REGISTRY:
        home = one.origin.module.partition(".")[0]
        assert home == ("thalweg" if one.origin.plugin == "core" else f"thalweg_{one.origin.plugin}")
