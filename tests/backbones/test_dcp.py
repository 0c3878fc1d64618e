"""Folders of torch.distributed.checkpoint: read as torch reads them, and refused where they are not whole."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch.distributed import checkpoint
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

import thalweg
from exported_networks import BRANCHED, made
from golden_files import golden
from sharded_dcp import averaged
from thalweg.cli.main import main
from thalweg.errors import ConfigError, DataError
from thalweg_backbones import export_network, read_dcp

TESTS = Path(__file__).parents[1]
BARE = ["--heads", "4", "--path", "linear", "--prediction", "velocity"]


def save(content, folder):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        checkpoint.save(content, checkpoint_id=folder, no_dist=True)


def loaded(blank, folder):
    """What torch itself reads into tensors of these names and shapes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        checkpoint.load(blank, checkpoint_id=folder, no_dist=True)
    return blank


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Saved by two processes."""
    folder = tmp_path_factory.mktemp("sharded")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(TESTS / "sharded_dcp.py"), str(folder)],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_chunks_of_several_ranks_become_the_tensors_that_torch_reads(sharded):
    found = read_dcp(sharded / "titan")
    weights = golden("sit").weights
    assert {one.name for one in (sharded / "titan").glob("*.distcp")} == {"__0_0.distcp", "__1_0.distcp"}
    same({name.removeprefix("_orig_mod."): one for name, one in found.items()}, weights)
    same(found, loaded({name: torch.empty_like(one) for name, one in found.items()}, sharded / "titan"))
    assert (found.place, found.left, found.arguments) == ("", ("optimizer",), {})


def test_the_average_is_taken_and_arguments_are_read(sharded):
    found = read_dcp(sharded / "nested")
    same(dict(found), {f"module.{name}": one for name, one in averaged(golden("sit").weights).items()})
    assert (found.place, found.left) == ("ema", ("model",))
    stated = {"num_heads": 4, "num_classes": 1000, "path_type": "GVP", "prediction": "velocity"}
    assert found.arguments == stated


@pytest.mark.parametrize(("folder", "options"), [("titan", BARE), ("nested", [])])
def test_every_importer_takes_such_a_folder(sharded, tmp_path, capsys, folder, options):
    torch.save({"ema": golden("sit").weights}, tmp_path / "file.pt")
    assert main(["import", "sit", str(sharded / folder), str(tmp_path / "net"), *options]) == 0
    assert main(["import", "sit", str(tmp_path / "file.pt"), str(tmp_path / "same"), *BARE]) == 0
    imported = json.loads((tmp_path / "net" / "model.json").read_text())["imported"]
    assert (imported["file"], imported["weights"]) == (folder, "" if folder == "titan" else "ema")
    if folder == "titan":
        same(thalweg.load(tmp_path / "net").state_dict(), thalweg.load(tmp_path / "same").state_dict())
    else:
        assert thalweg.load(tmp_path / "net").interpolant.name == "cosine"
    capsys.readouterr()


@pytest.mark.parametrize(
    ("prefix", "place"), [("model.", ""), ("module.", ""), ("_orig_mod.", ""), ("ema.", "ema")]
)
def test_prefixes_that_wrappers_leave_in_flat_names_are_no_obstacle(tmp_path, prefix, place):
    weights = golden("sit").weights
    other = {f"model.{name}": one + 1 for name, one in weights.items()} if place else {}
    flat = {**other, **{f"{prefix}{name}": one for name, one in weights.items()}}
    save({**flat, "optimizer.step": torch.ones(())}, tmp_path / "net")
    assert read_dcp(tmp_path / "net").place == place
    assert main(["import", "sit", str(tmp_path / "net"), str(tmp_path / "out"), *BARE]) == 0
    torch.save(weights, tmp_path / "file.pt")
    assert main(["import", "sit", str(tmp_path / "file.pt"), str(tmp_path / "same"), *BARE]) == 0
    same(thalweg.load(tmp_path / "out").state_dict(), thalweg.load(tmp_path / "same").state_dict())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_types_and_shapes_come_back(tmp_path, dtype):
    tensors = {
        "scalar": torch.tensor(3.0, dtype=dtype),
        "empty": torch.empty(0, 4, dtype=dtype),
        "strided": torch.randn(6, 4).to(dtype).T,
        "view": torch.randn(100).to(dtype)[3:5],
    }
    save({"model": tensors}, tmp_path / "net")
    same(dict(read_dcp(tmp_path / "net")), tensors)


def test_our_own_names_go_to_sharded_training_and_back_to_the_bit(tmp_path):
    network = made(**BRANCHED, heads=[1])
    exported = export_network(network, tmp_path / "net", "dcp")
    assert exported.left == ()
    other = made(**BRANCHED, heads=[1], seed=1)
    loaded({"model": other.state_dict()}, tmp_path / "net")
    same(other.state_dict(), network.state_dict())
    again = made(**BRANCHED, heads=[1], seed=2)
    again.load_state_dict(read_dcp(tmp_path / "net"))
    same(again.state_dict(), network.state_dict())
    described = json.loads((tmp_path / "net" / "network.json").read_text())
    assert (described["facts"]["shape"], described["composition"]["branches"]) == ([4, 8, 8], 2)


def test_the_commands_go_there_and_back(tmp_path, capsys):
    thalweg.save(tmp_path / "net", made())
    assert main(["export", str(tmp_path / "net"), str(tmp_path / "sit.dcp"), "--to", "sit"]) == 0
    assert main(["import", "sit", str(tmp_path / "sit.dcp"), str(tmp_path / "again")]) == 0
    same(thalweg.load(tmp_path / "again").state_dict(), thalweg.load(tmp_path / "net").state_dict())
    assert main(["export", str(tmp_path / "net"), str(tmp_path / "own"), "--to", "dcp"]) == 0
    assert {one.name for one in (tmp_path / "own").iterdir()} == {
        ".metadata", "__0_0.distcp", "network.json",
    }  # fmt: skip
    capsys.readouterr()
    assert main(["export", str(tmp_path / "net"), str(tmp_path / "own"), "--to", "dcp"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "net"), str(tmp_path / "own.pt"), "--to", "dcp"]) == 2
    assert "dcp makes a folder" in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path):
    save({"model": golden("sit").weights, "args": {"num_heads": 4}}, tmp_path / "net")
    return tmp_path / "net"


def metadata(folder, change=None):
    """The metadata of a folder, changed and written back if asked."""
    found = pickle.loads((folder / ".metadata").read_bytes())
    if change is not None:
        change(found)
        (folder / ".metadata").write_bytes(pickle.dumps(found))
    return found


def refused(folder, words, capsys):
    with pytest.raises(DataError, match=words):
        read_dcp(folder)
    capsys.readouterr()
    target = folder.parent / "out"
    assert main(["import", "sit", str(folder), str(target), *BARE]) == 4
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "unexpected" not in error
    assert not target.exists()


def test_a_truncated_file_is_named_with_the_tensor(folder, capsys):
    file = folder / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:-5000])
    refused(folder, r"__0_0\.distcp ends at byte [\d,]+, and '.*' stands until byte [\d,]+; copy", capsys)


def test_a_flipped_bit_is_found(folder, capsys):
    file, found = folder / "__0_0.distcp", metadata(folder)
    info = next(
        one for index, one in found.storage_data.items() if index.fqn == "model.blocks.0.attn.qkv.weight"
    )
    content = bytearray(file.read_bytes())
    content[info.offset + info.length // 2] ^= 1
    file.write_bytes(content)
    refused(folder, r"is damaged where 'model\.blocks\.0\.attn\.qkv\.weight' stands .*copy it again", capsys)


def test_a_missing_file_is_named(folder, capsys):
    (folder / "__0_0.distcp").unlink()
    refused(folder, r"has no file '__0_0\.distcp', which \.metadata names; copy it again", capsys)


def test_a_folder_without_metadata_is_told_from_others(folder, tmp_path, capsys):
    (folder / ".metadata").unlink()
    refused(folder, r"has no \.metadata, which says what its \.distcp files hold", capsys)
    (tmp_path / "steps" / "step-90").mkdir(parents=True)
    (tmp_path / "steps" / "step-1000").mkdir()
    refused(tmp_path / "steps", r"several steps; give one of them, such as .*step-1000$", capsys)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"not a pickle", pickle.dumps({"a": 1}), b"N."])
def test_other_metadata_is_damaged(folder, content, capsys):
    (folder / ".metadata").write_bytes(content)
    refused(folder, r"\.metadata is damaged or no metadata of torch\.distributed\.checkpoint", capsys)


def test_truncated_metadata_is_damaged(folder, capsys):
    whole = (folder / ".metadata").read_bytes()
    (folder / ".metadata").write_bytes(whole[: len(whole) // 2])
    refused(folder, r"\.metadata is damaged", capsys)


class Malice:
    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    "call",
    [os.system, eval, getattr, torch.load, print, OrderedDict.update],
    ids=lambda one: one.__qualname__,
)
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(folder, call, capsys):
    canary = folder.parent / "canary"
    evil = Malice(call, f"touch {canary}" if call is os.system else f"open({str(canary)!r}, 'w')")

    def change(found):
        found.planner_data["evil"] = evil

    metadata(folder, change)
    refused(folder, r"\.metadata names [\w.]+, which no such file needs and which is never executed", capsys)
    assert not canary.exists()


def test_neither_persistent_objects_nor_classes_changed_on_the_way_come_through(folder, capsys):
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.persistent_id = lambda one: "x" if one is metadata else None
    pickler.dump([metadata])
    (folder / ".metadata").write_bytes(buffer.getvalue())
    refused(folder, "names an object outside it", capsys)
    # A state set on the class itself, which BUILD allows, would last as long as the process.
    name = b"ctorch.distributed.checkpoint.metadata\nMetadataIndex\n"
    (folder / ".metadata").write_bytes(name + b"(N}X\x01\x00\x00\x00aK\x01stb.")
    refused(folder, r"\.metadata is damaged", capsys)
    assert not hasattr(MetadataIndex, "a")


def _elsewhere(found):
    for info in found.storage_data.values():
        info.relative_path = "../net/__0_0.distcp"


def _vast(found):
    one = found.state_dict_metadata["model.pos_embed"]
    one.size = torch.Size((1, 2**30, 2**10))
    one.chunks = [ChunkStorageMetadata(torch.Size((0, 0, 0)), one.size)]


def _outside(found):
    one = found.state_dict_metadata["model.pos_embed"]
    one.chunks[0].offsets = torch.Size((0, 1, 0))


def _unstored(found):
    found.storage_data = {index: one for index, one in found.storage_data.items() if "pos" not in index.fqn}


def _compressed(found):
    for info in found.storage_data.values():
        info.transform_descriptors = ["zstd"]


def _other_type(found):
    found.state_dict_metadata["model.pos_embed"].properties.dtype = torch.int32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_elsewhere, r"'\.\./net/__0_0\.distcp' is no name of a file in the folder"),
        (_vast, r"does not hold 'model\.pos_embed' in full"),
        (_outside, r"a chunk of 'model\.pos_embed' lies outside its shape"),
        (_unstored, r"no file is named for the chunk of 'model\.pos_embed'"),
        (_compressed, r"is compressed, which is not read here"),
        (_other_type, r"holds something else than 'model\.pos_embed'"),
    ],
)
def test_metadata_that_lies_is_refused(folder, change, words, capsys):
    metadata(folder, change)
    refused(folder, words, capsys)


def test_chunks_that_overlap_are_refused(sharded, tmp_path, capsys):
    shutil.copytree(sharded / "titan", tmp_path / "net")

    def change(found):
        one = next(
            each for each in found.state_dict_metadata.values() if len(getattr(each, "chunks", "")) == 2
        )
        one.chunks[1] = one.chunks[0]

    metadata(tmp_path / "net", change)
    refused(tmp_path / "net", "chunks of '_orig_mod.*' overlap", capsys)


def test_an_objects_bytes_are_never_unpickled_freely(tmp_path):
    canary = tmp_path / "canary"
    save(
        {"model": golden("sit").weights, "args": {"a": Malice(os.system, f"touch {canary}"), "b": 1}},
        tmp_path / "net",
    )
    canary.unlink(missing_ok=True)
    assert read_dcp(tmp_path / "net").arguments == {"b": 1}
    assert not canary.exists()


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    from torch.distributed.checkpoint import filesystem

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(filesystem.FileSystemWriter, "finish", full)
    with pytest.raises(thalweg.ThalwegError, match="cannot be written"):
        export_network(made(), tmp_path / "net", "dcp")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=r"what sit makes ends with \.pt, \.safetensors or \.dcp"):
        export_network(made(), tmp_path / "net", "sit")
