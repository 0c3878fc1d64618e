"""What an ablation's tables say: which cells differ, which do not, which way of sampling is best."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from thalweg_eval.ablation.significance import LEVEL, verdict
from thalweg_eval.ablation.spread import Difference, Spread, p_in_words
from thalweg_eval.ablation.tables import compared_names, corrected_for

_SAMPLING = "sampling."


def reading(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Which cells diverged, which differ from what they are compared with, and how that was decided.

    Args:
        found: what :func:`thalweg_eval.ablation.results.results` gives.
    """
    return (*_diverged(found), *_differing(found))


def _diverged(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Each cell with a run that diverged, under which seeds, and what the first of them said."""
    texts = []
    for cell in found["cells"]:
        if cell["diverged"]:
            seeds = listed([str(one["seed"]) for one in cell["diverged"]])
            noun = "seed" if len(cell["diverged"]) == 1 else "seeds"
            texts.append(
                f"{cell['name']} diverged under the {noun} {seeds}, so it has no mean and is compared with "
                f"none: {cell['diverged'][0]['said']}."
            )
    return tuple(texts)


def _differing(found: Mapping[str, Any]) -> tuple[str, ...]:
    names = compared_names(found)
    if not names:
        return ()
    if not found["comparisons"]:
        seeds = "One seed was run" if found["seeds"] == 1 else "So far no cell has two seeds"
        return (f"{seeds}, so there is no p-value, and of no cell can be said that it differs from another.",)
    texts = [
        f"P-values are corrected for {corrected_for(found)} (Holm); cells are said to differ where p is "
        f"below {LEVEL:g} after that."
    ]
    silent = []
    for name in names:
        sure, unsure = _sorted_out(found, name)
        if sure:
            rest = f" Nothing can be said in it of {listed(unsure)}." if unsure else ""
            texts.append(f"In {name}, these differ: {'; '.join(sure)}.{rest}")
        else:
            silent.append(name)
    if silent:
        texts.append(f"No cell is known to differ from what it is compared with in {listed(silent)}.")
    unspread = [
        f"{cell['name']} in {name} ({Spread(one['mean'], None, 1)})"
        for cell in found["cells"]
        for name, one in cell["difference"].items()
        if one["count"] > 1 and one["p"] is None and one["mean"]
    ]
    if unspread:
        texts.append(
            f"The same under every seed, so that their spread is not known and they are not tested: "
            f"{'; '.join(unspread)}."
        )
    return tuple(texts)


def _sorted_out(found: Mapping[str, Any], name: str) -> tuple[list[str], list[str]]:
    """Cells that differ in a number, with their differences, and the names of those that do not."""
    better = found["better"].get(name)
    sure: list[str] = []
    unsure: list[str] = []
    for cell in found["cells"]:
        if name in cell["difference"]:
            difference = Difference(**cell["difference"][name])
            said = verdict(difference, better)
            if said:
                word = "" if said == "other" else f", {said}"
                p = p_in_words(difference.p_corrected)
                against = cell["compared_with"]
                sure.append(f"{cell['name']} from {against} ({difference}, p {p}{word})")
            else:
                unsure.append(cell["name"])
    return sure, unsure


def listed(words: Sequence[str]) -> str:
    """Words with commas and an and."""
    return ", ".join([*words[:-2], " and ".join(words[-2:])])


def ranking(found: Mapping[str, Any]) -> tuple[str, ...]:
    """For each network that several cells share: its ways of sampling, the best mean first.

    Args:
        found: what :func:`thalweg_eval.ablation.results.results` gives.
    """
    texts = []
    for network in dict.fromkeys(cell["network"] for cell in found["cells"]):
        ways = [cell for cell in found["cells"] if cell["network"] == network and cell["numbers"]]
        names = [name for name in (ways[0]["numbers"] if ways else ()) if found["better"].get(name)]
        if len(ways) > 1 and names:
            ranked = [_ranked(ways, name, higher=found["better"][name] == "higher") for name in names]
            texts.append(f"Ways of sampling from {network}, the best first. {'. '.join(ranked)}.")
    return tuple(texts)


def _ranked(ways: Sequence[Mapping[str, Any]], name: str, *, higher: bool) -> str:
    def mean(cell: Mapping[str, Any]) -> float:
        return float(cell["numbers"][name]["mean"])

    places = [list(cells) for _, cells in groupby(sorted(ways, key=mean, reverse=higher), key=mean)]
    listed = [f"{' and '.join(map(_way, cells))} ({Spread(**cells[0]['numbers'][name])})" for cells in places]
    return f"{name}: {', then '.join(listed)}"


def _way(cell: Mapping[str, Any]) -> str:
    """What it changes in sampling; its name where it changes nothing."""
    sampling = [one.strip() for one in cell["overrides"] if one.strip().startswith(_SAMPLING)]
    return ", ".join(one.removeprefix(_SAMPLING) for one in sampling) or str(cell["name"])
