"""``thalweg quickstart``: training, sampling and scores once, on real digits."""

from pathlib import Path

import click

from thalweg.cli import console, options
from thalweg.visible import columns


@click.command("quickstart")
@options.out("runs, results and report", file=False, default=Path("quickstart"))
@click.option("--steps", default=400, show_default=True, help="Training steps of each network.")
@click.option("--samples", default=500, show_default=True, help="Samples of each way of sampling.")
@click.option("--sampler-steps", default=50, show_default=True, help="Steps of the SDE.")
@options.seed
@options.as_json
def command(out: Path, steps: int, samples: int, sampler_steps: int, seed: int, as_json: bool) -> None:
    """Train SiT and DeepFlow-2T on digits, sample them guided and unguided, write a report.

    Takes less than five minutes on two cores. The same command resumes after an interruption.
    """
    from thalweg.config import structure
    from thalweg_eval.quickstart.flow import REPORT, Settings, run

    chosen = {"steps": steps, "samples": samples, "sampler_steps": sampler_steps, "seed": seed}
    results = run(out, structure(Settings, chosen), console.say)
    if as_json:
        console.result_json(results)
        return
    formats = {"nfe": "g", "fd": ".2f", "recall": ".3f", "accuracy": ".3f"}
    rows = [
        [one["name"], *(f"{one[key]:{form}}" if key in one else "" for key, form in formats.items())]
        for one in [*results["ways"], {"name": "real digits", **results["real"]}]
    ]
    console.result(columns(rows, ("", "NFE", "Frechet distance", "recall", "accuracy")))
    console.result(f"report: {out / REPORT}")
