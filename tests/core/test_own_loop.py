"""Loops of one's own: those of the tutorial, as they stand there, against the Trainer to the bit."""

import contextlib
import io
import os
import re
from pathlib import Path

import attrs
import pytest
import torch
from torch.utils.data import DataLoader

import thalweg
from thalweg import checkpoint
from thalweg.config import RunConfig, structure
from thalweg.errors import ConfigError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tutorials/own-loop.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PARTS, PLAIN, SAMPLES, FABRIC, OWN, TRAINER = BLOCKS
STEPS = 5
PATH = thalweg.Interpolant.named("linear")


def run(*blocks, **names):
    """What blocks of the page leave behind; of fewer steps, and what they print is what they say."""
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block.replace("steps=40", f"steps={STEPS}"), "own-loop.md", "exec"), names)
        assert printed.getvalue().splitlines() == re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
    return names


def config(**training):
    return structure(
        RunConfig,
        {
            "name": "own",
            "data": "two_moons",
            "branches": 2,
            "backbone": {"type": "mlp", "width": 32, "depth": 4},
            "refiner": {"type": "vera", "channels": [32]},
            "plan": {"time_sampler": "uniform"},
            "objectives": {"velocity": {}, "acceleration": {}},
            "training": {
                "steps": STEPS,
                "batch_size": 512,
                "optimizer": {"type": "adamw", "lr": 5e-3},
                "average": {"decay": 0.9, "warmup": False},
                "precision": "32-true",
                "compile": "off",
                "validate_every": 0,
                **training,
            },
        },
    )


def trained(folder, **training):
    """Weights, averages and the whole training state of the Trainer, by the checkpoint's groups."""
    thalweg.Trainer(config(**training), folder, accelerator="cpu", devices=1, quiet=True).train()
    newest = checkpoint.checkpoints(folder / "checkpoints")[-1]
    found = {}
    for group in ("network", "ema"):
        tensors = checkpoint.TensorGroup(newest, group)
        found[group] = {name: tensors.read(name) for name in tensors.shapes}
    return found


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    different = [name for name in theirs if not torch.equal(ours[name], theirs[name])]
    assert not different
    return True


def moved(weights):
    """Whether training has changed every matrix of the blocks."""
    return all(tensor.any() for name, tensor in weights.items() if "modulation.weight" in name)


@pytest.mark.parametrize("loop", [PLAIN, FABRIC, OWN.partition("\n\n\n")[2]], ids=["torch", "fabric", "own"])
def test_a_loop_is_short(loop):
    """With all that it stands on; without the line that shows what came of it."""
    lines = [line for line in f"{PARTS}\n{loop}".splitlines() if line and not line.startswith("print")]
    assert len(lines) <= 25


def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink(ROOT / "recipes", tmp_path / "recipes")  # noqa: PTH211 - a name in the folder of the page
    run(*BLOCKS)


def test_plain_torch_is_the_trainer(tmp_path):
    names = run(PARTS, PLAIN)
    expected = trained(tmp_path / "run")
    assert same(names["network"].state_dict(), expected["network"])
    assert same(names["ema"].state_dict(), expected["ema"])
    assert moved(expected["network"])


def test_fabric_is_the_trainer(tmp_path):
    names = run(PARTS, PLAIN, FABRIC)  # which says that both are the same
    assert same(names["ours"].network.state_dict(), trained(tmp_path / "run")["network"])


def test_an_own_optimiser_is_the_trainers_with_it(tmp_path):
    names = run(PARTS, OWN)

    def lion(parameters, fused):
        return names["Lion"](parameters.values())

    expected = trained(tmp_path / "run", optimizer=lion)["network"]
    assert same(names["own"].network.state_dict(), expected)
    assert moved(expected)


def test_shards_of_one_step_are_those_of_accumulation(tmp_path):
    names = run(PARTS)
    losses, first = names["parts"](STEPS, shards=2, shard=0)
    _, second = names["parts"](STEPS, shards=2, shard=1)
    optimizer = torch.optim.AdamW(losses.parameters(), lr=5e-3, weight_decay=0.0, fused=True)
    for step in range(STEPS):
        for batches in (first, second):
            batch = batches[step]
            assert len(batch.clean) == 256
            (losses(batches.plan(batch, step), batch, step)["loss"] / 2).backward()
        torch.nn.utils.clip_grad_norm_(losses.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert same(losses.network.state_dict(), trained(tmp_path / "run", accumulate=2)["network"])


def batches(steps=6, **options):
    return run(PARTS)["parts"](steps, **options)[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_batches_in_order(workers):
    made = batches()
    loader = DataLoader(made, batch_size=None, num_workers=workers)
    assert len(loader) == 6
    found = list(loader)
    assert len(found) == 6
    for step, batch in enumerate(found):
        expected = made.read(step, 0)
        assert torch.equal(batch.clean, expected.clean)
        assert torch.equal(batch.condition.labels, expected.condition.labels)
        assert torch.equal(batch.condition.dropped, expected.condition.dropped)


def test_a_batch_is_that_of_its_step_whenever_it_is_read():
    made = batches()
    later, sooner = made[4], made[1]
    assert torch.equal(made[1].clean, sooner.clean)
    assert not torch.equal(later.clean, sooner.clean)
    plan = made.plan(later, 4)
    assert torch.equal(plan.noise, batches().plan(later, 4, 0).noise)
    assert not torch.equal(plan.noise, made.plan(later, 3).noise)


def test_they_end_and_do_not_count_backwards():
    made = batches(steps=2)
    assert (len(made), len(list(made))) == (2, 2)
    for step in (2, 10**12, -1):
        with pytest.raises(IndexError, match=rf"no step {step};.* 2$"):
            made[step]


def test_without_steps_they_have_no_length():
    made = batches(steps=None)
    assert len(made[10**6].clean) == 512
    with pytest.raises(ConfigError, match="steps="):
        len(made)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "batch_size"), ({"seed": -1}, "seed"), ({"steps": 0}, "steps"),
        ({"shards": 0}, "shards"), ({"shards": 3}, "3 shards cannot share"), ({"shard": 1}, "shard"),
        ({"shards": 2, "shard": -1}, "shard"), ({"condition_dropout": 1.5}, "condition_dropout"),
    ],
)  # fmt: skip
def test_bad_numbers_are_refused(options, said):
    data = thalweg.build("dataset", "two_moons")
    planner = batches()._planner
    arguments = {"seed": 0, "batch_size": 4, "steps": 2, **options}
    with pytest.raises(ConfigError, match=said):
        thalweg.Batches(data.train, data.facts, planner, PATH, **arguments)


def test_parts_are_built_by_name_table_or_config():
    facts = thalweg.Facts(shape=(2,))
    for part in ("velocity", {"type": "velocity", "weight": 1.0}):
        assert thalweg.build("objective", part, facts).weight == 1.0
    assert thalweg.build("dataset", {"type": "two_moons", "samples": 10}).facts.shape == (2,)


def test_an_importer_is_given_none_in_place_of_facts():
    # Its template has no default for them, so that a stranger's need not have one.
    @attrs.frozen
    class Told:
        """An importer's config."""

        def build(self, facts: thalweg.Facts | None) -> object:
            """Build it."""
            assert facts is None
            return self

    part = Told()
    assert thalweg.build("importer", part) is part


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("objective", "velocity"), "facts are needed"),
        (("objective", "velocty", thalweg.Facts(shape=(2,))), "did you mean 'velocity'"),
        (("objectiv", "velocity"), "did you mean 'objective'"),
        (("logger", "csv"), r"\[loggers\]"),
    ],
)
def test_what_cannot_be_built_is_said(arguments, said):
    with pytest.raises(thalweg.ThalwegError, match=said):
        thalweg.build(*arguments)
