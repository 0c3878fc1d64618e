"""The quick start from end to end, with tiny settings, through the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from thalweg.cli.main import main
from thalweg.training.batches import Batches
from thalweg.training.components import build_components
from thalweg_eval.quickstart.flow import Settings, configs
from thalweg_eval.quickstart.page import verdict

TINY = ["--steps", "4", "--samples", "20", "--sampler-steps", "3"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart") / "out"
    assert main(["quickstart", "--out", str(out), *TINY]) == 0
    return out


def test_results_say_what_was_measured(finished):
    results = json.loads((finished / "results.json").read_text())
    assert [one["name"] for one in results["networks"]] == ["SiT", "DeepFlow-2T"]
    for one in results["networks"]:
        assert one["steps"] == 4
        assert one["seed"] == 0
        assert one["seconds"] > 0
    assert results["networks"][1]["parameters"] > results["networks"][0]["parameters"]
    # An unguided pass a step, two for classifier-free guidance, and one by the head in the middle.
    assert [way["nfe"] for way in results["ways"]] == [3, 6, 3, 6, 3, 3]
    assert [[one["type"] for one in way["guidance"]] for way in results["ways"]] == [
        [], ["cfg"], ["internal"], ["internal", "cfg"], [], ["internal"],
    ]  # fmt: skip
    for way in results["ways"]:
        assert 0 <= way["accuracy"] <= 1
        assert 0 <= way["recall"] <= 1
        assert way["fd"] > results["real"]["fd"] > 0
    # The scale is the best of those that were tried.
    best = min(results["scan"], key=lambda one: one["fd"])["scale"]
    assert results["ways"][1]["guidance"] == [{"type": "cfg", "scale": best}]
    assert results["real"]["accuracy"] > 0.95
    assert "FID" not in json.dumps(results)


def test_the_report_is_one_file_that_holds_everything(finished):
    page = (finished / "report.html").read_text()
    assert page.count("<img") == 7
    assert page.count("<svg") == 4
    assert "branch 2" in page
    assert "head after 3" in page
    assert "held-out real digits" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_twins_have_one_backbone_one_data_order_and_one_noise():
    plans, weights = [], []
    for config in configs(Settings()).values():
        parts = build_components(config)
        batches = Batches(
            parts.dataset.train,
            parts.network.facts,
            parts.planner,
            parts.network.interpolant,
            seed=config.seed,
            batch_size=config.training.batch_size,
            shards=1,
            condition_dropout=config.training.condition_dropout,
        )
        batch = batches.read(7, 0)
        plans.append((batches.plan(batch, 7, 0), batch))
        weights.append(parts.network.backbone.state_dict())
    (plan, batch), (twin_plan, twin_batch) = plans
    assert torch.equal(plan.x_t, twin_plan.x_t)
    assert torch.equal(plan.times[0], twin_plan.times[0])
    assert torch.equal(batch.condition.labels, twin_batch.condition.labels)
    assert torch.equal(batch.condition.dropped, twin_batch.condition.dropped)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def told(better):
    """The verdict where internal guidance is better, or worse, than all else."""
    ways = [
        {"name": name, "fd": 10.0, "recall": 0.7, "accuracy": 0.9, "nfe": nfe, "samples": 100}
        for name, nfe in (("SiT", 50), ("SiT, cfg", 100), ("SiT, internal", 50), ("SiT, both", 100),
                          ("DeepFlow-2T", 50), ("DeepFlow-2T, internal", 50))
    ]  # fmt: skip
    ways[2] |= {"fd": 8.0 if better else 12.0, "recall": 0.75 if better else 0.6}
    network = {"parameters": 100, "seconds": 10.0, "beside": {}, "steps": 4}
    networks = [{**network, "name": "SiT"}, {**network, "name": "DeepFlow-2T", "parameters": 150}]
    return " ".join(verdict({"ways": ways, "networks": networks}))


def test_the_page_says_which_way_is_better_whichever_it_is():
    won, lost = told(better=True), told(better=False)
    assert won.startswith("SiT, internal comes nearest to the real digits here: 8, at 50 network")
    assert "SiT, internal against SiT: 2 nearer (8 and 10), recall +0.050, accuracy +0.000, 1 times" in won
    assert "SiT, internal against SiT, cfg: 2 nearer (8 and 10), recall +0.050" in won
    assert "0.5 times the evaluations" in won
    assert "SiT, internal comes nearest" not in lost
    assert "SiT, internal against SiT: 2 further away (12 and 10), recall -0.100" in lost
    assert "1.50 times the parameters of SiT" in won


def test_again_is_quick_and_says_the_same(finished, capsys):
    before = json.loads((finished / "results.json").read_text())
    assert main(["quickstart", "--out", str(finished), *TINY, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["ways"] == before["ways"]
    assert after["scan"] == before["scan"]


def test_other_settings_in_the_same_folder_are_refused(finished, capsys):
    assert main(["quickstart", "--out", str(finished), *TINY, "--seed", "1"]) == 2
    assert "seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--steps", "0"], ["--samples", "3"], ["--steps", "many"], ["--out", "/dev/null/x"]]
)
def test_wrong_arguments_are_named(wrong, capsys, tmp_path):
    code = main(["quickstart", "--out", str(tmp_path / "out"), *TINY, *wrong])
    assert code in (1, 2)
    error = capsys.readouterr().err
    assert error.strip()
    assert "Traceback" not in error


def test_ctrl_c_saves_and_the_same_command_resumes(tmp_path):
    out = tmp_path / "out"
    start = "from thalweg.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", start, "quickstart", "--out", str(out), *TINY]
    command[command.index("4")] = "5000"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    metrics = out / "sit" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted and saved" in error
    assert not (out / "results.json").exists()
    assert list((out / "sit" / "checkpoints").iterdir())
