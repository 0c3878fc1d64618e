"""Recipes that cannot be read, and runs that cannot be begun."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

import thalweg
from argument_mistakes.making import Mistake


def mistakes(folder: Path) -> list[Mistake]:
    """Recipes that cannot be read, and runs that cannot be begun."""
    recipe, run = folder / "recipe.toml", folder / "run"
    config = thalweg.load_config(recipe)

    def trained(*given: Any, **options: Any) -> Callable[[], Any]:
        fixed = {"accelerator": "cpu", "devices": 1, "quiet": True}
        return lambda: thalweg.Trainer(*given, **{**fixed, **options})

    return [
        Mistake(
            "overrides in a string",
            lambda: thalweg.load_config(recipe, "training.steps=4"),
            "overrides",
            "'training.steps=4'",
            "[",
        ),
        Mistake(
            "overrides in a table",
            lambda: thalweg.load_config(recipe, {"training.steps": 4}),
            "overrides",
            "dict",
        ),
        Mistake(
            "overrides in pairs",
            lambda: thalweg.load_config(recipe, [("training.steps", 4)]),
            "overrides[0]",
            "('training.steps', 4)",
            "string",
        ),
        Mistake("overrides of a number", lambda: thalweg.load_config(recipe, 4), "overrides", "4"),
        Mistake("a recipe of none", lambda: thalweg.load_config(None), "path", "None"),
        Mistake("a recipe in a table", lambda: thalweg.load_config({"name": "x"}), "path", "dict"),
        Mistake("a recipe that is a folder", lambda: thalweg.load_config(folder), "cannot be read"),
        Mistake(
            "training of a path", trained(str(recipe), run), "config", "recipe.toml", "thalweg.load_config"
        ),
        Mistake("training of a Path", trained(recipe, run), "config", "thalweg.load_config"),
        Mistake("training of a table", trained({"name": "x"}, run), "config", "dict", "thalweg.load_config"),
        Mistake("training in the wrong order", trained(run, config), "config", "thalweg.load_config"),
        Mistake(
            "a config of halves",
            lambda: attrs.evolve(config, seed=0.5),
            "seed",
            "0.5",
            "integer",
        ),
        Mistake(
            "a config of training in halves",
            lambda: attrs.evolve(config.training, log_every=4.5),
            "log_every",
            "4.5",
            "integer",
        ),
        Mistake(
            "training in words",
            trained(
                attrs.evolve(config, training=attrs.evolve(config.training, async_checkpoints="yes")), run
            ),
            "training.async_checkpoints",
            "'yes'",
        ),
        Mistake("training nowhere", trained(config, None), "run_dir", "None"),
        Mistake("training in a number", trained(config, 3), "run_dir", "3"),
        Mistake("training of a name", trained(config, run, network="dit"), "network", "'dit'"),
        Mistake("training on a path", trained(config, run, dataset="digits"), "dataset", "'digits'"),
        Mistake("training to a list", trained(config, run, objectives=["velocity"]), "objectives", "list"),
        Mistake(
            "training to words",
            trained(config, run, objectives={"velocity": "velocty"}),
            "objectives.velocity",
            "'velocty'",
        ),
        Mistake("training by half a device", trained(config, run, devices=1.5), "devices", "1.5"),
        Mistake("training by no device", trained(config, run, devices=0), "devices", "0"),
        Mistake("training by no machine", trained(config, run, nodes=0), "nodes", "0"),
        Mistake("training by a strange strategy", trained(config, run, strategy="ddpp"), "strategy", "ddpp"),
        Mistake(
            "training on a strange accelerator",
            trained(config, run, accelerator="nvidia"),
            "accelerator",
            "nvidia",
        ),
        Mistake("training under a number", trained(config, run, fabric=1), "fabric", "1"),
        Mistake("training with no patience", trained(config, run, timeout=0), "timeout", "0"),
    ]
