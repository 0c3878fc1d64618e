"""Two processes do the same step as one, whatever the strategy."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from run_processes import TESTS, THALWEG, ended, start
from thalweg.cli.main import main
from thalweg_backbones.vision.efficientnet_lite0 import PACKAGE
from tiny_runs import lines, recipe, weights_differ

ALIGNED = [
    "objectives.alignment.teacher={type='lite0', precision='32-true'}",
    "objectives.alignment.channels=[8]",
    "objectives.alignment.stop_after=3",
]
# A head that is clipped by itself, measured and sampled by while the network is sharded.
HEADS = [
    "backbone.depth=4",
    "heads=[1]",
    "sampling.guidance={type='internal', scale='calibrated', after=1}",
]
LITE0 = pytest.mark.skipif(find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed")


@pytest.mark.parametrize(
    ("strategy", "accumulate", "more", "close"),
    [
        # Without the acceleration loss one layer gets no gradient, for which DDP must not wait.
        ("ddp", 1, ["objectives.acceleration=none"], 1e-5),
        ("fsdp", 2, ["objectives.acceleration=none", "backbone.checkpointing=true", *HEADS], 1e-5),
        ("fsdp", 1, ["training.precision=bf16-mixed"], 1e-3),
        # Weights of branches are measured by all, and each measures its own samples.
        ("ddp", 1, ["objectives.velocity={type='conflict_velocity', every=2, decay=0.5}"], 1e-5),
        # Projectors get none either once alignment has stopped.
        pytest.param("ddp", 1, ALIGNED, 1e-5, marks=LITE0),
        # How sums are rounded is the processor's; Adam takes small gradients for large ones.
        pytest.param("fsdp", 1, ALIGNED, 5e-5, marks=LITE0),
    ],
)
def test_two_processes_train_like_one_that_accumulates(
    tmp_path: Path, strategy: str, accumulate: int, more: list[str], close: float
) -> None:
    path = recipe(tmp_path, steps=5, max_grad_norm=0.3, sample_every=5)
    command = ["train", str(path), *more, "--device", "cpu"]
    together = start(
        [
            *THALWEG, *command, f"training.accumulate={accumulate}", "--devices", "2",
            "--strategy", strategy, "--run-dir", str(tmp_path / "two"),
        ]
    )  # fmt: skip
    alone = [f"training.accumulate={2 * accumulate}", "--run-dir", str(tmp_path / "one"), "--quiet"]
    assert main([*command, *alone]) == 0
    code, out, said = ended(together)
    assert (code, out.strip()) == (0, str(tmp_path / "two" / "model")), said
    assert "arning" not in said
    assert (
        f"16 = 2 processes{' x 2 micro-batches accumulated' if accumulate == 2 else ''} x {8 // accumulate}"
        in said
    )
    for two, one in zip(lines(tmp_path / "two"), lines(tmp_path / "one"), strict=True):
        assert two == pytest.approx(one, rel=10 * close)
        assert two["grad_norm"] > 0.3  # clipping took part
    assert weights_differ(tmp_path / "two", tmp_path / "one") < close
    with Image.open(tmp_path / "two" / "samples" / "step-000005.png") as picture:
        assert min(picture.size) >= 48


def test_a_module_that_stands_at_two_boundaries_is_sharded_once(tmp_path: Path) -> None:
    path = recipe(tmp_path, steps=4)
    shared = ["-p", str(TESTS / "shared_refiner.py"), "train", str(path), "refiner=shared", "branches=3"]
    command = [*THALWEG, *shared, "backbone.depth=3", "objectives.acceleration=none", "--device", "cpu"]
    fsdp = ["--devices", "2", "--strategy", "fsdp", "--run-dir", str(tmp_path / "two")]
    for more in (fsdp, ["training.accumulate=2", "--run-dir", str(tmp_path / "one")]):
        code, _, said = ended(start([*command, *more]))
        assert code == 0, said
    assert weights_differ(tmp_path / "two", tmp_path / "one") < 1e-5
