"""Networks on disk: what was saved comes back, and nothing else is taken for one."""

import argparse
import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import thalweg
import thalweg.plugins
from failing_disk import FailingDisk, operations
from golden_files import golden
from plugin_makers import plugin, site_at
from thalweg import files
from thalweg.documents import parse_document, text_of
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.files import Disk
from thalweg.loading import load
from thalweg.saved_network import save
from thalweg_backbones import import_weights, read_foreign

FACTS = thalweg.Facts(shape=(2, 4, 4), classes=3)
BACKBONE = {"type": "dit", "width": 16, "depth": 2, "heads": 2}


def composed(seed=0, facts=FACTS, **options):
    refiner = {"type": "vera", "channels": [8]}
    return thalweg.compose(backbone=BACKBONE, refiner=refiner, branches=2, facts=facts, seed=seed, **options)


def write(path, network, **more):
    save(path, network, **more)
    return path


@pytest.fixture
def saved(tmp_path):
    return write(tmp_path / "model", composed())


def describe(folder, **changes):
    """model.json with other values; None takes a key away."""
    path = folder / "model.json"
    description = {**parse_document(path.read_bytes(), sealed=True), **changes}
    kept = {key: value for key, value in description.items() if value is not None}
    path.write_text(text_of(kept, sealed=True))


@pytest.mark.parametrize("classes", [3, None])
@pytest.mark.parametrize("interpolant", ["linear", "cosine"])
def test_what_was_saved_comes_back(tmp_path, classes, interpolant):
    network = composed(facts=thalweg.Facts(shape=(2, 4, 4), classes=classes), interpolant=interpolant)
    loaded = load(write(tmp_path / "new" / "model", network, step=7))
    expected = network.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    assert loaded.facts == network.facts
    assert loaded.composition == network.composition
    assert type(loaded.interpolant.schedule) is type(network.interpolant.schedule)
    assert not any(module.training for module in loaded.modules())
    assert json.loads((tmp_path / "new" / "model" / "model.json").read_text())["step"] == 7


def test_a_run_directory_opens_as_its_model(saved):
    assert load(saved.parent).branches == 2
    assert load(str(saved.parent)).branches == 2


def test_two_files_are_written_and_nothing_beside_them(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_saved_network_is_replaced_as_a_whole(saved):
    network = composed(seed=5)
    write(saved, network)
    assert torch.equal(
        load(saved).backbone.time.mlp.layers[0].weight, network.backbone.time.mlp.layers[0].weight
    )
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_whatever_operation_fails_a_whole_network_is_there(saved, monkeypatch):
    new = composed(seed=5)
    count = operations(monkeypatch, lambda: write(saved.with_name("count"), new))
    shutil.rmtree(saved.with_name("count"))

    def fail():
        raise OSError(28, "No space left on device")

    failures = 0
    for place in range(1, count + 1):
        monkeypatch.setattr(files, "disk", FailingDisk(place, fail))
        try:
            write(saved, new)
        except ThalwegError as error:
            failures += "cannot write" in str(error) and "No space left" in str(error)
        monkeypatch.setattr(files, "disk", Disk())
        assert load(saved).branches == 2
        write(saved, new)
        assert [path.name for path in saved.parent.iterdir()] == ["model"]
    assert failures > 5


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ThalwegError, match=r"cannot write .*file/model"):
        write(tmp_path / "file" / "model", composed())


@pytest.mark.parametrize(
    "files", [{}, {"thesis.tex": ""}, {"model.json": "{}"}, {"model.json": "{}", "model.safetensors": ""}]
)
def test_a_foreign_folder_is_never_replaced(tmp_path, files):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(DataError, match=r"exists and is no saved network"):
        write(folder, composed())
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


def test_a_file_is_never_replaced(tmp_path):
    (tmp_path / "mine").write_text("thesis")
    with pytest.raises(DataError, match=r"exists and is no saved network"):
        write(tmp_path / "mine", composed())
    assert (tmp_path / "mine").read_text() == "thesis"


@pytest.mark.parametrize("place", [0.0, 0.001, 0.02, 0.3, 0.6, 0.99, 1.0])
def test_one_flipped_bit_is_found(saved, place):
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[round(place * (len(content) - 1))] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors is damaged"):
        load(saved)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_found(saved, keep):
    path = saved / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"model\.safetensors is damaged"):
        load(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(DataError, match=r"holds no network: model\.json and model\.safetensors"):
        load(saved)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere holds no network"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', "{}", '{"model": "bert"}', "\xff"])
def test_a_foreign_description_is_refused(saved, text):
    (saved / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"model\.json is no description"):
        load(saved)


@pytest.mark.parametrize("version", [0, 2, 4, "3", [3]])
def test_another_format_is_named(saved, version):
    describe(saved, format=version)
    with pytest.raises(DataError, match=r"model\.json has format .*, this version reads 3"):
        load(saved)


@pytest.mark.parametrize("key", ["composition", "facts", "sha256"])
def test_an_incomplete_description_is_refused(saved, key):
    describe(saved, **{key: None})
    with pytest.raises(DataError, match=r"model\.json"):
        load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"composition": {}},
        {"composition": 3},
        {"composition": {"backbone": "no_such"}},
        {"composition": {"backbone": {**BACKBONE, "widht": 3}}},
        {"composition": {"backbone": BACKBONE, "eval": "x"}},
        {"facts": {}},
        {"facts": {"shape": [2, 4, 4], "classes": 3}},
        {"facts": {"shape": [2, 4], "classes": 3, "condition_dropout": True}},
        {"facts": {"shape": [2, 4, 4], "classes": "3", "condition_dropout": True}},
        {"facts": {"shape": [2, 4, 4], "classes": 3, "condition_dropout": "no"}},
        {"facts": {"shape": [2, 4, 4], "classes": 3, "condition_dropout": True, "colour": 3}},
    ],
    ids=str,
)
def test_a_description_of_nothing_we_know_is_refused(saved, changes):
    describe(saved, **changes)
    with pytest.raises(DataError, match=r"model\.json describes no network"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"facts": {"shape": [2, 4, 4], "classes": 4, "condition_dropout": True}},
            r"backbone\.classes\.weight is \(4, 16\), expected",
        ),
        ({"composition": {"backbone": BACKBONE}}, r"unknown .*acceleration_readout"),
        (
            {"composition": {"backbone": {**BACKBONE, "depth": 4}, "refiner": "plain", "branches": 2}},
            r"missing .*backbone\.blocks\.2",
        ),
    ],
    ids=["classes", "branches", "depth"],
)
def test_another_architecture_than_the_description_says_is_refused(saved, changes, words):
    describe(saved, **changes)
    with pytest.raises(DataError, match=words):
        load(saved)


WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
OTHER = {"a.weight": torch.zeros(2, 3), "b": torch.zeros(2)}


def is_weights(found):
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[key], WEIGHTS[key]) for key in found)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS},
        {"state_dict": WEIGHTS},
        {"ema": WEIGHTS},
        {"model": OTHER, "ema": WEIGHTS, "opt": {"state": {}}, "epoch": 3},
        {"state_dict": OTHER, "model_ema": WEIGHTS},
        {"model": OTHER, "ema": WEIGHTS, "args": argparse.Namespace(lr=1e-4, name="run")},
        {**WEIGHTS, "epoch": 3},
    ],
    ids=[
        "plain",
        "model",
        "state_dict",
        "ema",
        "ema-of-both",
        "model_ema",
        "options-beside",
        "number-beside",
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_the_averaged_weights_are_picked_else_the_only_ones(tmp_path, content, zipped):
    path = tmp_path / "theirs.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert is_weights(read_foreign(path))


def test_safetensors_are_read(tmp_path):
    save_file(WEIGHTS, tmp_path / "theirs.safetensors")
    assert is_weights(read_foreign(tmp_path / "theirs.safetensors"))


class Malice:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle", "protocol 4", "in the options"])
def test_pickled_objects_are_never_executed(tmp_path, form):
    path, canary = tmp_path / "theirs.pt", tmp_path / "canary"
    content = {"ema": WEIGHTS, "x": Malice(canary)}
    if form == "in the options":
        torch.save({"ema": WEIGHTS, "args": argparse.Namespace(x=Malice(canary))}, path)
    elif form in ("zip", "legacy"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    else:
        path.write_bytes(pickle.dumps(Malice(canary), protocol=4 if form == "protocol 4" else 2))
    with pytest.raises(DataError, match=r"theirs\.pt .*never executed") as caught:
        read_foreign(path)
    # torch's own message advises to execute what is in there.
    assert "weights_only" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert not canary.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_checkpoint_is_refused(tmp_path, keep, zipped):
    path = tmp_path / "theirs.pt"
    torch.save({"model": {"a": torch.ones(1000)}}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=r"theirs\.pt cannot be read") as caught:
        read_foreign(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["theirs.pt", "theirs.pth", "theirs.safetensors", "theirs"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / name).write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"cannot be read"):
        read_foreign(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [([torch.ones(1)], "no dictionary"), ({"epoch": 3}, "no tensors"), ({"ema": {}}, "no tensors")],
)
def test_a_checkpoint_without_tensors_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "theirs.pt")
    with pytest.raises(DataError, match=words):
        read_foreign(tmp_path / "theirs.pt")


def test_a_missing_checkpoint_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(DataError, match=r"is no file"):
            read_foreign(path)


@pytest.mark.parametrize(
    ("source", "name", "depth", "branches"),
    [
        ("sit", "sit", 3, 1),
        ("repa", "repa_sit", 4, 1),
        ("deepflow", "deepflow_2t", 4, 2),
        ("deepflow", "deepflow_3t_align", 6, 3),
    ],
)
def test_shapes_are_told_by_the_tensors(source, name, depth, branches):
    file = golden(name)
    network = import_weights(source, file.weights, **file.options)
    assert network.facts.shape == (4, 8, 8)
    assert network.facts.classes == 1000
    assert network.facts.width == file.config["hidden_size"]
    assert (network.backbone.depth, network.branches) == (depth, branches)
    assert network.composition["backbone"]["patch"] == 2
    if source == "deepflow":
        assert network.composition["refiner"]["channels"] == [32, 64, 32]
        clamp = 5.0 if file.options["clamp"] else "none"
        assert network.composition["refiner"]["clamp_scale"] == clamp


@pytest.mark.parametrize(
    ("source", "name", "words"),
    [
        ("deepflow", "sit", r"'final_layer\.0\.linear.*no DeepFlow checkpoint"),
        ("deepflow", "repa_sit", r"'final_layer\.0\.linear.*no DeepFlow checkpoint"),
        ("sit", "deepflow_2t", r"no tensor 'final_layer\.linear.*no SiT checkpoint"),
        ("repa", "deepflow_2t", r"no tensor 'final_layer\.linear.*no REPA checkpoint"),
        ("sit", "repa_sit", r"not understood as SiT: projectors"),
        ("repa", "sit", r"final_layer\.linear\.weight' has 32 rows, and REPA has 4 channels"),
        ("repa", "repa_mmdit", r"no tensor 'y_embedder"),
        ("repa-t2i", "repa_sit", r"no tensor 'context_embedder"),
    ],
)
def test_another_source_than_named_is_a_clear_error(source, name, words):
    with pytest.raises(DataError, match=words):
        import_weights(source, golden(name).weights, **golden(name).options)


def test_an_unknown_source_is_named():
    with pytest.raises(ConfigError, match=r"unknown importer 'sitt', did you mean 'sit'"):
        import_weights("sitt", golden("sit").weights, heads=4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"heads": 0}, "'heads' must be at least 1, got 0"),
        ({"heads": True}, "'heads' must be an integer, got True"),
        ({"prediction": "direction"}, "prediction is 'direction'; give one of noise, score, velocity"),
        ({"branches_at": (2, 0)}, r"'branches_at\[1\]' must be at least 1, got 0"),
        ({"heads": 5}, "5 heads are stated by --heads, and the width of 64 is no multiple"),
        ({"path": "straight"}, "path is 'straight'; give one of cosine, linear, vp"),
        ({"clamp": False}, "nothing that --no-clamp could state"),
        ({"branches_at": (1,)}, "nothing that --branches-at could state"),
        ({"classes": -1}, "'classes' must be at least 1, got -1"),
        ({"heads": None}, "needs; give --heads"),
        ({"path": None, "prediction": None}, r"give --path \(.*\), --prediction \("),
    ],
    ids=str,
)
def test_what_is_told_wrongly_or_missing_is_named(changed, words):
    with pytest.raises(ConfigError, match=words):
        import_weights("sit", golden("sit").weights, **{**golden("sit").options, **changed})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_weights_that_are_not_finite_are_refused_by_name(value, dtype):
    file = golden("sit")
    damaged = file.weights["blocks.1.attn.qkv.bias"].to(dtype)
    damaged[7] = value
    with pytest.raises(DataError, match=r"'blocks\.1\.attn\.qkv\.bias' holds numbers that are not finite"):
        import_weights("sit", {**file.weights, "blocks.1.attn.qkv.bias": damaged}, **file.options)


def test_what_float32_cannot_hold_is_refused_too():
    file = golden("sit")
    large = file.weights["x_embedder.proj.bias"].double() + 1e300
    with pytest.raises(DataError, match=r"'x_embedder\.proj\.bias' holds numbers that are not finite"):
        import_weights("sit", {**file.weights, "x_embedder.proj.bias": large}, **file.options)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": torch.ones(2).long()}, "'a' is of torch.int64, and weights are floating-point"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "'a' is of torch.complex64"),
    ],
    ids=["integers", "complex"],
)
def test_what_are_no_weights_is_refused(weights, words):
    with pytest.raises(DataError, match=words):
        import_weights("sit", weights, heads=4)


def test_an_imported_network_survives_being_saved(tmp_path):
    file = golden("deepflow_2t")
    network = import_weights("deepflow", file.weights, **file.options).eval()
    loaded = load(write(tmp_path / "model", network))
    asked = file.tensors["forward.x"], file.stacked("forward.t"), file.condition("forward.y")
    with torch.no_grad():
        for ours, theirs in zip(network(*asked).velocities, loaded(*asked).velocities, strict=True):
            assert torch.equal(ours, theirs)
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert stored.keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b"404: Not Found", "no checkpoint"),
        (b"Access denied", "it is a text"),
    ],
)
def test_what_was_not_downloaded_is_told(tmp_path, content, words):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_foreign(tmp_path / "x.pt")


BENT = """
import attrs
import torch

@attrs.frozen
class BentConfig:
    bend: float = 0.5

    def build(self, facts):
        return Bent(self.bend)

class Bent:
    def __init__(self, bend):
        self.bend = bend

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return (1 - self.bend) * t + self.bend * t * t

    def d_alpha(self, t):
        return -torch.ones_like(t)

    def d_sigma(self, t):
        return 1 - self.bend + 2 * self.bend * t

    def time_of_ratio(self, s):
        slope = 1 - self.bend + s
        return 2 * s / (slope + (slope * slope + 4 * self.bend * s).sqrt())
"""


def test_a_strangers_path_is_saved_with_its_options(tmp_path):
    site_folder = tmp_path / "site"
    site_folder.mkdir()
    with site_at(site_folder) as site:
        site.install("bent-paths", plugin("'interpolant', 'bent', 'bent:BentConfig'"), bent=BENT)
        thalweg.plugins.block()
        network = composed(interpolant={"type": "bent", "bend": 0.25})
        assert network.composition["interpolant"] == {"type": "bent", "bend": 0.25}
        loaded = load(write(tmp_path / "model", network))
        path = loaded.interpolant.schedule
        assert (type(path).__name__, path.bend) == ("Bent", 0.25)
        sampler = {"type": "euler_maruyama", "steps": 4}
        drawn = thalweg.sample(loaded, labels=[1], indices=[0], sampler=sampler)
        assert drawn.x.isfinite().all()
    thalweg.plugins.block()
    with pytest.raises(DataError, match="unknown interpolant 'bent'"):
        load(tmp_path / "model")
