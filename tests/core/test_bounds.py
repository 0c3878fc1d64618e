"""What is described is refused before it is built, where it is more than there is."""

import json
import os
import time

import attrs
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import thalweg
from thalweg.bounding import OversizedError, at_most, check_description
from thalweg.config import structure
from thalweg.config.run import RunConfig
from thalweg.documents import parse_document, text_of
from thalweg.errors import ConfigError, DataError
from thalweg.loading import load
from thalweg.plugins import registry
from thalweg.saved_network import save
from thalweg.tensor_files import open_tensors
from tiny_runs import TINY, TRAINING

BACKBONE = {"type": "dit", "width": 16, "depth": 2, "heads": 2}
VERA = {"type": "vera", "channels": [8]}
COMPOSITION = {"backbone": BACKBONE, "refiner": VERA, "branches": 2}
FACTS = {"shape": [2, 4, 4], "classes": 3, "condition_dropout": True}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A saved network, loaded once, so that what is timed is not the import of its parts."""
    path = tmp_path_factory.mktemp("saved") / "model"
    facts = thalweg.Facts(shape=(2, 4, 4), classes=3)
    network = thalweg.compose(**COMPOSITION, facts=facts)
    save(path, network)
    load(path)
    return path


@pytest.fixture
def saved(warm, tmp_path):
    (tmp_path / "model").mkdir()
    for file in warm.iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "model"


def described(folder, **changes):
    path = folder / "model.json"
    path.write_text(text_of({**parse_document(path.read_bytes(), sealed=True), **changes}, sealed=True))


def backbone(**changes):
    return {"composition": {**COMPOSITION, "backbone": {**BACKBONE, **changes}}}


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


HOSTILE = {
    **{f"depth {n}": backbone(depth=n) for n in (4, 1024, 10**6, 10**9, 10**18, -1, 0, True, "2", None)},
    **{f"width {n}": backbone(width=n) for n in (32, 65536, 10**6, 10**9, 10**30)},
    **{f"heads {n}": backbone(heads=n) for n in (10**6, 10**9)},
    **{
        f"branches {n}": {"composition": {**COMPOSITION, "branches": n}}
        for n in (1024, 10**6, 10**9, 2.0, True)
    },
    "branches of a deep backbone": {
        "composition": {"backbone": {**BACKBONE, "depth": 1024}, "refiner": VERA, "branches": 1024}
    },
    **{
        f"channels {name}": {"composition": {**COMPOSITION, "refiner": {**VERA, "channels": channels}}}
        for name, channels in {
            "wide": [65536], "wider": [10**9], "many": [8] * 64, "a million": [8] * 10**6,
            "nested": nested(60),
        }.items()
    },
    **{
        f"shape {shape}": {"facts": {**FACTS, "shape": shape}}
        for shape in (
            [4096, 4, 4], [10**6, 4, 4], [2, 10**9, 4], [2, 10**5, 10**5], [2.0, 4, 4],
            [2, 4, True],
            "2,4", 7, None, [2, 4], {"a": 1},
        )
    },
    "shape of a million": {"facts": {**FACTS, "shape": [1] * 10**6}},
    **{f"classes {n}": {"facts": {**FACTS, "classes": n}} for n in (10**6, 10**9, -1, 1.5, True, "3", [3])},
    **{
        f"text {text}": {"facts": {**FACTS, "text": text}}
        for text in ([10**9, 768], [77, 10**9], [77], "a", 3, [True, 3])
    },
    "more facts": {"facts": {**FACTS, "depth": 10**9, "branches": 10**9}},
    "a huge name": backbone(type="x" * 10**6),
    "a huge key": {"composition": {**COMPOSITION, "x" * 10**6: 1}},
    "many keys": {"composition": {**COMPOSITION, **{f"k{n}": n for n in range(10**5)}}},
    "nested": {"composition": {**COMPOSITION, "backbone": nested(60)}},
    "an interpolant": {"composition": {**COMPOSITION, "interpolant": "x" * 5000}},
    "an infinite width": backbone(width=1e300),
    "another patch": backbone(patch=1),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_description_is_refused_at_once(saved, kind):
    described(saved, **HOSTILE[kind])
    begun = time.process_time()
    with pytest.raises(DataError) as failure:
        load(saved)
    assert time.process_time() - begun < 10  # what it asks for would take hours
    assert len(str(failure.value)) < 1000
    assert "model" in str(failure.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"facts": 1e999}', '{"digest": 3}', '{"a": NaN}', '{"a": ' + "9" * 5000 + "}", " " * (5 * 2**20),
        "[" * 10**5, "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "{" + '"a":{' * 10**5,
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_description_is_refused_at_once(saved, text):
    (saved / "model.json").write_text(text)
    begun = time.process_time()
    with pytest.raises(DataError, match=r"model\.json is no description"):
        load(saved)
    assert time.process_time() - begun < 10  # what it asks for would take hours


def test_each_flipped_bit_of_a_description_is_found(saved):
    path = saved / "model.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 7)
        if changed[place : place + 1].isspace() and whole[place : place + 1].isspace():
            continue  # the same values in other white space
        path.write_bytes(changed)
        with pytest.raises(DataError):
            load(saved)


def test_other_heads_do_not_load(saved):
    path = saved / "model.json"
    path.write_text(path.read_text().replace('"heads": 2', '"heads": 4'))
    with pytest.raises(DataError, match="does not match its own digest"):
        load(saved)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_fifo_is_no_file_of_a_network(saved, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(DataError):
        load(saved)


@attrs.frozen
class Endless:
    """A stranger's backbone without bounds, which builds on no meta device."""

    depth: int = 10**6
    width: int = 16
    heads: int = 2
    buffers: bool = False

    def build(self, facts):
        module = nn.Module()
        for number in range(self.depth):
            if self.buffers:
                module.register_buffer(f"b{number}", torch.zeros(1).expand(2**24), persistent=False)
            else:
                module.add_module(f"m{number}", nn.Linear(2, 2, device="cpu"))
                float(module.get_submodule(f"m{number}").weight.sum())
        raise AssertionError("built to its end")


@pytest.mark.parametrize("options", [{}, {"buffers": True}])
def test_a_plugin_without_bounds_is_stopped(saved, monkeypatch, options):
    described(saved, **backbone(**options))
    monkeypatch.setitem(registry()._classes, ("backbone", "dit"), Endless)
    described(saved, composition={**COMPOSITION, "backbone": {"type": "dit", "depth": 10**6, **options}})
    begun = time.process_time()
    with pytest.raises(DataError, match=r"larger than the .* tensors"):
        load(saved)
    assert time.process_time() - begun < 10  # what it asks for would take hours


def test_bounds_are_of_this_thread_and_end(saved):
    with pytest.raises(OversizedError), at_most(1, 1):
        nn.Linear(2000, 2000, device="meta")
    nn.Linear(2000, 2000, device="meta")
    with pytest.raises(OversizedError, match="nested deeper"):
        check_description({"a": nested(40)}, 1)
    with pytest.raises(OversizedError, match="more than 10,000 values"):
        check_description({"a": [0] * 10**5}, 1)
    check_description({"a": 2**30}, 2**31)


@pytest.mark.parametrize(
    "changes",
    [
        {"branches": 10**9}, {"backbone": {"type": "dit", "depth": 10**6}}, {"seed": 2**64},
        {"backbone": {"type": "mmdit", "width": 10**9}}, {"refiner": {"type": "vera", "channels": [10**9]}},
        {"sampling": {"count": 10**12}}, {"sampling": {"batch_size": 10**9}},
        {"sampling": {"sampler": {"type": "euler", "steps": 10**9}}},
        {"sampling": {"sampler": {"type": "heun", "steps": 10**9}}},
        {"sampling": {"sampler": {"type": "euler_maruyama", "steps": 10**9}}},
        {"sampling": {"sampler": {"type": "dopri5", "max_steps": 10**12}}},
        {"data": {"type": "shards", "url": "x", "validation": 10**12}},
        {"data": {"type": "images", "source": "emoji", "size": 10**6}},
        {"data": {"type": "images", "source": {"type": "folder", "url": "x", "limit_pixels": 10**12}}},
        {"data": {"type": "shards", "url": "x", "expected": {"shape": [10**6, 4, 4]}}},
        *({"training": {**TRAINING, name: 10**12}} for name in (
            "steps", "batch_size", "accumulate", "log_every", "validate_every", "validation_batches", "keep",
            "prefetch", "workers", "max_skips", "sample_every", "checkpoint_every",
        )),
    ],
    ids=str,
)  # fmt: skip
def test_a_recipe_has_bounds(changes):
    begun = time.process_time()
    with pytest.raises(ConfigError):
        structure(RunConfig, {**TINY, "training": TRAINING, **changes})
    assert time.process_time() - begun < 10  # what it asks for would take hours


def test_composing_checks_branches_before_the_refiner_is_built():
    facts = thalweg.Facts(shape=(2, 4, 4))
    begun = time.process_time()
    with pytest.raises(ConfigError, match="does not divide the backbone's depth of 2"):
        thalweg.compose(backbone=BACKBONE, refiner="vera", branches=1000, facts=facts)
    with pytest.raises(ConfigError, match="at most 1,024"):
        thalweg.compose(backbone=BACKBONE, refiner="vera", branches=10**9, facts=facts)
    assert time.process_time() - begun < 10  # what it asks for would take hours


def test_headers_of_tensors_are_bounded(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(2)}, path)
    whole = path.read_bytes()
    for length in (2**63, 2**40, len(whole), 100 * 2**20 + 1):
        path.write_bytes(length.to_bytes(8, "little") + whole[8:])
        with pytest.raises(DataError, match="safetensors file"):
            open_tensors(path)
