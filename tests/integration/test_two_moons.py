"""Two moons from end to end, by the command line: the quickest run that learns what has a known answer."""

import json
import math
from pathlib import Path

import pytest
import torch

import thalweg
from thalweg.cli.main import main
from thalweg.tensor_files import read_tensors

RECIPE = str(Path(__file__).parents[2] / "recipes" / "two-moons.toml")
NEAR = 0.15  # three standard deviations of the noise
COUNT = 1000


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """The recipe, trained; it asks for pictures, of which there are none."""
    folder = tmp_path_factory.mktemp("moons") / "run"
    assert main(["train", RECIPE, "--run-dir", str(folder), "training.sample_every=300"]) == 0
    return folder


@pytest.fixture(scope="module")
def data():
    return thalweg.build("dataset", "two_moons")


def held_out(data):
    return data.validation.batch(range(len(data.validation)), torch.Generator()).clean


def distances(data, x):
    """Of points to both moons, in the plane."""
    z = data.mean + data.std * x.double()
    angles = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    arcs = [(angles.cos(), angles.sin()), (1 - angles.cos(), 0.5 - angles.sin())]
    return torch.stack([torch.cdist(z, torch.stack(arc, dim=1)).amin(dim=1) for arc in arcs], dim=1)


def discrepancy(x, y):
    """The squared maximum mean discrepancy, unbiased, under Gaussian kernels of widths 1/4, 1/2 and 1."""

    def kernels(a, b):
        return sum(torch.exp(-torch.cdist(a, b).square() / (2 * s * s)) for s in (0.25, 0.5, 1.0))

    x, y = x.double(), y.double()
    n, m = len(x), len(y)
    return float(
        (kernels(x, x).sum() - 3 * n) / (n * (n - 1))
        + (kernels(y, y).sum() - 3 * m) / (m * (m - 1))
        - 2 * kernels(x, y).mean()
    )


def drawn(run_dir, labels=True, **options):
    network = thalweg.load(run_dir)
    chosen = [index % 2 for index in range(COUNT)] if labels else None
    return thalweg.sample(network, labels=chosen, indices=range(COUNT), batch_size=COUNT, **options).x


def lines(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("sampler", "share"),
    [({"type": "heun", "steps": 20}, 0.9), ({"type": "euler", "steps": 50}, 0.9),
     ({"type": "euler_maruyama", "steps": 100}, 0.9), ({"type": "dopri5"}, 0.9)],
    ids=lambda one: one["type"] if isinstance(one, dict) else "",
)  # fmt: skip
def test_samples_of_a_class_lie_on_its_moon(run_dir, data, sampler, share):
    own = distances(data, drawn(run_dir, sampler=sampler)).view(-1, 2, 2).diagonal(dim1=1, dim2=2)
    assert (own < NEAR).double().mean(dim=0).min() > share
    assert distances(data, torch.randn(COUNT, 2)).amin(dim=1).lt(NEAR).double().mean() < 0.5


def test_samples_cover_both_moons_from_end_to_end(run_dir, data):
    """The angle along the upper moon is uniform: a quarter of the samples lies in each quarter."""
    x = drawn(run_dir)[::2]
    z = data.mean + data.std * x.double()
    angles = torch.atan2(z[:, 1], z[:, 0]).clamp(0, math.pi - 1e-9)
    shares = torch.bincount((angles * 4 / math.pi).long(), minlength=4) / len(x)
    assert shares.min() > 0.17
    assert shares.max() < 0.33


@pytest.mark.parametrize("labels", [True, False], ids=["of classes", "unconditional"])
def test_samples_are_those_of_the_data(run_dir, data, labels):
    """Samples, of both classes or of none, are nearly as near to what was held out as other data are."""
    real, other = held_out(data), thalweg.build("dataset", {"type": "two_moons", "seed": 1})
    floor, noise = discrepancy(held_out(other), real), discrepancy(torch.randn(COUNT, 2), real)
    found = discrepancy(drawn(run_dir, labels=labels), real)
    assert abs(floor) < 0.01
    assert found < 0.02
    assert noise > 5 * found


def test_what_was_held_out_is_predicted_ever_better(run_dir):
    found = [line["validation/velocity"] for line in lines(run_dir) if "validation/velocity" in line]
    assert len(found) == 3
    assert found[-1] < found[0] < 2.4  # which is what predicting nothing costs: 1.2 E|V|^2 / 2


def test_points_are_drawn_as_no_picture(run_dir):
    assert not list(run_dir.rglob("*.png"))
    assert not (run_dir / "samples").exists()


def test_a_run_of_points_is_gone_on_with(run_dir, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    few = ["training.batch_size=32", "training.checkpoint_every=2", "training.validate_every=0"]
    assert main(["train", RECIPE, "--run-dir", str(whole), "training.steps=4", *few]) == 0
    assert main(["train", RECIPE, "--run-dir", str(halves), "training.steps=2", *few]) == 0
    assert main(["train", RECIPE, "--run-dir", str(halves), "training.steps=4", *few]) == 0
    ours, theirs = (thalweg.load(one).state_dict() for one in (whole, halves))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_command_draws_points_into_a_folder(run_dir, tmp_path, data, capsys):
    out = tmp_path / "points"
    assert main(["sample", str(run_dir), str(out), "count=200"]) == 0
    tensors = read_tensors(out / "samples.safetensors")
    assert tensors["x"].shape == (200, 2)
    assert (distances(data, tensors["x"]).amin(dim=1) < NEAR).double().mean() > 0.85
    assert sorted(one.name for one in out.iterdir()) == ["samples.json", "samples.safetensors"]


@pytest.mark.parametrize("name", ["points.npz", "points.tar"])
def test_points_are_not_written_as_images(run_dir, tmp_path, name, capsys):
    assert main(["sample", str(run_dir), str(tmp_path / name), "count=4"]) != 0
    said = capsys.readouterr().err
    assert "saving them as .npz, .tar or PNG, is for images alone" in said
    assert "(2,)" in said
    assert "save them as tensors in a folder" in said
    assert not list(tmp_path.iterdir())


def test_points_are_not_evaluated(run_dir, tmp_path, capsys):
    out = tmp_path / "x.json"
    assert main(["evaluate", str(run_dir), "count=10", "--protocol", "quick", "--out", str(out)]) != 0
    said = capsys.readouterr().err
    assert said.startswith("error: evaluating samples, or saving them")
    assert "is for images alone" in said
    assert "(2,)" in said
    assert not out.exists()


def test_summary_dry_run_and_report_speak_of_points(run_dir, tmp_path, capsys):
    assert main(["summary", RECIPE]) == 0
    assert main(["train", RECIPE, "--run-dir", str(tmp_path / "dry"), "--dry-run"]) == 0
    assert main(["report", str(run_dir), "--out", str(tmp_path / "report.html")]) == 0
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_data_of_any_shape_may_be_shown_as_pictures(tmp_path, monkeypatch):
    """A grid is drawn where a data set makes images of its samples, whatever their shape."""
    from thalweg.data.two_moons import TwoMoons

    def plotted(self, x):
        images = torch.zeros(len(x), 1, 9, 9, dtype=torch.uint8)
        column, row = ((x.clamp(-2, 2) + 2) * 2).round().long().T
        images[torch.arange(len(x)), 0, 8 - row, column] = 255
        return images

    monkeypatch.setattr(TwoMoons, "images", plotted)
    few = ["training.steps=2", "training.batch_size=8", "training.sample_every=1", "sampling.count=4"]
    assert main(["train", RECIPE, "--run-dir", str(tmp_path / "run"), *few]) == 0
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2
