"""What an ablation's table says, in sentences."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from thalweg.ablation.spread import Spread

_SAMPLING = "sampling."


def reading(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Which cells differ from the first one by more than their interval, and which do not.

    Args:
        found: what :func:`thalweg.ablation.results.results` gives.
    """
    cells = [cell for cell in found["cells"] if cell["difference"]]
    if not cells:
        return ()
    metric = next(iter(cells[0]["difference"]))
    sure: list[str] = []
    unsure: list[str] = []
    for cell in cells:
        difference = Spread(**cell["difference"][metric])
        if difference.half_width is not None and abs(difference.mean) > difference.half_width:
            sure.append(f"{cell['name']} ({difference}{_verdict(found['better'].get(metric), difference)})")
        else:
            unsure.append(f"{cell['name']} ({difference})")
    first = found["cells"][0]["name"]
    texts = []
    if sure:
        texts.append(
            f"In {metric}, these differ from {first} by more than their interval: {'; '.join(sure)}."
        )
    if unsure:
        these = (
            f"These do not in {metric}"
            if sure
            else f"None of these is known to differ from {first} in {metric}"
        )
        texts.append(f"{these}, so nothing can be said of them: {'; '.join(unsure)}.")
    return tuple(texts)


def ranking(found: Mapping[str, Any]) -> tuple[str, ...]:
    """For each network that several cells share: its ways of sampling, the best mean first.

    Args:
        found: what :func:`thalweg.ablation.results.results` gives.
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

    alike = groupby(sorted(ways, key=mean, reverse=higher), key=mean)
    places = [list(cells) for _, cells in alike]
    listed = [f"{' and '.join(map(_way, cells))} ({Spread(**cells[0]['numbers'][name])})" for cells in places]
    return f"{name}: {', then '.join(listed)}"


def _way(cell: Mapping[str, Any]) -> str:
    """What tells it from the others; the name where it states nothing."""
    sampling = [one.strip() for one in cell["overrides"] if one.strip().startswith(_SAMPLING)]
    return ", ".join(one.removeprefix(_SAMPLING) for one in sampling) or str(cell["name"])


def _verdict(better: str | None, difference: Spread) -> str:
    if better is None:
        return ""
    return ", better" if (difference.mean > 0) == (better == "higher") else ", worse"
