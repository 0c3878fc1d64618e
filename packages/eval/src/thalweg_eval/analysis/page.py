"""An analysis as a page: one section a measurement, and how it was made."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from thalweg_eval.analysis.page_parts import (
    across_depth,
    mean,
    of_time,
    over_time,
    selected,
    shown_bins,
    time_of,
)
from thalweg_eval.report import Chart, Curve, HeatMap, Page, Part, Table
from thalweg_eval.report.sections import facts_of, machine_in_words, page_of, paragraphs

_ERROR = "mean squared error"


def page(results: Mapping[str, Any]) -> Page:
    """The page.

    Args:
        results: what ``results.json`` holds.
    """
    measured, network = results["measured"], results["network"]
    middles = [(low + high) / 2 for low, high in pairwise(measured["edges"])]
    step = "" if network["step"] is None else f", step {network['step']:,}"
    counts = results["data"]
    return page_of(
        "Inside the network",
        f"{network['what']}{step}: {network['depth']} blocks, on {counts['validation']:,} held-out samples.",
        [
            ("Velocity error by depth", _velocity_error(measured["velocity_error"], middles)),
            ("Similarity of hidden states", _similarity(measured["similarity"], middles)),
            ("Distance to the last block's tokens", _distance(measured["distance"], middles)),
            ("Gradients of the heads", _gradients(measured["gradients"], middles)),
            ("Class in the tokens", _probe(measured["probe"], middles)),
            ("Guidance by intermediate heads", _guidance(measured["guidance"], middles)),
            ("How it was made", paragraphs(*_making(results, middles))),
        ],
        (
            *facts_of([results["made"]], [machine_in_words(results["machine"])], results["software"]),
            ("Seed", str(results["settings"]["seed"])),
            ("Network, SHA-256", network["sha256"]),
            ("Data", counts["identity"]),
        ),
    )


def _velocity_error(found: Mapping[str, Any], middles: Sequence[float]) -> Sequence[Part]:
    heads, linear = found["heads"], found["readouts"]
    with_head = {one["after"] for one in heads}
    without = [one for one in linear if one["after"] not in with_head]
    curves = [*over_time(selected(heads[:-1], 4), middles), *over_time(heads[-1:], middles)]
    curves += over_time(selected(without, 3), middles, ", linear")
    parts: list[Part] = [
        Chart("Error over time", "t", _ERROR, tuple(curves), "E|V - v|² per element; t = 0 is data, 1 noise.")
    ]
    if linear:
        plain = [one for one in heads if one["form"] == "plain"]
        points = (across_depth("linear read-out", linear), across_depth("heads", plain))
        caption = "Mean over t. The last point of the heads is the network's velocity."
        parts.append(Chart("Error after each depth", "blocks passed", _ERROR, points, caption))
    at = shown_bins(middles)
    rows = [
        (name, mean(one["values"]), *(one["values"][place] for place in at))
        for name, one in (
            *((one["name"], one) for one in heads),
            *((f"{one['name']}, linear", one) for one in linear),
        )
    ]
    header = ("", "mean", *(f"t = {middles[place]:.2f}" for place in at))
    parts.append(Table("Errors", header, tuple(rows), ""))
    if linear:
        text = (
            "Heads are measured as they are. A linear read-out is fitted for this page, in closed form, on "
            f"training samples (ridge {found['ridge']:g} in units of each feature's variance, one map a "
            "depth and bin of time, from normalised tokens to the velocity of their patches) and measured on "
            "held-out ones: it says what a linear head could read there, and is no head of the network."
        )
    else:
        text = (
            "Linear read-outs of depths without a head are left out: it is not known for which elements of a "
            "sample a token stands."
        )
    return (*parts, *paragraphs(text))


def _similarity(found: Mapping[str, Any], middles: Sequence[float]) -> Sequence[Part]:
    names = tuple(found["states"])
    caption = "1: the same up to rotation, shift and scale. 0: unrelated."
    maps = [
        HeatMap(f"CKA at {time_of(middles[place])}", names, _rows(found["cka"][place]), caption)
        for place in shown_bins(middles)
    ]
    return (
        *maps,
        *paragraphs(
            "Linear centred kernel alignment of flattened hidden states, debiased: the unbiased estimator of "
            "HSIC, averaged over batches."
        ),
    )


def _distance(found: Mapping[str, Any], middles: Sequence[float]) -> Sequence[Part]:
    relative, euclidean = found["relative"], found["euclidean"]
    if not relative:
        return paragraphs("The network has one block, so that there is nothing before the last one.")
    refined = [one for one in relative if one["form"] == "refined"]
    ends = {one["after"] for one in refined}
    first = [one for one in relative if one["after"] in ends]
    others = [one for one in relative if one["after"] not in ends]
    curves = over_time([*selected(first, 4), *selected(others, 3)], middles)
    rows = [
        (one["name"], mean(one["values"]), mean(other["values"]))
        for one, other in zip(relative, euclidean, strict=True)
    ]
    title, what = "Relative distance", "relative distance"
    caption = "The square root of E|z - z_L|² / E|z_L|², z_L the tokens after the last block."
    by_form = [("before refiners", "plain"), ("refined", "refined")] if refined else [("tokens", "plain")]
    deep = [across_depth(name, [one for one in relative if one["form"] == form]) for name, form in by_form]
    parts = (
        Chart(f"{title} over time", "t", what, tuple(curves), caption),
        Chart(f"{title} after each depth", "blocks passed", what, tuple(deep), "Mean over t."),
        Table("Mean over t", ("", "relative", "Euclidean, a token"), tuple(rows), ""),
    )
    if not refined:
        return parts
    return (
        *parts,
        *paragraphs(
            "Refined tokens are those that the refiner hands on to the next branch; those of the same depth "
            "without that word are what it was given."
        ),
    )


def _gradients(found: Mapping[str, Any], middles: Sequence[float]) -> Sequence[Part]:
    if "left_out" in found:
        return _left_out(found)
    names = tuple(found["heads"])
    heat = HeatMap(
        "Cosine over all times",
        names,
        _rows(found["cosine"]),
        "1: heads want the same change of shared parameters. Below 0: opposite ones.",
    )
    last = len(names) - 1
    curves = [
        Curve(f"{name}, with last", middles, of_time([one[place][last] for one in found["over_time"]]))
        for place, name in enumerate(names[:-1])
    ]
    chart = Chart("Cosine with the last head over time", "t", "cosine", tuple(curves), "")
    text = (
        "Gradients of E|V - v|² of held-out samples, with respect to the parameters of backbone and refiner "
        "that both heads depend on: blocks up to the earlier head, and embeddings."
    )
    if found["detached"]:
        which = ", ".join(map(str, found["detached"]))
        text += (
            f" The heads after {which} blocks were trained on detached tokens, so that they move no shared "
            "parameter; their gradients are computed as if these were not detached."
        )
    return (heat, chart, *paragraphs(text))


def _probe(found: Mapping[str, Any], middles: Sequence[float]) -> Sequence[Part]:
    if "left_out" in found:
        return _left_out(found)
    states = found["states"]
    plain = [one for one in states if one["form"] == "plain"]
    curves = [
        Curve(
            time_of(middles[place]),
            [one["after"] for one in plain],
            [one["values"][place] for one in plain],
        )
        for place in shown_bins(middles)
    ]
    deep = Chart("Accuracy after each depth", "blocks passed", "accuracy", tuple(curves), "")
    over = Chart("Accuracy over time", "t", "accuracy", tuple(over_time(selected(states, 5), middles)), "")
    return (
        deep,
        over,
        *paragraphs(
            f"Share of held-out samples whose class a linear probe finds; 1 in {found['classes']:,} is "
            f"chance for classes alike in size. Ridge regression (ridge {found['ridge']:g}) of the class on "
            "mean-pooled tokens, fitted on training samples, one a depth and bin of time. The network is "
            "shown no class, which the probe would find again."
        ),
    )


def _guidance(found: Mapping[str, Any], middles: Sequence[float]) -> Sequence[Part]:
    if "left_out" in found:
        return _left_out(found)
    heads = found["heads"]
    shown = selected(heads, 5)
    scales = [Curve(one["name"], middles, one["scale"]) for one in shown]
    differences = [Curve(one["name"], middles, one["difference"]) for one in shown]
    parts: list[Part] = [
        Chart("Scale w* over time", "t", "w*", tuple(scales), "Above 1 the error wants heads extrapolated."),
        Chart(
            "Difference of heads over time", "t", "E|d|²", tuple(differences), "d = v_f - v_i, per element."
        ),
    ]
    for index, strength in enumerate(heads[0]["strengths"]):
        c = f"c = {strength['strength']:g}"
        shares = [Curve(one["name"], middles, of_time(one["strengths"][index]["share"])) for one in shown]
        errors = [Curve(one["name"], middles, one["strengths"][index]["error"]) for one in shown]
        before = Curve("unguided", middles, heads[0]["error"])
        title = f"Share of the velocity, {c}"
        parts += [
            Chart(title, "t", "|v - v_f| / |v_f|", tuple(shares), "Root mean squares."),
            Chart(f"Held-out error, {c}", "t", _ERROR, (before, *errors), "E|V - v|² per element."),
        ]
    rows = [
        (one["name"], mean(one["scale"]), mean(one["error"]), *(mean(c["error"]) for c in one["strengths"]))
        for one in heads
    ]
    header = ("head", "w*", "error before", *(f"after, c = {c['strength']:g}" for c in heads[0]["strengths"]))
    parts.append(Table("Held-out error of the guided velocity, mean over t", header, tuple(rows), ""))
    text = (
        "Internal guidance v_i + w (v_f - v_i) with w = 1 + c (w* - 1). w* was measured on training samples, "
        "where c = 1 has the least squared error of the velocity; differences, shares and errors are of "
        "held-out ones. The error of the velocity is not the quality of samples: a stronger c may sample "
        "better and err more."
    )
    return (*parts, *paragraphs(text))


def _left_out(found: Mapping[str, Any]) -> Sequence[Part]:
    return paragraphs(f"Not measured: {found['left_out']}.")


def _rows(values: Sequence[Sequence[float | None]]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(map(tuple, values))


def _making(results: Mapping[str, Any], middles: Sequence[float]) -> list[str]:
    data, settings = results["data"], results["settings"]
    return [
        f"All numbers are of the same {data['validation']:,} held-out samples, each once in every one of "
        f"{len(middles)} bins of t with a time and noise of its own, which follow from the seed, the sample "
        f"and the bin. Linear maps were fitted, and w* measured, on {data['train']:,} training samples. "
        "Every condition is shown, except to probes. Points stand in the middle of their bins; all is "
        "computed in float32, sums in float64.",
        f"Batches of {settings['batch_size']:,} samples. All numbers are in results.json.",
    ]
