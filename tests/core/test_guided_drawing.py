"""Lists of guidances, second networks and partial passes in what is drawn, counted and written down."""

import json

import pytest

import thalweg
import thalweg_eval
from evaluated import FAST, run_folder
from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg.files import sha256
from thalweg.training.trainer import Trainer
from thalweg_samplers import Euler, Internal
from tiny_runs import tiny

DRAW = ("sampler=euler", "sampler.steps=4", "count=6", "--precision", "32-true", "--json")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return run_folder(folder / "main"), run_folder(folder / "weak", seed=1)


def drawn(run, out, capsys, *words):
    assert main(["sample", str(run), str(out), *DRAW, *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_list_is_drawn_by_and_written_down(runs, tmp_path, capsys):
    run, _ = runs
    told = drawn(run, tmp_path / "x", capsys, 'guidance=["internal", {type="cfg", interval=[0.0, 0.5]}]')
    assert [one["type"] for one in told["sampling"]["guidance"]] == ["internal", "cfg"]
    # Times 1, 0.75, 0.5, 0.25.
    assert told["nfe"] == 6
    note = json.loads((tmp_path / "x" / "samples.json").read_text())
    assert note["sampling"]["guidance"] == told["sampling"]["guidance"]


def test_several_processes_draw_by_a_list_and_a_second_network_alike(runs, tmp_path, capsys):
    run, weak = runs
    guidance = f'guidance=["internal", {{type="autoguidance", network="{weak}", scale=1.5}}]'
    one = drawn(run, tmp_path / "one.npz", capsys, guidance, "batch_size=2")
    two = drawn(run, tmp_path / "two.npz", capsys, guidance, "batch_size=2", "--devices", "2")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert one["nfe"] == two["nfe"] == 8


def test_the_weak_network_is_known_by_its_hash(runs, tmp_path, capsys):
    run, weak = runs
    digest = sha256(weak / "model" / "model.safetensors")
    told = drawn(run, tmp_path / "x", capsys, f'guidance={{type="autoguidance", network="{weak}"}}')
    guidance = told["sampling"]["guidance"]
    assert guidance["weak"] == {"sha256": digest, "step": 6}
    assert (guidance["type"], guidance["network"], guidance["scale"]) == ("autoguidance", str(weak), 2.0)
    passport = thalweg_eval.evaluate(
        run,
        protocol="quick",
        settings=[
            *FAST,
            "count=12",
            f'sampling.guidance=[{{type="autoguidance", network="{weak}"}}, "cfg"]',
        ],
        work=tmp_path / "work",
    )
    auto, cfg = passport.conditions["sampling"]["guidance"]
    assert auto["weak"] == {"sha256": digest, "step": 6}
    assert cfg["type"] == "cfg"


def test_a_part_of_a_pass_is_a_part_of_an_evaluation_on_the_disk_too(runs, tmp_path, monkeypatch):
    from thalweg.generation.generate import generate

    def half(self, field):
        return lambda query: field(query) + 0 * field.heads(query.null(), field.facts.weak_heads)[0]

    monkeypatch.setattr(Internal, "__call__", half)
    run, _ = runs
    sampling = {"sampler": {"type": "euler", "steps": 3}, "guidance": "internal", "count": 5, "batch_size": 2}
    assert generate(run, tmp_path / "x", sampling)["nfe"] == 4.5


def test_a_run_shows_samples_by_its_list(tmp_path):
    sampling = {"sampler": {"type": "euler", "steps": 2}, "count": 4, "guidance": ["internal", "cfg"]}
    config = tiny(top={"sampling": sampling}, steps=2, sample_every=2)
    Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    assert (tmp_path / "run" / "samples" / "step-000002.png").is_file()
    network = thalweg.load(tmp_path / "run")
    own = thalweg.sample(network, labels=[0, 1], indices=range(2))
    stated = thalweg.sample(
        network, labels=[0, 1], indices=range(2), sampler=Euler(2), guidance=["internal", "cfg"]
    )
    assert own.nfe == stated.nfe == 4
    assert own.x.equal(stated.x)


def test_a_guidance_that_the_network_cannot_carry_ends_a_run_before_its_first_step(tmp_path):
    config = tiny(
        top={
            "branches": 1,
            "refiner": "none",
            "objectives": {"velocity": {}},
            "sampling": {"guidance": "internal"},
        }
    )
    with pytest.raises(
        ConfigError, match="internal guidance needs an intermediate head, and this network has none"
    ):
        Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
