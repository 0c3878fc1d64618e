"""A fitted ladder beside the calibrated one and the best single head, on noise that nothing was fitted to."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from thalweg.generation.models import SavedModel
from thalweg_eval.evaluation.protocol import EvaluationConfig
from thalweg_eval.evaluation.subject import NetworkInMemory, loaded, open_network
from thalweg_eval.tuning.fitting import (
    FITTED,
    Fit,
    is_calibrated_ladder,
    ladder_of,
    minimised,
    start_of,
)
from thalweg_eval.tuning.points import LADDER, Point, Scan
from thalweg_eval.tuning.results import best_of, row_of
from thalweg_eval.tuning.scorer import Scored, Scorer


@attrs.frozen(eq=False)
class LadderFit:
    """A fit, and what came of it.

    Attributes:
        fit: the weights.
        target: the number that was minimised.
        seed: of the noise that it was minimised on.
        seeds: of the fresh noise.
        scored: on fresh noise: the unguided network first, the fitted ladder last.
        before: the same points on the noise of the fit.
        winner: the best on fresh noise.
    """

    fit: Fit
    target: str
    seed: int
    seeds: Sequence[int]
    scored: Sequence[Scored[Point]]
    before: Sequence[float]
    winner: Scored[Point]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "target": self.target,
            "seed": self.seed,
            "fresh_seeds": list(self.seeds),
            "heads": list(self.fit.heads),
            "start": list(self.fit.start),
            "weights": list(self.fit.weights),
            "values": list(self.fit.values),
            "points": [
                {**row_of(one, self.scored[0]), "target_where_fitted": before}
                for one, before in zip(self.scored, self.before, strict=True)
            ],
            "winner": self.winner.point.name,
        }


def ladder_heads(network: SavedModel | NetworkInMemory, scan: Scan, device: str) -> tuple[int, ...]:
    """Depths of the heads that a ladder reads; none where the network has none, which is refused later."""
    return scan.after or tuple(loaded(network, device).facts.weak_heads)


def fitted_ladder(
    scorer: Scorer[Point],
    scan: Scan,
    scored: Sequence[Scored[Point]],
    heads: tuple[int, ...],
    seeds: Sequence[int],
    config_of: Callable[[Point], EvaluationConfig],
    network: SavedModel | NetworkInMemory,
    data: Any,
    device: str,
    *,
    target: str,
    number: str,
    higher: bool,
    evaluations: int,
) -> LadderFit:
    """Fit a ladder's weights on the first seed, and score it on as many fresh ones as the scan had.

    Args:
        scorer: evaluates points, and keeps them.
        scan: what was scanned.
        scored: its points, single heads with them.
        heads: of the ladder.
        seeds: of the scan.
        config_of: the settings of a point.
        network: what is tuned.
        data: the data set of its run; None for what the run says.
        device: where networks run.
        target: the number that is minimised.
        number: the number that is chosen by.
        higher: whether more of that is better.
        evaluations: of the target, at most.

    Raises:
        ThalwegError: as of the scorer.
    """
    guided = [one for one in scored if one.point.at]
    ladder = best_of([one for one in guided if is_calibrated_ladder(one.point)], target, higher=False)
    single = best_of([one for one in guided if not is_calibrated_ladder(one.point)], number, higher=higher)
    references = [one for one in scored if not one.point.curve]
    ready = loaded(network, device)
    open_network(network, ready, config_of(ladder.point), device, data)  # measures the heads where nobody did
    calibration: Any = getattr(ready, "calibration", None)
    start = start_of(calibration, heads, ladder.point.at or 0.0, ladder.point.interval)
    words = ladder.point.curve.partition(LADDER)[2]
    tried: list[float] = []

    def value(weights: tuple[float, ...]) -> float:
        name = f"{LADDER}{words}, weights {' '.join(f'{one:g}' for one in weights)}"
        point = ladder_of(scan, weights, ladder.point, name)
        (found,) = scorer([point], seeds[:1], label=f"fit {len(tried) + 1}/{evaluations}")
        tried.append(found.numbers(target)[0])
        return tried[-1]

    weights, values = minimised(value, start, evaluations)
    fresh = [seeds[-1] + 1 + place for place in range(len(seeds))]
    fitted = ladder_of(
        scan, weights, ladder.point, f"{FITTED}{words}, {' '.join(f'{one:g}' for one in weights)}"
    )
    compared = [*references, ladder, single]
    found = scorer([*(one.point for one in compared), fitted], fresh)
    return LadderFit(
        fit=Fit(heads, start, weights, values),
        target=target,
        seed=seeds[0],
        seeds=fresh,
        scored=found,
        before=[*(one.numbers(target)[0] for one in compared), min(values)],
        winner=best_of(found, number, higher=higher),
    )
