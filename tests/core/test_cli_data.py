"""``thalweg data``: what lies there is told, and what is damaged is named."""

import json

import pytest

from image_makers import image_folder, image_tars
from shard_makers import header, make_shards, samples
from thalweg.cli.main import main
from thalweg.data.shards import ShardWriter, TextHeader
from thalweg.storage import Location

TEXT = TextHeader(identity={"type": "bert"}, length=3, width=2)


def run(capsys, *arguments):
    code = main(["data", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_shards_are_told_from_their_index_alone(tmp_path, capsys):
    make_shards(tmp_path, class_names=tuple("abcde"), text=TEXT, scale=0.18215)
    for path in tmp_path.glob("shard-*"):
        path.unlink()
    code, out, err = run(capsys, "inspect", tmp_path, "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["type"], told["count"], told["shards"], told["classes"]) == ("shards", 12, 3, 5)
    assert told["autoencoder"] == {"type": "made up"}
    assert told["tensors"]["mean"] == ["float32", 4, 2, 6]
    assert told["size"] is None
    code, out, _ = run(capsys, "inspect", tmp_path)
    assert code == 0
    for words in ("made up", "0.18215", "a b c d e", "mean float32 4 2 6", "length 3"):
        assert words in out


@pytest.mark.parametrize(("make", "kind"), [(image_folder, "folder"), (image_tars, "tar")])
def test_images_are_told_from_their_listing(tmp_path, capsys, make, kind):
    make(tmp_path / "there")
    code, out, _ = run(capsys, "inspect", tmp_path / "there", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["type"], told["images"], told["classes"]) == (kind, 12, 3)
    assert told["first_sizes"] == ["8x8x3"] * 5
    assert run(capsys, "verify", tmp_path / "there") == (0, "all 12 images are whole\n", "")


def test_every_damaged_file_is_named_with_exit_code_4(tmp_path, capsys):
    make_shards(tmp_path, text=TEXT)
    assert run(capsys, "verify", tmp_path) == (0, "all 5 files are whole\n", "")
    for name in ("shard-00000.safetensors", "empty.safetensors"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    code, out, _ = run(capsys, "verify", tmp_path)
    assert code == 4
    first, second, last = out.splitlines()
    assert first.startswith("shard-00000.safetensors: ")
    assert second.startswith("empty.safetensors: ")
    assert last == "2 of 5 files are damaged"
    code, out, _ = run(capsys, "verify", tmp_path, "--json")
    assert code == 4
    told = json.loads(out)
    assert [one["file"] for one in told["damaged"]] == ["shard-00000.safetensors", "empty.safetensors"]
    (tmp_path / "index.json").write_text("{}")
    code, out, _ = run(capsys, "verify", tmp_path)
    assert code == 4
    assert out.startswith("index.json: ")


def test_damaged_images_are_named(tmp_path, capsys):
    folder = image_folder(tmp_path / "there")
    (folder / "dog" / "005.png").write_bytes((folder / "dog" / "005.png").read_bytes()[:60])
    (folder / "newt" / "011.png").write_bytes(b"GIF89a")
    code, out, _ = run(capsys, "verify", folder)
    assert code == 4
    assert "dog/005.png" in out
    assert "newt/011.png" in out
    assert out.endswith("2 of 12 images are damaged\n")


def test_what_is_not_there_or_not_finished_is_said(tmp_path, capsys):
    writer = ShardWriter(Location(tmp_path / "begun"), header(), shard_samples=5)
    writer.write_shard(0, samples(writer.header, 0, 5))
    for command in ("inspect", "verify"):
        code, out, err = run(capsys, command, tmp_path / "nowhere")
        assert (code, out) == (4, "")
        assert "nowhere" in err
    code, out, err = run(capsys, "inspect", tmp_path / "begun")
    assert (code, out) == (4, "")
    assert "no finished set of shards" in err


def test_secrets_are_not_repeated(tmp_path, capsys):
    code, out, err = run(capsys, "inspect", tmp_path, "storage_options.key='s3cr3t-of-mine")
    assert code == 2
    assert "s3cr3t" not in out + err
