import json
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from thalweg.errors import DataError, ThalwegError
from thalweg.training.metrics_file import MetricsFile
from thalweg.training.state import StepMeans


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def row(step: int) -> dict[str, torch.Tensor]:
    return {"loss": torch.tensor(1 / (step + 3)), "norm": torch.tensor(float(step))}


def test_means_since_the_last_time() -> None:
    means = StepMeans()
    for step in range(4):
        means.add(row(step))
    assert means.take(fabric())["norm"] == 1.5
    means.add(row(10))
    assert means.take(fabric())["norm"] == 10.0


@pytest.mark.parametrize("cut", range(1, 7))
def test_means_are_the_same_bits_wherever_they_were_saved(cut: int) -> None:
    whole, first, second = StepMeans(), StepMeans(), StepMeans()
    for step in range(7):
        whole.add(row(step))
        (first if step < cut else second).add(row(step))
        if step == cut - 1:
            second.restore(json.loads(json.dumps(first.state(fabric()))))
    assert second.take(fabric()) == whole.take(fabric())


def test_what_stops_is_averaged_over_the_steps_that_had_it() -> None:
    means, second = StepMeans(), StepMeans()
    for step in range(4):
        numbers = row(step)
        means.add(numbers if step < 2 else {"loss": numbers["loss"]})
        if step == 2:
            second.restore(json.loads(json.dumps(means.state(fabric()))))
    second.add({"loss": row(3)["loss"]})
    whole = means.take(fabric())
    assert whole == second.take(fabric())
    assert whole["norm"] == 0.5
    assert whole["loss"] == pytest.approx(sum(1 / (step + 3) for step in range(4)) / 4)


def test_parts_that_come_and_go_are_refused() -> None:
    means = StepMeans()
    means.add({"loss": torch.tensor(1.0)})
    means.add({"loss": torch.tensor(1.0), "part": torch.tensor(1.0)})
    with pytest.raises(ThalwegError, match="other parts"):
        means.take(fabric())


def test_resuming_removes_later_lines_and_one_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, step=0)
    for step in (1, 2):
        file.write({"step": step, "loss": 0.5})
    seal = file.sync()
    for step in (3, 4):
        file.write({"step": step, "loss": 0.5})
    file.close()
    with path.open("a") as raw:
        raw.write('{"step": 2, "lo')
    file = MetricsFile(path, 2, seal)
    assert file.newest == {"step": 2, "loss": 0.5}
    file.write({"step": 3, "loss": 0.25})
    file.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_what_is_not_finite_is_valid_json(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl", step=0)
    file.write({"step": 1, "loss": float("nan"), "norm": float("inf")})
    file.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": null, "norm": null}\n'


@pytest.mark.parametrize("text", ["loss,step\n", "{}\n", '{"step": "one"}\n', "[]\n"])
def test_another_file_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="no metrics file"):
        MetricsFile(path, step=0)
    assert path.read_text() == text
