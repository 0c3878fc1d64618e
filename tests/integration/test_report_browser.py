"""A report in a real browser: it shows without an error, on a desk and on a phone, by day and by night."""

import functools
import io
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from found_ablations import found
from report_samples import sample_report
from thalweg.cli.main import main
from thalweg_eval.ablation.page import page as ablation_page
from thalweg_eval.report import Chart, Curve, Page, Paragraphs, Section, Table, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs chromium and chromedriver on PATH (Debian: apt-get install chromium chromium-driver)",
)

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Containers give /dev/shm too little room for a browser.
    "--disable-dev-shm-usage",
)
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    profile = tmp_path_factory.mktemp("profile")
    for argument in (*QUIET, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Naming the driver keeps selenium from looking for one to download.
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def show(browser: webdriver.Chrome, address: str, width: int, *, dark: bool = False) -> None:
    """Open a page in a viewport of that width; headless windows themselves cannot be that narrow."""
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get_log("browser")
    browser.get(address)
    # A phone's viewport grows with a page that is too wide, so the wish is compared as well.
    assert browser.execute_script("return window.innerWidth") == width


def overflow(browser: webdriver.Chrome) -> int:
    """By how many pixels the page can be scrolled sideways."""
    return browser.execute_script(
        "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    )


def screenshot(browser: webdriver.Chrome) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")).astype(float)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(sample_report(), tmp_path_factory.mktemp("report") / "report.html").as_uri()


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report that the quick start itself makes, with tiny settings."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    assert (
        main(["quickstart", "--out", str(out), "--steps", "2", "--samples", "20", "--sampler-steps", "2"])
        == 0
    )
    return (out / "report.html").as_uri()


@pytest.mark.parametrize("device", WIDTHS)
def test_the_quick_starts_report_shows(browser: webdriver.Chrome, quick_start: str, device: str):
    show(browser, quick_start, WIDTHS[device])
    assert browser.get_log("browser") == []
    assert overflow(browser) == 0
    natural = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(natural) == 7
    assert all(natural)
    assert len(browser.find_elements("css selector", "svg.chart")) == 4


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("device", WIDTHS)
def test_a_report_shows_without_an_error(browser: webdriver.Chrome, address: str, device: str, dark: bool):
    show(browser, address, WIDTHS[device], dark=dark)
    assert browser.get_log("browser") == []
    assert browser.title == "DeepFlow and SiT on handwritten digits"
    assert overflow(browser) == 0
    images = browser.execute_script(
        "return [...document.images].map(image => [image.complete, image.naturalWidth, image.width])"
    )
    assert len(images) == 3
    assert all(complete and natural > 0 for complete, natural, _ in images)
    # Five whole pixels each on a wide page, and all the width there is on a phone.
    assert all(width == (455 if device == "desktop" else 358) for _, _, width in images)


@pytest.mark.parametrize("selector", ["img", "svg.chart"])
def test_figures_are_really_painted(browser: webdriver.Chrome, address: str, selector: str):
    show(browser, address, WIDTHS["desktop"])
    box = browser.execute_script(
        f"const box = document.querySelector('{selector}'); box.scrollIntoView();"
        "const {left, top, width, height} = box.getBoundingClientRect(); return [left, top, width, height]"
    )
    left, top, width, height = map(int, box)
    painted = screenshot(browser)[top : top + height, left : left + width]
    assert width > 400
    assert height > 200
    assert (painted.min(axis=-1) < 160).mean() > 0.01, "more than paper"


def test_the_dark_page_is_dark_and_its_curves_are_bright(browser: webdriver.Chrome, address: str):
    for dark in (False, True):
        show(browser, address, WIDTHS["desktop"], dark=dark)
        paper = screenshot(browser)[2, 2].mean()
        assert (paper < 60) if dark else (paper > 250)
        stroke = browser.execute_script("return getComputedStyle(document.querySelector('polyline')).stroke")
        assert stroke == ("rgb(79, 157, 240)" if dark else "rgb(27, 98, 181)")


def test_figures_stand_side_by_side_only_where_there_is_room(browser: webdriver.Chrome, address: str):
    tops = "return [...document.querySelectorAll('svg.chart')].map(box => box.getBoundingClientRect().top)"
    show(browser, address, WIDTHS["desktop"])
    first, second = browser.execute_script(tops)
    assert first == second
    show(browser, address, WIDTHS["phone"])
    first, second = browser.execute_script(tops)
    assert first < second


def test_chart_texts_stay_within_their_chart(browser: webdriver.Chrome, address: str):
    show(browser, address, WIDTHS["desktop"])
    outside = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart text')].filter(text => {"
        "  const inner = text.getBoundingClientRect(), outer = text.closest('svg').getBoundingClientRect();"
        "  return inner.left < outer.left - 1 || inner.right > outer.right + 1"
        "      || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1"
        "}).map(text => text.textContent)"
    )
    assert outside == []


def test_hostile_names_do_nothing_and_do_not_widen_the_page(browser: webdriver.Chrome, tmp_path: Path):
    bad = (
        "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>" + "x" * 300
    )
    parts = (
        Paragraphs(bad, (bad,)),
        Table(bad, (bad, "score"), ((bad, 1.0), (bad, 2.0)), bad, (None, "max")),
        Chart(bad, bad, bad, (Curve(bad, range(3), range(3)),), bad),
    )
    path = write(Page(bad, bad, (Section(bad, parts),), ((bad, bad),)), tmp_path / "report.html")
    for width in WIDTHS.values():
        show(browser, path.as_uri(), width)
        assert browser.get_log("browser") == []
        assert browser.title == bad
        assert browser.execute_script("return document.images.length + document.scripts.length") == 0
        assert overflow(browser) == 0


BOXES = (
    "return [...document.querySelectorAll('{selector}')].map(box => {{"
    "  const {{left, right, bottom}} = box.getBoundingClientRect();"
    "  return [box.textContent, left, right, bottom]"
    "}})"
)


@pytest.fixture(params=["quick start", "ablation"])
def page_of_scores(request: pytest.FixtureRequest, quick_start: str, tmp_path: Path) -> str:
    if request.param == "quick start":
        return quick_start
    return write(ablation_page(found(), []), tmp_path / "report.html").as_uri()


def test_on_a_phone_scores_are_seen_before_anything_is_scrolled(
    browser: webdriver.Chrome, page_of_scores: str
):
    show(browser, page_of_scores, WIDTHS["phone"])
    assert overflow(browser) == 0
    cells = browser.execute_script(BOXES.format(selector="section:first-of-type td"))
    assert cells
    for text, left, right, _ in cells:
        assert left >= 0, text
        assert right <= WIDTHS["phone"], text
    for _, _, _, bottom in cells[:2]:
        assert bottom < 844, "the first two numbers of the first row"
    # What is stacked names its column, which a heading out of sight does for nobody.
    label = "return getComputedStyle(document.querySelector('td'), '::before').content"
    assert len(browser.execute_script(label)) > len('""')


def test_on_a_desk_the_tables_of_scores_need_no_scroll(browser: webdriver.Chrome, page_of_scores: str):
    show(browser, page_of_scores, WIDTHS["desktop"])
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth)"
        ".length"
    )
    assert hidden == 0


@pytest.mark.parametrize("device", WIDTHS)
def test_texts_of_charts_can_be_read(browser: webdriver.Chrome, page_of_scores: str, device: str):
    show(browser, page_of_scores, WIDTHS[device])
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart text')].map(text =>"
        "  parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)"
    )
    assert sizes
    assert min(sizes) >= 11.0


class _Recorder(SimpleHTTPRequestHandler):
    """Serves a folder and keeps what was requested."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests read what was asked."""


def test_a_served_report_asks_for_nothing_else(browser: webdriver.Chrome, tmp_path: Path):
    write(sample_report(), tmp_path / "report.html")
    asked: list[str] = []
    handler = type("Recorder", (_Recorder,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            show(browser, f"http://127.0.0.1:{server.server_port}/report.html", WIDTHS["desktop"])
            assert browser.get_log("browser") == []
            browser.get("about:blank")
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/report.html"]
