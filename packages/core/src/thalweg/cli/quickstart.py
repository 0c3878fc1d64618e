"""``thalweg quickstart``: the whole way once, on real digits."""

from pathlib import Path

import click

from thalweg.cli import console
from thalweg.cli.local import LocalPath
from thalweg.visible import columns


@click.command("quickstart")
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default=Path("quickstart"),
    show_default=True,
    help="Folder for runs, results and report.",
)
@click.option("--steps", default=400, show_default=True, help="Training steps of each network.")
@click.option("--samples", default=400, show_default=True, help="Samples drawn from each network.")
@click.option("--sampler-steps", default=250, show_default=True, help="Steps of the SDE.")
@click.option("--seed", default=0, show_default=True, help="Of weights, data order and all noise.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(out: Path, steps: int, samples: int, sampler_steps: int, seed: int, as_json: bool) -> None:
    """Train SiT and its DeepFlow-2T twin on digits, draw from both, judge both, write a report.

    Takes under five minutes on two cores. The same command goes on after an interruption.
    """
    from thalweg.config import structure
    from thalweg.quickstart.flow import REPORT, run
    from thalweg.quickstart.twins import Settings

    chosen = {"steps": steps, "samples": samples, "sampler_steps": sampler_steps, "seed": seed}
    results = run(out, structure(Settings, chosen), console.say)
    if as_json:
        console.result_json(results)
        return
    rows = [
        (
            model["name"],
            f"{model['accuracy']:.3f}",
            f"{model['frechet_distance']:.2f}",
            f"{model['parameters']:,}",
            f"{model['seconds']:.0f}",
        )
        for model in results["models"]
    ]
    real = results["real"]
    rows.append(("real digits", f"{real['accuracy']:.3f}", f"{real['frechet_distance']:.2f}", "", ""))
    console.result(columns(rows, ("", "accuracy", "Frechet distance", "parameters", "training s")))
    console.result(f"report: {out / REPORT}")
