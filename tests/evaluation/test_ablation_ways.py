"""Axes of sampling: one network, evaluated several ways; axes of components keep the recipe's tables."""

from pathlib import Path

import pytest

from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.planning import plan

RECIPES = Path(__file__).parents[2] / "recipes"
TWIN = RECIPES / "digits-deepflow-2t.toml"


def planned(out, *axes, overrides=(), **options):
    return plan(read_ablation(TWIN, axes=axes, overrides=overrides, **{"seeds": 1, **options}), out)


def test_an_axis_keeps_the_table_of_the_recipes_own_refiner(tmp_path):
    (alone,) = planned(tmp_path, "training.steps=400")
    none, plain, vera = planned(tmp_path, "refiner=none,plain,vera")
    assert vera.config.refiner.channels == (128, 256, 128)
    assert vera.parameters == alone.parameters
    assert none.parameters < plain.parameters < vera.parameters


def test_an_axis_that_takes_an_objective_out_puts_it_back_as_it_was(tmp_path):
    without, with_ = planned(
        tmp_path,
        "objectives.acceleration=none,acceleration",
        overrides=("objectives.acceleration.weight=0.25",),
    )
    assert "acceleration" not in without.config.objectives
    assert with_.config.objectives["acceleration"].weight == 0.25


def test_the_dry_run_shows_parameters_and_what_is_trained_once(tmp_path, capsys):
    arguments = [
        "ablate",
        str(TWIN),
        "--axis",
        "refiner=plain,vera",
        "--axis",
        "sampling.guidance.scale=1.5,2.0",
    ]
    assert (
        main([*arguments, "--seeds", "2", "--times", "2", "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    )
    header, *rows, last = capsys.readouterr().out.splitlines()
    assert "trained as" in header
    assert len(rows) == 4
    assert rows[0].split("  ")[0] == "refiner=plain, sampling.guidance.scale=1.5"
    assert all("1,437,080" in row or "," in row for row in rows)
    assert 'sampling.guidance={"type" = "cfg", "scale" = 1.5, "interval" = [0.0, 1.0]}' in rows[0]
    assert last.endswith(
        "4 cells, 2 seeds each, in " + str(tmp_path / "out") + ": 4 trainings and 16 evaluations"
    )
    assert not (tmp_path / "out").exists()


def test_cells_that_differ_in_sampling_alone_share_network_and_folder(tmp_path):
    first, second, third = planned(
        tmp_path, "sampling.guidance={type='cfg', scale=1.5},{type='cfg', scale=2.0},none"
    )
    assert first.folder == second.folder == third.folder == first.base
    assert len({one.base for one in (first, second, third)}) == 3
    assert first.config == second.config == third.config
    assert first.network == "digits-deepflow-2t"
    assert third.settings == ("sampling.guidance=none",)
    assert [one.leads for one in (first, second, third)] == [True, False, False]


def test_what_the_recipe_has_is_what_the_axis_changes(tmp_path):
    """The protocol's sampler is another one; an axis of the recipe's keys starts from the recipe's."""
    few, many = planned(tmp_path, "sampling.sampler.steps=10,20", overrides=("sampling.sampler.last=0.1",))
    assert few.settings == ('sampling.sampler={"type" = "euler_maruyama", "steps" = 10, "last" = 0.1}',)
    assert many.settings != few.settings
    assert few.config.sampling.sampler.steps == 50, "the network's own run has the recipe's"


def test_cells_of_a_file_may_be_ways_too(tmp_path):
    file = tmp_path / "ways.toml"
    file.write_text(
        f'recipe = "{TWIN}"\n[cells]\n"as it is" = []\n"seed" = ["sampling.seed=7"]\n'
        '"other" = ["training.optimizer.lr=1e-3"]\n'
    )
    runs = plan(read_ablation(file, seeds=1), tmp_path / "out")
    assert [run.network for run in runs] == ["as it is", "as it is", "other"]
    assert [run.settings for run in runs] == [(), ("sampling.seed=7",), ()]


@pytest.mark.parametrize(
    ("axis", "says"),
    [
        ("sampling.count=10,20", r"changes sampling\.count, on which no score depends"),
        ("sampling.batch_size=10,20", r"changes sampling\.batch_size"),
        ("seed=1,2", "are trained and scored alike"),
        ("name=a,b", "are trained and scored alike"),
        ("training.checkpoint_every=10,20", "are trained and scored alike"),
        ('refiner=vera,{type="vera", channels=[128, 256, 128]}', "are trained and scored alike"),
        ("sampling.guidance.scale=1.8,1.80", "are trained and scored alike"),
        ("sampling.guidance.scale=1,high", "scale"),
        ("sampling.sampler=euler,eulr", "eulr"),
        ("sampling=1,2", "sampling: expected a table, got 1"),
    ],
)
def test_an_axis_that_would_show_nothing_is_refused_before_anything_is_trained(tmp_path, axis, says):
    with pytest.raises(ConfigError, match=says):
        planned(tmp_path, axis)


@pytest.mark.parametrize(
    ("stated", "setting", "refused"),
    [("{type = 'cfg'}", "none", False), ("none", "cfg", True)],
)
def test_guidance_is_scored_by_what_the_file_makes_of_the_protocol(tmp_path, stated, setting, refused):
    """The settings of a file stand above its protocol, as they do when a network is evaluated."""
    protocol, file = tmp_path / "protocol.toml", tmp_path / "ablation.toml"
    guidance = stated if stated.startswith("{") else f"'{stated}'"
    protocol.write_text(
        f"[sampling]\nguidance = {guidance}\n"
        "[features.all]\nextractor = 'small_classifier'\n[features.all.metrics.frechet_distance]\n"
    )
    file.write_text(
        f'recipe = "{TWIN}"\nseeds = 1\n'
        'overrides = ["training.condition_dropout=0.0", "sampling.guidance=none"]\n'
        f'evaluation = {{protocol = "{protocol}", settings = ["sampling.guidance={setting}"]}}\n'
        "[cells]\nfirst = []\n"
    )
    if refused:
        with pytest.raises(ConfigError, match="condition"):
            plan(read_ablation(file), tmp_path / "out")
    else:
        assert len(plan(read_ablation(file), tmp_path / "out")) == 1
