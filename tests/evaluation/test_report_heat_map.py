from itertools import pairwise
from xml.etree import ElementTree

import pytest

from thalweg_eval.report import HeatMap, Page, Section, render
from thalweg_eval.report.charts import COLOURS
from thalweg_eval.report.heat_map import heat_map

NAMES = ("after 2", "last")


def drawn(values, names=NAMES, title="Cosines"):
    return ElementTree.fromstring(heat_map(HeatMap(title, names, values, "A caption.")))


def opacities(root):
    return [
        float(one.get("style").partition("fill-opacity:")[2].partition(";")[0]) for one in root.iter("rect")
    ]


def test_shades_say_how_large_a_number_is_and_colours_its_sign():
    root = drawn(((1.0, -0.5), (0.0, None)))
    assert opacities(root) == pytest.approx([0.6, 0.3, 0.0, 0.0])
    fills = [one.get("style").partition(";")[0] for one in root.iter("rect")]
    assert [COLOURS[0] in fill for fill in fills] == [True, False, True, True]
    assert COLOURS[1] in fills[1]
    assert [one.text for one in root.iter("text")][:2] == ["1.00", "−0.50"]
    assert root.findtext("desc") == "after 2: 1.00, −0.50. last: 0.00, –."


def test_numbers_beyond_1_by_an_estimate_have_the_strongest_shade():
    assert opacities(drawn(((1.3, -7.0), (1.0, 1.0)))) == pytest.approx([0.6] * 4)


@pytest.mark.parametrize("count", [1, 2, 7, 30, 90])
def test_all_of_it_is_within_the_picture_and_names_do_not_overlap(count):
    names = tuple(f"after {one}, refined" for one in range(count))
    root = drawn(((0.5,) * count,) * count, names)
    _, _, width, height = map(float, root.get("viewBox").split())
    rects = list(root.iter("rect"))
    assert len(rects) == count**2
    for one in rects:
        assert 0 <= float(one.get("x")) <= width - float(one.get("width")) + 0.2
        assert 0 <= float(one.get("y")) <= height - float(one.get("height")) + 0.2
    across = [float(one.get("y")) for one in root.iter("text") if one.get("text-anchor") == "end"]
    assert all(second - first >= 13 for first, second in pairwise(across))
    numbers = [one for one in root.iter("text") if one.text == "0.50"]
    assert bool(numbers) == (float(rects[0].get("width")) >= 32)


def test_hostile_names_stay_text_and_it_stands_in_a_page():
    part = HeatMap("<b>x", ("<script>", "a"), ((0.1, 0.2), (0.3, 0.4)), "")
    html = render(Page("t", "s", (Section("Heat", (part,)),)))
    assert "<script>" not in html
    assert '<div class="row">' in html
    assert html.count("<rect") == 4


def test_what_is_not_square_is_refused():
    with pytest.raises(ValueError, match="not of 2 rows of 2 values"):
        HeatMap("x", NAMES, ((1.0, 0.0),), "")
