import io
import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from report_samples import sample_report
from thalweg.errors import ThalwegError
from thalweg_eval.report import Chart, Curve, Page, Paragraphs, Picture, Section, Table, render, write
from thalweg_eval.report.numbers import cells, column, readable


def png(width: int = 8, height: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), 128).save(buffer, "PNG")
    return buffer.getvalue()


def report(*parts: Chart | Picture | Table | Paragraphs, title: str = "A report") -> Page:
    return Page(title, "Sub", (Section("First", parts),), (("Seed", "0"),))


LAYOUT = {"div", "figure"}


class Parsed(HTMLParser):
    """The tags with their attributes, and whether they are closed in the order they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_well_nested_and_complete():
    page = Parsed(render(sample_report()))
    assert page.open == []
    assert [len(page.all(tag)) for tag in ("h1", "h2", "svg", "img", "table")] == [1, 4, 2, 3, 1]
    assert all(image["alt"] for image in page.all("img"))
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    for _, attributes in page.tags:
        assert attributes.get("aria-labelledby", identifiers[0]) in identifiers


def test_the_page_needs_nothing_from_outside():
    text = render(sample_report())
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    page = Parsed(text)
    assert not page.all("script")
    addresses = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert addresses
    assert all((address or "").startswith("data:") for address in addresses)
    (policy,) = [meta["content"] or "" for meta in page.all("meta") if meta.get("http-equiv")]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_the_same_report_gives_the_same_page():
    assert render(sample_report()) == render(sample_report())


def test_everything_is_escaped():
    bad = "<script>alert('x')</script>\" onmouseover=\"y"
    hostile = Page(
        bad,
        bad,
        (
            Section(
                bad,
                (
                    Chart(bad, bad, bad, (Curve(bad, [0, 1], [0, 1]),), bad),
                    Picture(bad, png(), bad),
                    Table(bad, (bad, bad), ((bad, bad),), bad),
                    Paragraphs(bad, (bad,)),
                ),
            ),
        ),
        ((bad, bad),),
    )
    text = render(hostile)
    assert "<script" not in text
    page = Parsed(text)
    assert page.open == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count(bad) >= 18


def test_pictures_are_enlarged_by_a_whole_factor():
    page = Parsed(render(report(Picture("Small", png(80, 40), ""), Picture("Large", png(2000, 10), ""))))
    small, large = page.all("img")
    assert (small["width"], small["height"], small["class"]) == ("400", "200", "enlarged")
    assert (large["width"], large["height"]) == ("2000", "10")
    assert "class" not in large


def test_neighbouring_figures_share_a_row():
    chart = Chart("C", "x", "y", (), "")
    parts = (chart, chart, Paragraphs("", ("Between.",)), Picture("P", png(), ""))
    page = Parsed(render(Page("R", "", (Section("S", parts),))))
    assert [
        attributes.get("class") for attributes in page.all("div") if attributes.get("class") == "row"
    ] == ["row"] * 2
    assert page.text.index("Between.") > page.text.index("C")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (1234567, "1,234,567"),
        (-3, "−3"),
        (0.97131, "0.9713"),
        (0.99996, "1.000"),
        (12.3456, "12.35"),
        (98765.4, "98,765"),
        (1.23e-6, "1.23 × 10⁻⁶"),
        (-1e12, "−10¹²"),
        (math.nan, "NaN"),
        (-math.inf, "−∞"),
        (True, "yes"),
    ],
)
def test_numbers_are_readable(value: float | int | None, text: str):
    assert readable(value) == text


def test_a_column_shares_its_decimals_unless_the_numbers_are_far_apart():
    assert column([0.9512, 1.0, None, 3]) == ["0.951", "1.000", "–", "3"]
    assert column([153.24, 12.345]) == ["153.2", "12.3"]
    assert column([1e-3, 1234.5]) == ["0.001000", "1,234"]


def table(
    *rows: tuple[str | float | None, ...], best: str | None = "min", reference: tuple[int, ...] = ()
) -> Table:
    return Table("T", ("model", "score"), rows, "", (None, best), reference)


@pytest.mark.parametrize(
    ("given", "best"),
    [
        (table(("a", 2.0), ("b", 1.0)), [1]),
        (table(("a", 2.0), ("b", 1.0), best="max"), [0]),
        (table(("a", 1.0), ("b", 1.0), ("c", 3.0)), [0, 1]),
        (table(("a", 2.0), ("b", 3.0), ("real", 0.0), reference=(2,)), [0]),
        (table(("a", math.nan), ("b", 3.0), ("c", 4.0)), [1]),
        (table(("a", 2.0), ("b", None)), []),
        (table(("a", 2.0), ("b", 1.0), best=None), []),
    ],
)
def test_the_best_of_a_column_is_marked(given: Table, best: list[int]):
    assert [row for row, printed in enumerate(cells(given)) if printed[1].best] == best
    assert render(report(given)).count("(best)") == len(best)


def test_an_empty_table_and_an_empty_report_still_render():
    assert Parsed(render(report(Table("T", ("a", "b"), (), "")))).open == []
    assert Parsed(render(Page("R", "", ()))).open == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Curve("c", [0, 1], [0]),
        lambda: Picture("p", b"GIF89a" + bytes(40), ""),
        lambda: Table("t", ("a", "b"), (("only",),), ""),
        lambda: Table("t", ("a", "b"), (), "", ("min",)),
        lambda: Table("t", ("a",), (), "", (), (0,)),
        lambda: Chart("c", "x", "y", (), "", smooth=0),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    with pytest.raises(ValueError, match=r"curve 'c'|'p' is no PNG|table 't'|'smooth' must be"):
        wrong()


def test_writing_leaves_the_page_alone_in_its_folder(tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text("an older one")
    assert write(sample_report(), path) == path
    assert path.read_text(encoding="utf-8") == render(sample_report())
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_written_report_can_be_read_by_others_as_the_umask_says(tmp_path: Path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    assert write(report(), tmp_path / "report.html").stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.html"
    path.write_text("an older one")
    monkeypatch.setattr(*((os, "fsync") if stage == "fsync" else (os, "replace")), fail)
    with pytest.raises(ThalwegError, match=r"report\.html cannot be written \(No space left on device\)"):
        write(sample_report(), path)
    assert path.read_text() == "an older one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(ThalwegError, match=r"nowhere.*choose another place"):
        write(report(), tmp_path / "nowhere" / "report.html")


def test_names_that_are_no_unicode_do_not_stop_the_report(tmp_path: Path):
    text = write(report(title="bad \ud800 name"), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "bad ? name" in text


def test_the_style_sheet_cannot_end_its_element():
    (style,) = re.findall(r"<style>(.*?)</style>", render(report()), re.DOTALL)
    assert style.rstrip().endswith("}")
    assert style.count("{") == style.count("}")
