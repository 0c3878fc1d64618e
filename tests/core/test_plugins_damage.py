"""Distributions that are damaged: skipped by name, and nothing else is lost."""

import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_makers import plugin, site_at
from thalweg.plugins import distributions, load

ENTRY = b"[thalweg]\nbroken = broken_module\n"
METADATA = b"Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"


@pytest.fixture
def site(tmp_path):
    with site_at(tmp_path) as made:
        made.install("zoo-plugin", plugin("'sampler', 'lion', 'm:C'"))
        yield made
    distributions.hide(())


def damaged(folder, entry_points=ENTRY, metadata=METADATA, name="broken-1.0.dist-info"):
    info = folder / name
    info.mkdir()
    for file, content in (("entry_points.txt", entry_points), ("METADATA", metadata)):
        if content is not None:
            (info / file).write_bytes(content)
    importlib.invalidate_caches()
    return info


def as_folder(info):
    (info / "entry_points.txt").unlink()
    (info / "entry_points.txt").mkdir()


def as_fifo(name):
    def change(info):
        (info / name).unlink()
        os.mkfifo(info / name)

    return change


def as_loop(info):
    (info / "METADATA").unlink()
    (info / "METADATA").symlink_to(info / "METADATA")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"metadata": METADATA + b"Author: M\xfcller\n"}, "unreadable METADATA: it is no UTF-8"),
        ({"metadata": bytes(range(256))}, "unreadable METADATA"),
        ({"metadata": None}, "has no METADATA"),
        ({"metadata": b""}, "has no METADATA"),
        ({"metadata": b"Metadata-Version: 2.1\nVersion: 1.0\n"}, "states no Name"),
        ({"metadata": b"Name: \nVersion: 1.0\n"}, "states no Name"),
        ({"metadata": b"Name: x\x1b[31my\nVersion: 1.0\n"}, "which is none"),
        ({"metadata": b"Name: broken\n"}, "states no Version"),
        ({"entry_points": "[thalweg]\nbröken = broken_module\n".encode("latin-1")}, "it is no UTF-8"),
        ({"entry_points": "[thalweg]\nbroken = b\n".encode("utf-16-le")}, "it is no text"),
        ({"entry_points": b"[other]\nno equals sign\n"}, "line 2 has no '='"),
        ({"entry_points": ENTRY + b"#" * 2**24}, "it has more than"),
    ],
)
def test_a_damaged_distribution_is_skipped_by_name(site, how, reason):
    damaged(site.folder, **how)
    registry = load()
    (fault,) = registry.faults
    assert (fault.plugin, fault.distribution, fault.version) == ("", "broken", "1.0")
    assert str(fault).startswith("distribution broken 1.0 has ")
    assert reason in fault.reason
    assert str(fault).endswith("install it again, or remove it")
    assert "lion" in registry.names("sampler")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (as_folder, "it is a folder"),
        (as_fifo("entry_points.txt"), "it is a FIFO"),
        (as_fifo("METADATA"), "it is a FIFO"),
        (as_loop, "symbolic links"),
    ],
)
def test_what_is_no_file_is_never_waited_for(site, change, reason):
    change(damaged(site.folder))
    registry = load()
    (fault,) = registry.faults
    assert fault.distribution == "broken"
    assert reason in fault.reason
    assert "lion" in registry.names("sampler")


def test_a_file_in_place_of_the_folder_is_said(site):
    (site.folder / "broken-1.0.dist-info").write_text("")
    (site.folder / "old_style-1.0.egg-info").write_text("Name: old-style\nVersion: 1.0\n")
    importlib.invalidate_caches()
    (fault,) = load().faults
    assert str(fault).startswith(
        "distribution broken 1.0 has an unreadable entry_points.txt: Not a directory"
    )


@pytest.mark.parametrize(
    "value", ["bro-ken.module", "broken module", "a..b", "", "a:b:c", "1a", "a:b-c", "/etc/x"]
)
def test_an_illegal_reference_costs_the_other_entry_points_nothing(site, value):
    (site.folder / "whole_module.py").write_text(plugin("'sampler', 'tiger', 'm:C'"))
    text = f"[thalweg]\nbroken = {value}\n[other]\nx = a-b:c\n[thalweg]\nwhole = whole_module [extra]\n"
    damaged(site.folder, text.encode())
    registry = load()
    (fault,) = registry.faults
    assert str(fault).startswith(
        f"plugin 'broken' of broken 1.0 cannot be imported: its entry point names '{value}'"
    )
    assert {"lion", "tiger"} <= {*registry.names("sampler")}


def test_a_name_that_stands_twice_is_said(site):
    for module in ("one", "other"):
        (site.folder / f"{module}.py").write_text(plugin(f"'sampler', '{module}', 'm:C'"))
    damaged(site.folder, b"[thalweg]\ntwice = one\ntwice = one\n[thalweg]\ntwice = other\n")
    registry = load()
    (fault,) = registry.faults
    assert "is named twice; 'one' stays, 'other' is left out" in str(fault)
    assert {"lion", "one"} <= {*registry.names("sampler")}


def test_one_module_is_one_plugin(site):
    (site.folder / "one.py").write_text(plugin("'sampler', 'one', 'm:C'"))
    damaged(site.folder, b"[thalweg]\nfirst = one\nsecond = one\n")
    (fault,) = load().faults
    assert "plugin 'second' of broken 1.0 is the same as the plugin 'first' of broken" in str(fault)


HOSTILE = """
class Hostile:
    def __repr__(self): raise RuntimeError("repr")
    def __eq__(self, other): raise RuntimeError("eq")
    __hash__ = None
class Silent(Exception):
    def __str__(self): raise RuntimeError("str")
"""


@pytest.mark.parametrize(
    ("call", "also"),
    [
        ("Hostile(), 'a', 'b'", HOSTILE),
        ("'sampler', Hostile(), 'b'", HOSTILE),
        ("'sampler', 'a', Hostile()", HOSTILE),
        ("(_ for _ in ()).throw(Silent())", HOSTILE),
        ("'sampler', 'a', 'm:C'", HOSTILE + "\napi_version = Hostile()"),
    ],
)
def test_objects_that_raise_when_they_are_looked_at_are_named(site, call, also):
    site.install("aa-hostile", plugin(call, also=also))
    registry = load()
    (fault,) = registry.faults
    assert fault.distribution == "aa-hostile"
    assert str(fault)
    assert "lion" in registry.names("sampler")


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.none(), st.binary(max_size=200)),
    st.one_of(st.none(), st.binary(max_size=200)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.sampled_from(["broken-1.0.dist-info", "-.dist-info", "broken.egg-info", "~roken-1.dist-info"]),
)
def test_no_damage_costs_other_distributions_anything(entry_points, metadata, flips, name):
    def flipped(content):
        changed = bytearray(content)
        for place, value in flips:
            changed[place % len(changed)] = value
        return bytes(changed)

    with tempfile.TemporaryDirectory() as folder, site_at(Path(folder)) as site:
        site.install("zoo-plugin", plugin("'sampler', 'lion', 'm:C'"))
        damaged(
            site.folder,
            flipped(ENTRY) if entry_points is None else entry_points,
            flipped(METADATA) if metadata is None else metadata,
            name,
        )
        registry = load()
        assert "lion" in registry.names("sampler")
        assert len(registry.names("refiner")) == 4
        assert all(fault.distribution != "zoo-plugin" for fault in registry.faults)
        # What torch and others do when they are imported.
        importlib.metadata.entry_points()
        distributions.hide(())


@pytest.mark.parametrize("how", ["latin", "fifo"])
@pytest.mark.parametrize("words", [["plugins", "list"], ["summary"]])
def test_commands_that_import_torch_work_on(tmp_path, how, words):
    info = damaged(tmp_path, b"[fsspec.specs]\ncaf\xe9 = x\n")
    if how == "fifo":
        as_fifo("entry_points.txt")(info)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'data = "digits"\nbackbone = {type = "dit", depth = 2, width = 32, heads = 2, patch = 2}\n'
        "[objectives.velocity]\n[training]\nsteps = 1\nbatch_size = 8\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", *words, *([str(recipe)] if words == ["summary"] else [])],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout if words == ["plugins", "list"] else done.stderr
    assert "distribution broken 1.0 has an unreadable entry_points.txt" in said


def test_processes_that_this_one_starts_work_on_too(tmp_path):
    info = damaged(tmp_path, b"caf\xe9")
    code = "from thalweg.plugins import load; load(); import subprocess, sys; " + (
        "subprocess.run([sys.executable, '-c', 'import thalweg; import fsspec; print(1)'], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{info.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
