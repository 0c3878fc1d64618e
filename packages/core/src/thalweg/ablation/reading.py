"""What an ablation's table says, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.ablation.spread import Spread


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
        if len(ways) > 1:
            texts += [_ranked(network, ways, name, found["better"].get(name)) for name in ways[0]["numbers"]]
    return tuple(text for text in texts if text)


def _ranked(network: str, ways: Sequence[Mapping[str, Any]], name: str, better: str | None) -> str:
    if better is None:
        return ""
    sign = -1 if better == "higher" else 1
    ordered = sorted(ways, key=lambda cell: sign * cell["numbers"][name]["mean"])
    listed = "; ".join(f"{cell['name']} ({Spread(**cell['numbers'][name])})" for cell in ordered)
    return f"Of {network}, from the best {name} to the worst: {listed}."


def _verdict(better: str | None, difference: Spread) -> str:
    if better is None:
        return ""
    return ", better" if (difference.mean > 0) == (better == "higher") else ", worse"
