"""A tuning of guidance from beginning to end; called again, it computes the points that are missing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.arguments import check_instance, check_integers
from thalweg.errors import ConfigError
from thalweg.jobs.tasks import Progress
from thalweg.network_field import VelocityNetwork
from thalweg.passport import Passport
from thalweg_eval.evaluation.subject import Named
from thalweg_eval.tuning.asked import Asked
from thalweg_eval.tuning.comparison import LadderFit, fitted_ladder, ladder_heads
from thalweg_eval.tuning.fitting import EVALUATIONS, TARGETS, single_heads
from thalweg_eval.tuning.grids import Grid, Intervals, grid_of, intervals_of
from thalweg_eval.tuning.page import page
from thalweg_eval.tuning.points import LADDER, Point, Scan, scan_of
from thalweg_eval.tuning.request import Request, circumstances, silent
from thalweg_eval.tuning.results import best_of, edge_of, number_of, row_of, verdict
from thalweg_eval.tuning.scorer import Scorer


def tune_guidance(
    subject: str | Path | VelocityNetwork,
    *,
    out: str | Path,
    protocol: str | Path = "quick",
    method: str | Mapping[str, Any] = "internal",
    scales: Grid | None = None,
    strengths: Grid | None = None,
    intervals: Intervals | None = None,
    after: Sequence[int] = (),
    around: Sequence[str | Mapping[str, Any]] = (),
    seeds: int = 1,
    by: str | None = None,
    fit: str | None = None,
    evaluations: int = 60,
    write: str | Path | None = None,
    settings: Sequence[str] = (),
    reference: Named | None = None,
    devices: int | str = 1,
    device: str = "auto",
    batch_size: int = 64,
    work: str | Path | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = silent,
    data: Any = None,
    command: str = "",
) -> dict[str, Any]:
    """Evaluate one network under a grid of guidance, all on the same noise, labels and reference.

    Interrupted, it is resumed when it is called again alike, and a larger grid computes what is new alone.

    Args:
        subject: a run's folder, a saved network, or a network in memory.
        out: the folder: ``results.json``, ``report.html``, and below ``points`` a passport of each point.
        protocol: a shipped one's name or a TOML file; its guidance is what is tuned.
        method: the guidance: a name, or a table with ``type`` and what stays as it is.
        scales: of it, numbers or a text such as ``1:3:0.25``. Without scales and strengths the usual ones.
        strengths: of calibrated ``internal`` guidance, or of a ladder.
        intervals: pairs of times, or a text such as ``0:1,0.3:1``; by default that of the method.
        after: depths of the heads that it reads, a curve for each; of a ladder those of its heads.
        around: guidance around it, from the inside outwards, the same for all points.
        seeds: how many of the samples' noise, from the protocol's on.
        by: the number to choose by, or its metric; by default what is fitted, or the protocol's first.
        fit: of a ladder: ``frechet_distance`` or ``kid``, by which its weights are fitted on samples of the
            first seed; the choice is then made on seeds that nothing was fitted or scanned on.
        evaluations: of that fit, at most.
        write: a TOML file for the protocol with the best guidance.
        settings: ``key=value`` changes of the protocol.
        reference: as of :func:`thalweg_eval.evaluate`, as are all that follow but the last.
        devices: processes that share the work.
        device: where networks run.
        batch_size: images at a time.
        work: the folder for unfinished work and reference statistics.
        progress: called with what is done.
        say: shows one line of progress.
        data: the data set of the subject's run, instead of the one that it names.
        command: how it was called, for the report.

    Returns:
        What ``results.json`` holds, without credentials.

    Raises:
        ConfigError: settings are wrong, the network cannot be guided so, or the folder holds something else.
        DataError: images, weights or a point are missing or damaged.
        PluginError: a component cannot be imported.
        ThalwegError: samples are not finite, or a file cannot be written.
    """
    request = Request(
        tuned="guidance",
        subject=subject,
        out=out,
        protocol=protocol,
        seeds=seeds,
        write=write,
        settings=settings,
        reference=reference,
        devices=devices,
        device=device,
        batch_size=batch_size,
        work=work,
        progress=progress,
        say=say,
        data=data,
        command=command,
    )
    check_instance("around", around, (list, tuple), "a list, such as ['cfg']")
    scan = scan_of(
        method,
        scales=None if scales is None else grid_of("scales", scales, "1:3:0.25"),
        strengths=None if strengths is None else grid_of("strengths", strengths, "0,1,2,3,4"),
        intervals=() if intervals is None else intervals_of(intervals),
        after=tuple(check_integers("after", after, "[3]")),
        around=around,
    )
    scan.grid()
    _check_fit(fit, scan)
    EVALUATIONS.check("evaluations", evaluations)

    def compute(asked: Asked, folder: Path, noise: list[int]) -> tuple[dict[str, Any], Point]:
        return _tuned(asked, scan, folder, noise, by, fit, evaluations)

    bound = {"method": dict(scan.method), "around": [dict(one) for one in scan.around]}
    return request.carried_out(bound, "method, and what is around it by around", compute, page)


def _tuned(
    asked: Asked,
    scan: Scan,
    out: Path,
    noise: list[int],
    by: str | None,
    fit: str | None,
    evaluations: int,
) -> tuple[dict[str, Any], Point]:
    """Everything that was found, and the point that is chosen."""
    scorer: Scorer[Point] = Scorer(
        out, asked.read, asked.opened, str(asked.network.identity["checkpoint"]), asked.say
    )
    points = scan.points()
    heads = () if fit is None else ladder_heads(asked.network, scan, asked.execution.devices[0])
    points += single_heads(scan, heads) if heads else []

    def ranked(passport: Passport) -> None:
        number_of(passport, by or fit)
        number_of(passport, fit)

    scored = scorer(points, noise, ranked)
    baseline = scored[0]
    numbers = baseline.passports[0].numbers
    number = number_of(baseline.passports[0], by or fit)
    higher = numbers[number]["better"] == "higher"
    chosen, rows = best_of(scored, number, higher=higher), [row_of(one, baseline) for one in scored]
    fresh: LadderFit | None = None
    if fit is not None:
        fresh = fitted_ladder(
            scorer,
            scan,
            scored,
            heads,
            noise,
            lambda point: asked.read(point, noise[0]).config,
            asked.network,
            asked.data,
            asked.execution.devices[0],
            target=number_of(baseline.passports[0], fit),
            number=number,
            higher=higher,
            evaluations=evaluations,
        )
        chosen = fresh.winner
    edge = edge_of(best_of(scored, number, higher=higher).point, points)
    best = row_of(chosen, baseline) if fresh is None else row_of(chosen, fresh.scored[0])
    return {
        "subject": str(baseline.passports[0].subject["what"]),
        **asked.described(),
        "method": dict(scan.method),
        "around": [dict(one) for one in scan.around],
        "seeds": noise,
        "by": number,
        "better": {name: one.get("better") for name, one in numbers.items()},
        "points": rows,
        "best": best,
        "verdict": verdict(best, number, len(noise)),
        "warnings": [edge] if edge else [],
        "fit": None if fresh is None else fresh.plain(),
        **circumstances(scorer.passports),
    }, chosen.point


def _check_fit(fit: str | None, scan: Scan) -> None:
    if fit is None:
        return
    if scan.type != LADDER:
        raise ConfigError(
            f"fit finds the weights of a ladder, and the method is {scan.type}; take method ladder"
        )
    if "weights" in scan.method:
        raise ConfigError("the ladder's weights are stated and fitted; do one of the two")
    if fit not in TARGETS:
        raise ConfigError(f"fit is '{fit}'; weights are fitted to {' or '.join(TARGETS)}")
