import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from thalweg_eval.report import Chart, Curve
from thalweg_eval.report.charts import COLOURS, svg
from thalweg_eval.report.render import STYLE

NAN = math.nan


def chart(*curves: Curve, log_y: bool = False, smooth: int = 1, title: str = "Loss") -> Chart:
    return Chart(title, "step", "error", curves, "A caption.", log_y, smooth)


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter("text")]


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    pieces = [element.get("points", "").split() for element in root.iter("polyline")]
    return [[(float(x), float(y)) for x, y in (corner.split(",") for corner in piece)] for piece in pieces]


def test_a_chart_is_well_formed_and_describes_itself():
    root = drawn(svg(chart(Curve("plain", range(3), [1.5, 0.75, 0.5]))))
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("viewBox")
    assert [child.tag for child in root][:2] == ["title", "desc"]
    assert root.findtext("title") == "Loss"
    description = root.findtext("desc") or ""
    assert "plain: 1.5 at 0 to 0.5 at 2, lowest 0.5." in description.replace("1.500", "1.5").replace(
        "0.5000", "0.5"
    )


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", 'a" onload="x', "]]>&amp;", "\x00\x1b\ud800\uffff"]
)
def test_hostile_names_stay_text(name: str):
    text = svg(chart(Curve(name, [0, 1], [0, 1]), title=name))
    root = drawn(text)
    assert {element.tag for element in root.iter()} <= {"svg", "title", "desc", "line", "polyline", "text"}
    assert not any(key.startswith("on") for element in root.iter() for key in element.keys())  # noqa: SIM118
    wanted = re.sub("[\x00\x1b\ud800\uffff]", "", name)
    assert root.findtext("title") == wanted
    assert wanted in texts(root)


@pytest.mark.parametrize(
    "curves",
    [
        (),
        (Curve("none", [], []),),
        (Curve("lost", [0, 1, 2], [NAN, math.inf, -math.inf]),),
        (Curve("nowhere", [NAN], [1.0]),),
    ],
)
def test_a_chart_without_a_point_says_so(curves: tuple[Curve, ...]):
    root = drawn(svg(chart(*curves)))
    assert "no data" in texts(root)
    assert not list(root.iter("polyline"))


def test_values_that_are_not_finite_leave_a_gap_and_are_counted():
    root = drawn(svg(chart(Curve("gap", range(7), [3, 2, NAN, 2, 1, math.inf, 1]))))
    assert [len(piece) for piece in lines(root)] == [2, 2]
    assert len(list(root.iter("circle"))) == 1, "the last point stands alone"
    assert "2 points left out: not finite" in texts(root)


def test_a_complete_curve_has_no_note():
    assert not any("left out" in text for text in texts(drawn(svg(chart(Curve("full", [0, 1], [1, 2]))))))


def test_a_logarithmic_axis_leaves_out_what_has_no_logarithm():
    root = drawn(svg(chart(Curve("loss", range(5), [100, 0, -1, 10, 1]), log_y=True)))
    assert "2 points left out: not finite or not positive" in texts(root)
    (piece,) = lines(root)
    (circle,) = root.iter("circle")
    top, middle, bottom = float(circle.get("cy", "")), piece[0][1], piece[1][1]
    assert middle - top == pytest.approx(bottom - middle, abs=0.2), "equal ratios, equal distances"


def test_a_horizontal_axis_may_be_logarithmic_too():
    curve = Curve("cost", [0, 1, 10, 100], [9, 4, 3, 2])
    root = drawn(svg(Chart("Error", "NFE", "error", (curve,), "A caption.", log_x=True)))
    assert "1 point left out: not finite or not positive" in texts(root)
    ((first, _), (second, _), (third, _)) = lines(root)[0]
    assert second - first == pytest.approx(third - second, abs=0.2)
    assert "error over NFE, the latter on a logarithmic scale." in (root.findtext("desc") or "")


@pytest.mark.parametrize("value", [0.0, -2.5, 1e-12, 1e12, 7.0])
def test_a_single_point_is_drawn_inside_the_plot(value: float):
    root = drawn(svg(chart(Curve("one", [5], [value]))))
    (circle,) = root.iter("circle")
    assert 0 < float(circle.get("cx", "")) < 480
    assert 30 <= float(circle.get("cy", "")) <= 260


def test_huge_and_tiny_values_do_not_break_the_scale():
    for log in (False, True):
        drawn(svg(chart(Curve("wide", range(4), [1e-199, 1e199, 1e308, 5e-324]), log_y=log)))


def test_a_long_curve_is_thinned_but_keeps_its_spike():
    values = np.sin(np.arange(100_000) / 3000)
    values[54_321] = 9.5
    text = svg(chart(Curve("long", np.arange(100_000), values)))
    (piece,) = lines(drawn(text))
    assert len(piece) < 4 * 480
    # The axis reaches from -2 or so to 10; the spike is the only corner near its upper end.
    assert sum(across < 60 for _, across in piece) == 1
    assert len(text) < 60_000


def test_smoothing_draws_the_mean_over_the_pale_curve():
    rough = Curve("rough", range(200), [1.0 + 0.5 * (-1) ** step for step in range(200)])
    root = drawn(svg(chart(rough, smooth=21)))
    pale, mean = root.iter("polyline")
    assert "stroke-opacity" in pale.get("style", "")
    assert "stroke-opacity" not in mean.get("style", "")
    raw, smooth = lines(root)
    spread = np.ptp([across for _, across in smooth[30:]])
    assert spread < 0.2 * np.ptp([across for _, across in raw])
    assert "strong lines: mean of 21 points; pale: every point" in texts(root)


def test_twenty_curves_all_look_different():
    curves = [Curve(str(index), [0, 1], [index, index + 1]) for index in range(20)]
    styles = [element.get("style") for element in drawn(svg(chart(*curves))).iter("polyline")]
    assert len(set(styles)) == 20


def test_a_long_legend_stays_within_the_chart():
    curves = [Curve(f"a model with quite a long name, number {index}", [0, 1], [0, 1]) for index in range(9)]
    root = drawn(svg(chart(*curves, Curve("x" * 500, [0, 1], [0, 1]))))
    height = float((root.get("viewBox") or "").split()[3])
    places = [(float(text.get("x", "")), float(text.get("y", ""))) for text in root.iter("text")]
    assert all(0 <= x <= 480 and 0 <= y <= height for x, y in places)
    assert len(set(places)) == len(places)
    assert any(text.endswith("x…") for text in texts(root))


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(light, 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Complete dichromacy after Machado, Oliveira and Fernandes (2009), on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def dark_colours() -> list[str]:
    return re.findall(r"--curve-\d: (#[0-9a-f]{6});", STYLE)


def test_the_dark_palette_replaces_every_colour():
    assert len(dark_colours()) == len(COLOURS)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("dark", [False, True])
def test_colours_stay_apart_for_everyone(vision: str, dark: bool):
    seen = [lab(VISIONS[vision] @ linear(colour)) for colour in (dark_colours() if dark else COLOURS)]
    # A difference of 2.3 is just noticeable side by side; thin lines need far more.
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 15


@pytest.mark.parametrize(("dark", "paper"), [(False, "#ffffff"), (True, "#14171a")])
def test_colours_contrast_with_the_page(dark: bool, paper: str):
    luminance = np.array([0.2126, 0.7152, 0.0722])
    for colour in dark_colours() if dark else COLOURS:
        one, other = sorted([luminance @ linear(colour), luminance @ linear(paper)])
        assert (other + 0.05) / (one + 0.05) >= 3, "WCAG 2.2, 1.4.11"
