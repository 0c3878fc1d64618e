"""What an ablation found, made up."""

from pathlib import Path

from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.planning import plan
from thalweg_eval.ablation.results import RunOutcome, StepScore, results

RECIPES = Path(__file__).parents[1] / "recipes"
TWIN = RECIPES / "digits-deepflow-2t.toml"
MADE = {
    "software": {"python": "3.11.7", "packages": {"torch": "2.14"}, "plugins": {"thalweg-core": "0.1"}},
    "made": ["2026-11-29T10:00:00+00:00", "2026-11-29T11:30:00+00:00"],
    "machines": ["Linux, cpu, 2 threads"],
}
NUMBERS = {
    "refiner=plain": ((10.0, 6.0), (12.0, 8.0), (14.0, 10.0)),
    # Less by 1.0, 1.1 and 0.9: t = -1 / (0.1 / sqrt(3)) with two degrees of freedom.
    "refiner=vera": ((9.0, 5.0), (11.0, 6.9), (13.0, 9.1)),
}


def ablation(*axes, **options):
    return read_ablation(TWIN, axes=axes or ("refiner=plain,vera",), times=2, **options)


def outcomes(runs):
    return [
        RunOutcome(
            run,
            {"samples": 2.0},
            [
                StepScore(step, 0.1 * step, {"distance": number}, f"{run.seed}.json", 50.0, 0)
                for step, number in zip(run.scored, NUMBERS[run.cell][run.seed], strict=True)
            ],
        )
        for run in runs
    ]


def found(done=6, out=Path("out")):
    asked = ablation()
    runs = plan(asked, out)
    more = {"better": {"distance": "lower"}, "command": "thalweg ablate", **MADE}
    return results(asked, runs, outcomes(runs[:done]), **more)
