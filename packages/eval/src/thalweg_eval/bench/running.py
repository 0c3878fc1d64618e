"""A bench from beginning to end: an ablation a data set, then the joint page; called again, it resumes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from thalweg.documents import read_document, write_document, write_text
from thalweg.errors import ConfigError
from thalweg.folders import clear_leftovers, refuse_links
from thalweg.storage.places import check_folder, local_path
from thalweg.storage.redaction import redacted_plain
from thalweg_eval.ablation.folder import alone, refuse_strangers
from thalweg_eval.ablation.planning import plan
from thalweg_eval.ablation.running import MARKDOWN, REPORT, RESULTS
from thalweg_eval.ablation.running import run as run_ablation
from thalweg_eval.bench.config import Bench
from thalweg_eval.bench.page import markdown, page
from thalweg_eval.bench.results import joint_results
from thalweg_eval.report import render

_MARKER = "bench.json"
"""Says which bench a folder holds; what was asked of each data set is bound in its own folder."""


def run(bench: Bench, out: Path | str, say: Callable[[str], None], command: str = "") -> dict[str, Any]:
    """Run the ablation of each data set; called again, it resumes where it was.

    Everything is resolved and checked on all data sets before anything is trained.

    Args:
        bench: what is run.
        out: the folder: a sub-folder for each data set, as :func:`thalweg_eval.ablation.running.run` leaves
            it, and over those of this call ``results.json``, ``table.md`` and ``report.html``, written anew
            after each data set.
        say: shows one line of progress.
        command: how it was called, for the report.

    Returns:
        What ``results.json`` holds.

    Raises:
        ThalwegError: as :func:`thalweg_eval.ablation.running.run`.
    """
    out = local_path(out, "out")
    check_folder(out, "out")
    for name, ablation in bench.ablations.items():
        try:
            plan(ablation, out / name)
        except ConfigError as fault:
            raise ConfigError(f"data set {name}: {fault}") from fault
    refuse_links(out, ".lock", *bench.ablations)
    with alone(out):
        _claim(bench, out)
        clear_leftovers(*(out / name for name in (RESULTS, MARKDOWN, REPORT)))
        found: dict[str, Mapping[str, Any]] = {}
        for place, (name, ablation) in enumerate(bench.ablations.items(), start=1):
            say(f"data set {name}, {place} of {len(bench.ablations)}")
            found[name] = run_ablation(ablation, out / name, say, command)
            joint: dict[str, Any] = redacted_plain(joint_results(bench, found, command))
            write_document(out / RESULTS, joint, sealed=True)
            write_text(out / MARKDOWN, markdown(joint))
            write_text(out / REPORT, render(page(joint)))
    return joint


def _claim(bench: Bench, out: Path) -> None:
    """Bind the folder to the bench.

    Raises:
        ConfigError: it holds another one, or something else.
        DataError: if what says so is damaged.
    """
    path = out / _MARKER
    try:
        there = read_document(path, "what a bench writes", "choose another --out", sealed=True)
    except FileNotFoundError:
        refuse_strangers(out, "bench")
    else:
        if there.get("bench") != bench.name:
            raise ConfigError(f"{out} holds the bench {there.get('bench')}; choose another --out")
    clear_leftovers(path)
    write_document(path, {"bench": bench.name}, sealed=True)
