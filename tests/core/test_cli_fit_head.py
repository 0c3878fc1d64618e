"""``thalweg fit-head``: from a run or a saved network to one with heads, and what it says on the way."""

import shlex
import signal

import pytest
from safetensors.torch import load_file

import thalweg
from run_processes import THALWEG, ended, started
from thalweg.cli.main import main
from thalweg.facts import Facts
from thalweg.training.trainer import Trainer
from thalweg_authoring.numbers import randomised
from tiny_runs import recipe, tiny

BACKBONE = {"type": "dit", "patch": 4, "width": 16, "depth": 4, "heads": 2}
ONE = {"branches": 1, "refiner": "none", "objectives": {"velocity": {}}, "backbone": BACKBONE}
QUICK = ["training.steps=4", "training.batch_size=16", "training.log_every=1", "--device", "cpu"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A run, a saved network away from any run, a recipe, and one of other data."""
    folder = tmp_path_factory.mktemp("trained")
    Trainer(tiny(top=ONE, steps=2), folder / "run", accelerator="cpu", quiet=True).train()
    network = thalweg.compose(backbone=BACKBONE, facts=Facts(shape=(1, 8, 8), classes=10))
    thalweg.save(folder / "model", randomised(network))
    recipe(folder)
    (folder / "moons.toml").write_text((folder / "tiny.toml").read_text().replace("digits", "two_moons"))
    return folder


def test_a_run_gains_a_head_and_the_next_command_samples_by_it(places, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["fit-head", str(places / "run"), "--after", "3", "--after", "1", "--run-dir", "my heads"]
    assert main([*words, *QUICK]) == 0
    printed = capsys.readouterr()
    assert printed.out == "my heads/model\n"
    assert "run:         tiny heads in my heads" in printed.err
    told = printed.err.splitlines()[-1]
    assert told.startswith("next: thalweg sample 'my heads' 'samples/my heads' 'guidance=")
    name, *words = shlex.split(told.removeprefix("next: "))
    assert name == "thalweg"
    assert words[-1] == 'guidance={type="internal", scale="calibrated", after=3}'
    assert main([*words, "count=2"]) == 0
    assert load_file("samples/my heads/samples.safetensors")["x"].shape == (2, 1, 8, 8)
    assert thalweg.load("my heads").facts.head_depths == (1, 3)


def test_a_saved_network_is_fitted_on_the_data_of_a_recipe_or_a_run(places, tmp_path, capsys):
    for data in ("tiny.toml", "run"):
        out = tmp_path / data
        words = ["fit-head", str(places / "model"), "--data-of", str(places / data), "--after", "2"]
        assert main([*words, "--run-dir", f"{out}-heads", *QUICK, "--quiet"]) == 0
        printed = capsys.readouterr()
        assert printed.out == f"{out}-heads/model\n"
        assert printed.err == ""
        fitted = load_file(f"{out}-heads/model/model.safetensors")
        before = load_file(places / "model" / "model.safetensors")
        assert all(tensor.equal(fitted[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "--after", "1"], 4, "nowhere holds no network"),
        (["run", "--after", "4"], 2, "an intermediate head stands after 1 to 3 of the 4 blocks"),
        (["run", "--after", "0"], 2, "'--after'"),
        (["run"], 2, "Missing option '--after'"),
        (["model", "--after", "1"], 2, "give --data-of"),
        (["model", "--after", "1", "--data-of", "moons.toml"], 2, "give the data that it was trained on"),
        (["model", "--after", "1", "--data-of", "model"], 2, "model is neither a recipe nor a run"),
        (["model", "--after", "1", "--data-of", "none.toml"], 2, "none.toml does not exist"),
        (["run", "--after", "1", "heads=[2]"], 2, "'heads' cannot be changed here"),
        (["run", "--after", "1", "training.optimiser.lr=1"], 2, "did you mean 'optimizer'"),
        (["run", "--after", "1", "training.steps=0"], 2, "training.steps"),
        (["run", "--after", "1", "--device", "nope"], 2, "accelerator 'nope'"),
    ],
)
def test_what_is_refused_leaves_nothing(places, tmp_path, monkeypatch, capsys, words, code, said):
    monkeypatch.chdir(places)
    out = tmp_path / "heads"
    assert main(["fit-head", *words, "--run-dir", str(out)]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("error: ") == 1
    assert "Traceback" not in printed.err
    assert not out.exists()


def test_the_folder_of_another_run_is_refused(places, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(places)
    before = (places / "run" / "config.toml").read_bytes()
    assert main(["fit-head", "run", "--after", "1", "--run-dir", "run", *QUICK]) == 2
    assert "belongs to a run with another configuration" in capsys.readouterr().err
    assert (places / "run" / "config.toml").read_bytes() == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    assert main(["fit-head", "run", "--after", "1", "--run-dir", str(tmp_path / "notes"), *QUICK]) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err


def test_ctrl_c_saves_and_the_same_command_resumes(places, tmp_path, capsys):
    out = tmp_path / "heads"
    words = ["fit-head", str(places / "run"), "--after", "2", "--run-dir", str(out), "--device", "cpu"]
    words += ["training.log_every=1", "training.checkpoint_every=0", "training.steps=1000000"]
    process = started([*THALWEG, *words], out, beyond=3)
    assert main(words) == 2
    assert f"another process ({process.pid}) is training in {out}" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    code, printed, said = ended(process)
    assert code == 130, said
    assert printed == ""
    assert "Traceback" not in said
    name, *again = shlex.split(said.split("to resume: ")[1])
    assert [name, *again] == ["thalweg", *words]
    step = int(said.split("saved at step ")[1].split(";")[0])
    more = [one for one in again if not one.startswith("training.steps")]
    assert main([*more, f"training.steps={step + 2}"]) == 0
    assert f"resuming from step {step}" in capsys.readouterr().err
    assert (out / "model" / "model.json").is_file()
