"""``thalweg bench``: run shipped ablations of methods over several data sets."""

import shlex
from pathlib import Path
from typing import Any

import click

from thalweg.cli import console, options
from thalweg.errors import ThalwegError
from thalweg.visible import columns
from thalweg_eval.cli.ablate import EQUAL, failed_sentence, show_plan, show_tables

_LIST = "list"


@click.command("bench")
@click.argument("name", metavar="NAME|FILE|list")
@options.overrides
@click.option(
    "--data", "data", multiple=True, metavar="NAME", help="A data set of the bench; all unless stated."
)
@click.option("--seeds", type=click.IntRange(1), help="Runs of every cell.  [default: the file's, or 3]")
@EQUAL
@options.out("the folder of the bench; benches/NAME unless stated")
@options.download
@options.dry_run
@options.as_json
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    overrides: tuple[str, ...],
    data: tuple[str, ...],
    seeds: int | None,
    equal: Any,
    out: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare methods on several data sets: NAME is a shipped bench, FILE one of your own; list shows them.

    Every data set has an ablation in a sub-folder of OUT; over those of the command OUT gets results.json,
    table.md and report.html. KEY=VALUE changes all cells. The same command resumes after an interruption. If
    a control fails, all is written, and the exit code is 1.
    """
    from thalweg_eval.bench.config import read_bench

    if name == _LIST:
        _list(as_json=as_json)
        return
    bench = read_bench(name, data=data, overrides=overrides, seeds=seeds, equal=equal)
    folder = Path("benches") / bench.name if out is None else out
    if dry_run:
        for data_set, ablation in bench.ablations.items():
            console.result(f"data set {data_set}")
            show_plan(ablation, folder / data_set)
        return
    # torch comes in here, once the bench is known to be valid.
    from thalweg.storage import redacted
    from thalweg_eval.ablation.controls import failed_controls
    from thalweg_eval.ablation.running import REPORT
    from thalweg_eval.bench.page import conclusions, outcome_rows
    from thalweg_eval.bench.running import run

    called = "thalweg " + shlex.join(map(redacted, ctx.find_root().obj.arguments))
    found = run(bench, folder, console.say, called)
    if as_json:
        console.result_json(found)
    else:
        for data_set, one in found["data"].items():
            console.result(f"data set {data_set}")
            show_tables(one)
            console.result("")
        header, *rows = outcome_rows(found)
        console.result(columns(rows, header))
        for text in conclusions(found):
            console.result(text)
        console.result(f"report: {folder / REPORT}")
    # As in ablate: what goes on from here must not take the tables for a result.
    failed = [failed_sentence(one, folder / REPORT) for one in found["data"].values() if failed_controls(one)]
    if failed:
        raise ThalwegError("; ".join(failed))


def _list(*, as_json: bool) -> None:
    from thalweg_eval.bench.config import read_bench
    from thalweg_eval.bench.registry import names

    rows: list[dict[str, Any]] = []
    for name in names():
        bench = read_bench(name)
        first = next(iter(bench.ablations.values()))
        rows.append(
            {
                "name": name,
                "data": list(bench.ablations),
                "cells": max(len(one.cells) for one in bench.ablations.values()),
                "seeds": first.seeds,
                "description": bench.description,
            }
        )
    if as_json:
        console.result_json(rows)
        return
    table = [
        [row["name"], ", ".join(row["data"]), *map(str, (row["cells"], row["seeds"])), row["description"]]
        for row in rows
    ]
    console.result(columns(table, ("bench", "data sets", "cells", "seeds", "")))
