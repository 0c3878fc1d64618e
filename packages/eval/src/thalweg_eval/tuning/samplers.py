"""A comparison of samplers from beginning to end; called again, it computes the points that are missing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.arguments import check_instance
from thalweg.config import dump
from thalweg.jobs.tasks import Progress
from thalweg.network_field import VelocityNetwork
from thalweg_eval.evaluation.subject import Named, loaded
from thalweg_eval.tuning.asked import Asked
from thalweg_eval.tuning.grids import Grid
from thalweg_eval.tuning.request import Request, circumstances, silent
from thalweg_eval.tuning.results import best_of, number_of
from thalweg_eval.tuning.sampler_page import page
from thalweg_eval.tuning.sampler_points import SamplerPoint, points_of
from thalweg_eval.tuning.sampler_results import RULE, cheapest, edge_of, row_of, verdict
from thalweg_eval.tuning.scorer import Scorer
from thalweg_eval.tuning.suited import suited


def tune_sampler(
    subject: str | Path | VelocityNetwork,
    *,
    out: str | Path,
    protocol: str | Path = "quick",
    samplers: Sequence[str | Mapping[str, Any]] = (),
    steps: Grid | None = None,
    tolerances: Grid | None = None,
    seeds: int = 3,
    by: str | None = None,
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
    """Evaluate one network by several samplers at several costs, all on the same noise, labels and reference.

    Guidance is that of the protocol. Interrupted, it is resumed when it is called again alike, and more
    samplers, steps or seeds compute what is new alone.

    Args:
        subject: a run's folder, a saved network, or a network in memory.
        out: the folder: ``results.json``, ``report.html``, and below ``points`` a passport of each point.
        protocol: a shipped one's name or a TOML file; its sampler is what is tuned.
        samplers: names, or tables with ``type`` and what stays as it is; by default all that are registered
            and can follow the network's field.
        steps: of samplers that take some, numbers or a text such as ``4,8,16``; 4, 8, 16, 32 and 64 by
            default.
        tolerances: ``rtol`` and ``atol`` of adaptive samplers; 0.1, 0.01 and 0.001 by default.
        seeds: how many of the samples' noise, from the protocol's on.
        by: the number to choose by, or its metric; by default the protocol's first.
        write: a TOML file for the protocol with the chosen sampler: of those not known to be worse than the
            best the one with the least NFE.
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
        ConfigError: settings are wrong, there is no such sampler, or the folder holds something else.
        DataError: images, weights or a point are missing or damaged.
        PluginError: a component cannot be imported.
        ThalwegError: samples are not finite, an adaptive sampler does not arrive, or a file cannot be
            written.
    """
    request = Request(
        tuned="sampler",
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
    check_instance("samplers", samplers, (list, tuple), "a list, such as ['heun', 'unipc']")
    points = points_of(samplers, steps, tolerances)

    def compute(asked: Asked, folder: Path, noise: list[int]) -> tuple[dict[str, Any], SamplerPoint]:
        return _tuned(asked, points if samplers else _suited(asked, points), folder, noise, by)

    return request.carried_out({"tuned": "sampler"}, "samplers, steps and tolerances", compute, page)


def _suited(asked: Asked, points: Sequence[SamplerPoint]) -> list[SamplerPoint]:
    facts = loaded(asked.network, asked.execution.devices[0]).facts
    return suited(points, facts, asked.base().config.sampling.guidance, asked.say)


def _tuned(
    asked: Asked, points: Sequence[SamplerPoint], out: Path, noise: list[int], by: str | None
) -> tuple[dict[str, Any], SamplerPoint]:
    """Everything that was found, and the point that is chosen."""
    scorer: Scorer[SamplerPoint] = Scorer(
        out, asked.read, asked.opened, str(asked.network.identity["checkpoint"]), asked.say
    )
    scored = scorer(points, noise, lambda passport: number_of(passport, by))
    first = scored[0].passports[0]
    number = number_of(first, by)
    higher = first.numbers[number]["better"] == "higher"
    best = best_of(scored, number, higher=higher)
    chosen, alike = cheapest(scored, number, higher=higher)
    edge = edge_of(best.point, points)
    return {
        "subject": str(first.subject["what"]),
        **asked.described(),
        "guidance": dump(asked.base().config.sampling)["guidance"],
        "seeds": noise,
        "by": number,
        "better": {name: one.get("better") for name, one in first.numbers.items()},
        "points": [row_of(one, best) for one in scored],
        "best": best.point.name,
        "chosen": row_of(chosen, best),
        "alike": [one.point.name for one in alike],
        "rule": RULE,
        "verdict": verdict(best, chosen, len(alike), number, len(noise)),
        "warnings": [edge] if edge else [],
        **circumstances(scorer.passports),
    }, chosen.point
