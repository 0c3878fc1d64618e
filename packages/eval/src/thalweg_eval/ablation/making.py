"""How an ablation was made, in words: steps, noise, protocol, cells, and what the time went to."""

from collections.abc import Mapping
from typing import Any

from thalweg_eval.ablation.pace import Phase, paced_cell
from thalweg_eval.report.numbers import readable
from thalweg_eval.report.sections import run_time

_SHARES = {
    "steps": "the same steps",
    "compute": "steps of the same computation in all",
    "seconds": "as many steps as fit in the seconds that the first cell's take",
}


def making(found: Mapping[str, Any]) -> list[str]:
    """Paragraphs about it.

    Args:
        found: what :func:`thalweg_eval.ablation.results.results` gives.
    """
    scoring, cells = found["evaluation"], found["cells"]
    changed = f" with {', '.join(scoring['settings'])}" if scoring["settings"] else ""
    texts = [
        f"Every cell was trained for {_SHARES[found['equal']]} and scored under the protocol "
        f"{scoring['protocol']}{changed}.",
        *_steps(found),
    ]
    networks = {cell["network"] for cell in cells}
    if len(networks) < len(cells):
        texts.append(
            f"Cells that differ in how samples are generated alone share a network under each seed, "
            f"{len(networks)} in all: it was trained once, and scored for each of them."
        )
    texts += _noise(found)
    left = [
        f"{cell['name']} without {', '.join(cell['objectives_left_out'])}"
        for cell in cells
        if cell["objectives_left_out"]
    ]
    if left:
        texts.append(f"Objectives that a composition cannot serve were left out: {'; '.join(left)}.")
    for cell in cells:
        settings = f"; scored with {' '.join(cell['settings'])}" if cell["settings"] else ""
        texts.append(f"{cell['name']}: {' '.join(cell['overrides']) or 'the recipe as it is'}{settings}")
    return [*texts, f"Command: {found['command']}"] if found["command"] else texts


def times(found: Mapping[str, Any]) -> list[str]:
    """What the time of each network went to, over all of its seeds."""
    texts: dict[str, str] = {}
    for cell in found["cells"]:
        runs = [run for run in cell["runs"] if run["seconds"] is not None]
        if runs and cell["network"] not in texts:
            names = dict.fromkeys(what for run in runs for what in run["beside"])
            beside = {what: sum(run["beside"].get(what, 0.0) for run in runs) for what in names}
            texts[cell["network"]] = run_time(cell["network"], sum(run["seconds"] for run in runs), beside)
    return [f"What the time went to, over all seeds. {'; '.join(texts.values())}."] if texts else []


def _steps(found: Mapping[str, Any]) -> list[str]:
    """The steps of each network, where they are not the same by definition, and how they were found."""
    if found["equal"] == "steps":
        return []
    networks: dict[str, Any] = {}
    for cell in found["cells"]:
        networks.setdefault(cell["network"], cell)
    steps = "; ".join(f"{name}: {cell['steps']:,}" for name, cell in networks.items())
    texts = [
        f"Steps of each: {steps}. Schedules and EMA weights are as stated for each cell, and "
        f"where they depend on the number of steps they follow this one."
    ]
    paced = {name: paced_cell(cell["paced"]) for name, cell in networks.items() if cell["paced"]}
    if paced:
        taken = "; ".join(f"{name}: {', '.join(map(_phase, one.pace.phases))}" for name, one in paced.items())
        where = "; ".join(dict.fromkeys(f"{one.machine}, {one.made}" for one in paced.values()))
        texts.append(
            f"Seconds of a step, measured under one seed before any training by turns over all cells, "
            f"warm-up left out, median (quartiles): {taken}. On {where}."
        )
    return texts


def _phase(phase: Phase) -> str:
    start = f"from step {phase.first:,} on " if phase.first else ""
    low, high = map(readable, phase.quartiles)
    return f"{start}{readable(phase.seconds)} ({low} to {high})"


def _noise(found: Mapping[str, Any]) -> list[str]:
    """At which noise samples begin; nothing where that is not known."""
    seeds: dict[Any, list[str]] = {}
    for cell in found["cells"]:
        for noise in dict.fromkeys(run["scored"][-1]["noise"] for run in cell["runs"]):
            seeds.setdefault(noise, []).append(cell["name"])
    if not seeds or None in seeds:
        return []
    if len(seeds) == 1:
        (seed,) = seeds
        return [f"All cells and seeds were scored with the same noise, sample by sample (seed {seed})."]
    listed = (f"seed {noise} for {', '.join(names)}" for noise, names in seeds.items())
    return [f"The noise that samples begin at is not the same for all cells: {'; '.join(listed)}."]
