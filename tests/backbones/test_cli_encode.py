"""``thalweg encode``: what it says, and how it ends."""

import json
import signal
import subprocess
import sys
import time

import pytest

from autoencoder_makers import write_sd_vae
from image_makers import image_folder
from thalweg.cli.main import main
from thalweg.data.shards import read_index
from thalweg.storage import Location


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_folder(tmp_path / "images", each=4, edge=8)
    write_sd_vae(tmp_path / "vae")
    return tmp_path


def run(*words, size=8):
    return main(["encode", "images", "out", "--size", str(size), "--device", "cpu", *words])


def test_it_says_what_there_is_and_then_that_it_is_complete(place, capsys):
    assert run("--weights", "vae", "--shard-samples", "5") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 12 images in 3 shards, ")
    assert "12 encoded in" in printed.out
    assert printed.err.splitlines()[-1].startswith("images: 12 of 12, ")
    assert run("--weights", "vae", "--shard-samples", "5") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("out: 12 images in 3 shards, ")
    assert printed.out.endswith("; complete already, nothing was encoded\n")
    assert printed.err == ""


def test_json_is_for_programs(place, capsys):
    assert run("--weights", "vae", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told.keys() == {"target", "images", "shards", "bytes", "encoded", "seconds"}
    assert (told["images"], told["encoded"], told["shards"]) == (12, 12, 1)
    assert told["bytes"] == (place / "out/shard-00000.safetensors").stat().st_size


def test_options_reach_autoencoder_source_and_shards(place, capsys):
    assert run("--weights", "vae", "source.limit_pixels=10") == 4
    assert "8x8 pixels, beyond the limit of 10" in capsys.readouterr().err
    chosen = ["autoencoder.precision=bf16-mixed", "autoencoder.scale=0.5"]
    assert run("--weights", "vae", "--dtype", "float32", "--seed", "3", "--flips", *chosen) == 0
    header = read_index(Location("out")).header
    assert (header.scale, header.seed) == (0.5, 3)
    assert (header.dtype, header.flips) == ("float32", True)
    assert header.autoencoder["precision"] == "bf16-mixed"


def test_pixels_need_no_weights(place):
    assert run("--autoencoder", "identity") == 0
    header = read_index(Location("out")).header
    assert (header.kind, header.flips) == ("pixels", False)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 4, "'thalweg weights get sd-vae-ft-ema' fetches them"),
        (["--weights", "nowhere"], 4, "there is no nowhere/diffusion_pytorch_model.safetensors"),
        (["--autoencoder", "sd-vea"], 2, "did you mean 'sd-vae'?"),
        (["--autoencoder", "identity", "--weights", "vae"], 2, "autoencoder.weights: unknown key"),
        (["--weights", "vae", "autoencoder.widht=1"], 2, "autoencoder.widht: unknown key"),
        (
            ["--weights", "vae", "backbone.width=1"],
            2,
            "'backbone.width' is no setting here; they are autoencoder.K",
        ),
        (["--weights", "vae", "source.kind=1"], 2, "source.kind: unknown key"),
        (["--weights", "vae", "--batch-size", "0"], 2, "batch_size: must be at least 1, got 0"),
        (["--weights", "vae", "--shard-samples", "0"], 2, "shard_samples: must be at least 1, got 0"),
        (["--weights", "vae", "--channels", "2"], 2, "channels: must be one of 1, 3, got 2"),
        (["--weights", "vae", "--channels", "1"], 2, "sd-vae takes images of 3 channels"),
        (
            ["--weights", "vae", "--devices", "none"],
            2,
            "must be auto or a number from 1 to 4,096, got 'none'",
        ),
        (["--weights", "vae", "--device", "abacus"], 2, "the device 'abacus' cannot be used"),
        (["--weights", "vae", "storage_options=hush-hush"], 2, "'storage_options' is no setting here"),
        (["--weights", "vae", "storage_options.key={hush-hush"], 2, "storage_options.key: the override with"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(place, capsys, words, code, message):
    assert run(*words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert "hush-hush" not in printed.err
    assert not (place / "out").exists()


@pytest.mark.parametrize("size", [0, 7])
def test_sizes_that_cannot_be_are_refused(place, capsys, size):
    assert run("--weights", "vae", size=size) == 2
    assert str(size) in capsys.readouterr().err
    assert not (place / "out").exists()


def test_a_target_of_another_kind_is_refused(place, capsys):
    assert run("--weights", "vae") == 0
    assert run("--autoencoder", "identity") == 2
    assert "header.autoencoder" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_whole_and_says_how_to_resume(place):
    image_folder(place / "many", each=200, edge=8)
    words = ["encode", "many", "out", "--size", "8", "--weights", "vae", "--device", "cpu",
             "--batch-size", "2", "--shard-samples", "4",
             "storage_options.key=very-secret-key"]  # fmt: skip
    start = [sys.executable, "-c", "import sys; from thalweg.cli.main import main; sys.exit(main())"]
    running = subprocess.Popen([*start, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(place.glob("out/shard-*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    out, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert out == ""
    assert "Traceback" not in said
    assert "very-secret-key" not in said
    assert not (place / "out/index.json").exists()
    assert not list(place.glob("out/.*.part"))
    assert said.splitlines()[-1] == "interrupted; the same command resumes"
    done = subprocess.run([*start, *words, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["images"] == 600
    assert 0 < told["encoded"] < 600


def test_no_secret_is_written_or_said(place, capfd):
    words = [
        "encode", "images", "memory://shards-of-a-secret?token=query-secret", "--size", "8",
        "--weights", "vae", "autoencoder.storage_options.key=weights-secret",
        "storage_options.key=option-secret", "--device", "cpu",
    ]  # fmt: skip
    assert main(words) == 0
    assert main([*words, "--flips"]) == 2
    printed = capfd.readouterr()
    written = Location(words[2])
    contents = [(written / name).read() for name in written.children()]
    assert contents
    for secret in ("query-secret", "option-secret", "weights-secret"):
        assert secret not in printed.out + printed.err
        assert not any(secret.encode() in content for content in contents)
