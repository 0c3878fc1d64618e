"""A tuning from beginning to end; called again, it computes the points that are missing."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.arguments import AT_ONCE, REPEATS, check_instance, check_integers, check_path, check_texts
from thalweg.devices import devices_of
from thalweg.documents import write_document, write_text
from thalweg.errors import ConfigError
from thalweg.folders import refuse_links
from thalweg.jobs.pool import check_alone
from thalweg.jobs.tasks import Progress
from thalweg.network_field import VelocityNetwork
from thalweg.passport import Passport
from thalweg.storage import cache_folder, redacted
from thalweg.storage.places import check_folder, local_path, plain_place
from thalweg.storage.redaction import redacted_plain
from thalweg_eval.ablation.folder import alone
from thalweg_eval.evaluation.accumulate import SAVE_SECONDS, Execution
from thalweg_eval.evaluation.arguments import check_shared, check_types
from thalweg_eval.evaluation.provenance import software
from thalweg_eval.evaluation.subject import Named, NetworkInMemory, local, network_of
from thalweg_eval.report import render
from thalweg_eval.report.sections import machine_in_words
from thalweg_eval.tuning.asked import Asked
from thalweg_eval.tuning.comparison import LadderFit, fitted_ladder, ladder_heads
from thalweg_eval.tuning.fitting import EVALUATIONS, TARGETS, single_heads
from thalweg_eval.tuning.folder import REPORT, RESULTS, claim
from thalweg_eval.tuning.grids import Grid, Intervals, grid_of, intervals_of
from thalweg_eval.tuning.page import page
from thalweg_eval.tuning.points import LADDER, Scan, scan_of
from thalweg_eval.tuning.results import best_of, edge_of, number_of, row_of, verdict
from thalweg_eval.tuning.scorer import Scored, Scorer
from thalweg_eval.tuning.written import check_written, write_protocol

_GUIDANCE = "sampling.guidance"


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
    say: Callable[[str], None] = lambda _: None,
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
    check_alone()
    check_types(
        subject=subject,
        reference=reference,
        metrics=(),
        extractor=None,
        protocol=protocol,
        paths={"out": out, "write": write, "work": work},
        functions={"say": say, "progress": _silent if progress is None else progress},
        save_seconds=SAVE_SECONDS,
    )
    check_path("out", out, "the folder of the tuning")
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
    settings = check_texts("settings", settings, "['count=1000']")
    if any(one.partition("=")[0].strip().startswith(_GUIDANCE) for one in settings):
        raise ConfigError(
            f"{_GUIDANCE} is what is tuned; state it by method, and what is around it by around"
        )
    REPEATS.check("seeds", seeds)
    EVALUATIONS.check("evaluations", evaluations)
    batch_size = AT_ONCE.check("batch_size", batch_size)
    out = local_path(out, "out")
    check_folder(out, "out")
    target = None if write is None else local_path(write, "write")
    places = devices_of(device, devices)
    check_shared(len(places), subject=subject, reference=reference)
    if target is not None:
        check_written(target)
    with contextlib.ExitStack() as stack:
        named = plain_place(subject) if isinstance(subject, str | Path) else subject
        at, reference_at = local(named, stack), local(reference, stack)
        network = network_of(at)
        if network is None:
            raise ConfigError(
                f"{redacted(str(named))} holds no network whose guidance could be tuned; give a run or a "
                "saved network"
            )
        if isinstance(network, NetworkInMemory) and device == "auto":
            places = [network.home]
        execution = Execution(
            cache_folder() / "evaluation" if work is None else local_path(work, "work"),
            places,
            batch_size,
            progress=progress or _silent,
        )
        asked = Asked(named, at, network, reference_at, execution, data, protocol, tuple(settings), say)
        refuse_links(out, ".lock", RESULTS, REPORT)
        stack.enter_context(alone(out))
        claim(out, asked.plan(scan, reference))
        found, chosen = _tuned(asked, scan, out, seeds, by, fit, evaluations, command)
        if target is not None:
            write_protocol(target, asked.read(chosen.point, asked.seed), chosen.point.name)
            found["written"] = str(target)
        found = redacted_plain(found)
        write_document(out / RESULTS, found, sealed=True)
        write_text(out / REPORT, render(page(found)))
    return dict(found)


def _tuned(
    asked: Asked,
    scan: Scan,
    out: Path,
    seeds: int,
    by: str | None,
    fit: str | None,
    evaluations: int,
    command: str,
) -> tuple[dict[str, Any], Scored]:
    """Everything that was found, and the point that is chosen."""
    first = asked.seed
    noise = list(range(first, first + seeds))
    scorer = Scorer(out, asked.read, asked.opened, str(asked.network.identity["checkpoint"]), asked.say)
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
            lambda point: asked.read(point, first).config,
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
    made = sorted(one.made for one in scorer.passports)
    base = asked.base()
    return {
        "subject": str(baseline.passports[0].subject["what"]),
        "network": {key: asked.network.identity.get(key) for key in ("checkpoint", "step")},
        "protocol": {
            "name": base.config.name,
            "version": base.config.version,
            "sha256": base.sha256,
            "settings": list(asked.settings),
        },
        "count": base.config.count,
        "method": dict(scan.method),
        "around": [dict(one) for one in scan.around],
        "seeds": noise,
        "by": number,
        "better": {name: one.get("better") for name, one in numbers.items()},
        "points": rows,
        "best": best,
        "verdict": verdict(best, number, seeds),
        "warnings": [edge] if edge else [],
        "fit": None if fresh is None else fresh.plain(),
        "written": None,
        "command": command,
        "software": software(),
        "made": [made[0], made[-1]],
        "machines": sorted({machine_in_words(one.machine) for one in scorer.passports}),
    }, chosen


def _silent(*_: Any) -> None:
    """No progress is shown."""


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
