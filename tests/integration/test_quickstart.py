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
from thalweg.quickstart.twins import Settings, twins
from thalweg.training.batches import Batches
from thalweg.training.parts import build

TINY = ["--steps", "4", "--samples", "20", "--sampler-steps", "3"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart") / "out"
    assert main(["quickstart", "--out", str(out), *TINY]) == 0
    return out


def test_results_say_what_was_measured(finished):
    results = json.loads((finished / "results.json").read_text())
    assert [model["name"] for model in results["models"]] == ["SiT", "DeepFlow-2T"]
    for model in results["models"]:
        assert model["steps"] == 4
        assert model["seed"] == 0
        assert 0 <= model["accuracy"] <= 1
        assert model["frechet_distance"] > results["real"]["frechet_distance"] > 0
        assert model["seconds"] > 0
    assert results["models"][1]["parameters"] > results["models"][0]["parameters"]
    assert results["real"]["accuracy"] > 0.95
    assert "FID" not in json.dumps(results)


def test_the_report_is_one_file_that_holds_everything(finished):
    page = (finished / "report.html").read_text()
    assert page.count("<img") == 3
    assert page.count("<svg") == 3
    assert "branch 2" in page
    assert "held-out real digits" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_twins_have_one_backbone_one_data_order_and_one_noise():
    plans, weights = [], []
    for config in twins(Settings()).values():
        parts = build(config)
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


def test_again_is_quick_and_says_the_same(finished, capsys):
    before = json.loads((finished / "results.json").read_text())
    assert main(["quickstart", "--out", str(finished), *TINY, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    for one, other in zip(before["models"], after["models"], strict=True):
        assert one["accuracy"] == other["accuracy"]
        assert one["frechet_distance"] == other["frechet_distance"]


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


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path):
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
