"""A reference that was fetched by name."""

import json

import numpy as np
import pytest

import thalweg
import thalweg_eval
from evaluated import FAST, npz, pictures, run_folder
from plugin_makers import plugins_of_one_test
from thalweg import DataError
from thalweg.cli.main import main
from weights_makers import plugin_file

TABLE = {
    "real": {
        "what": "real images",
        "licence": "MIT",
        "source": "https://example.org",
        "files": [{"name": "real.npz", "urls": ["https://example.org/real.npz"]}],
    }
}
METRIC = [
    *("--metrics", "frechet_distance", "--extractor", "small_classifier", "--json", "--device", "cpu"),
    "features.small_classifier.extractor.steps=2",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THALWEG_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights/real").mkdir(parents=True)
    with plugins_of_one_test():
        thalweg.use_file(plugin_file(tmp_path, TABLE))
        yield tmp_path


def test_images_are_named_on_the_command_line_and_from_python(folder, capsys):
    samples, work = npz(folder / "a.npz", 30), ["--work", str(folder / "work")]
    assert main(["evaluate", str(samples), "--reference", "weights:real", *METRIC, *work]) == 4
    assert "'thalweg weights get real' fetches them" in capsys.readouterr().err
    npz(folder / "weights/real/real.npz", 30, seed=1)
    assert main(["evaluate", str(samples), "--reference", "weights:real", *METRIC, *work]) == 0
    by_name = json.loads(capsys.readouterr().out)
    there = str(folder / "weights/real/real.npz")
    assert main(["evaluate", str(samples), "--reference", there, *METRIC, *work]) == 0
    by_path = json.loads(capsys.readouterr().out)
    assert by_name["numbers"] == by_path["numbers"]
    assert by_name["conditions"] == by_path["conditions"]
    found = thalweg_eval.evaluate(
        samples, reference="weights:real", metrics=["frechet_distance"], extractor="small_classifier",
        settings=["features.small_classifier.extractor.steps=2"], work=folder / "work", device="cpu",
    )  # fmt: skip
    assert found.plain()["numbers"] == by_path["numbers"]


def test_tuning_takes_a_name(folder, capsys):
    run = run_folder(folder / "run")
    npz(folder / "weights/real/real.npz", 30, seed=1)
    words = ["tune", "guidance", str(run), "--reference", "weights:real", "--out", str(folder / "out")]
    words += ["--protocol", "quick", "count=20", *FAST, "--scales", "1,2", "--device", "cpu"]
    assert main([*words, "--work", str(folder / "work")]) == 0, capsys.readouterr().err


def test_weights_that_hold_no_reference_are_refused(folder):
    np.savez(folder / "weights/real/real.npz", other=pictures(3))
    with pytest.raises(DataError):
        thalweg_eval.evaluate(
            npz(folder / "a.npz", 30), reference="weights:real", metrics=["fid"], work=folder / "work"
        )
