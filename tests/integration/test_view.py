"""``thalweg view``: what the page shows is what ``thalweg sample`` gives, in a real browser of any width."""

import base64
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import thalweg
from thalweg.calibrating import calibrate
from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg_eval.view.choice import Choice
from thalweg_eval.view.network import ViewedNetwork
from tiny_runs import TINY, tiny

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
in_a_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs chromium and chromedriver on PATH (Debian: apt-get install chromium chromium-driver)",
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
DESKTOP, PHONE = 1280, 390
PATIENCE = 120  # seconds, on a machine that is busy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network with a head in its middle, calibrated, whose layers are not at zero."""
    folder = tmp_path_factory.mktemp("view") / "run"
    top = {"branches": 1, "refiner": None, "objectives": {"velocity": {}}, "heads": [1]}
    backbone = {**TINY["backbone"], "depth": 3}
    thalweg.Trainer(
        tiny(top={**top, "backbone": backbone}, condition_dropout=0.1), folder, accelerator="cpu", quiet=True
    ).train()
    network = thalweg.load(folder)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=draw))
    network.calibration = calibrate(network, thalweg.build("dataset", "digits"), samples=32)
    thalweg.save(folder / "model", network)
    return folder


@pytest.fixture(scope="module")
def shown(run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    words = ["view", str(run), "--port", "0", "--no-open", "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "thalweg", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+/) shows .*; Ctrl-C ends it", line)
        assert found, f"{line}{process.stderr.read() if process.poll() is not None else ''}"
        yield process, found[1]
        process.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def wide(browser: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def until(browser: webdriver.Chrome, found):
    """Wait for something to become true."""
    return WebDriverWait(browser, PATIENCE, poll_frequency=0.1).until(lambda _: found())


def command(browser: webdriver.Chrome) -> str:
    boxes = browser.find_elements(By.CSS_SELECTOR, "#command textarea")
    return boxes[0].get_property("value") if boxes else ""


def images(browser: webdriver.Chrome, where: str = "new") -> np.ndarray:
    """What a figure shows, N x H x W."""
    sources = browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(image => image.src)", f"#{where} .cells img"
    )
    files = [base64.b64decode(one.removeprefix("data:image/png;base64,")) for one in sources]
    return np.stack([np.asarray(Image.open(io.BytesIO(one))) for one in files])


def drawn(browser: webdriver.Chrome, before: str) -> str:
    """Wait for the next picture; its command line."""
    return until(browser, lambda: (now := command(browser)) != before and now)


def typed(browser: webdriver.Chrome, selector: str, text: str) -> str:
    """Put a text or number into a control, and wait for the picture that it gives."""
    before, box = command(browser), browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(text, Keys.TAB)
    return drawn(browser, before)


def chosen(browser: webdriver.Chrome, control: str, name: str) -> str:
    """Choose one of several, and wait for the picture that it gives."""
    before = command(browser)
    for label in browser.find_elements(By.CSS_SELECTOR, f"#{control} label"):
        if label.text.strip() == name:
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", label)
            label.click()
            return drawn(browser, before)
    raise AssertionError(f"{control} does not offer {name}")


def on_the_command_line(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """What the command gives that the page shows."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(shlex.split(line)[1:]) == 0
    return np.stack([np.asarray(Image.open(one)) for one in sorted((folder / "samples/view").glob("*.png"))])


@in_a_browser
def test_a_slider_gives_another_picture_and_each_is_what_the_command_gives(
    browser, shown, tmp_path, monkeypatch, capsys
):
    wide(browser, DESKTOP)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(shown[1])
    first = drawn(browser, "")
    assert images(browser).shape == (4, 8, 8)
    assert "2 NFE each" in browser.find_element(By.CSS_SELECTOR, "#new figcaption").text
    # The slider itself, by its key.
    knob = browser.find_element(By.CSS_SELECTOR, "#steps input[type=range]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", knob)
    knob.send_keys(Keys.ARROW_RIGHT)
    second = drawn(browser, first)
    assert "sampler.steps=3" in second
    shown_second = images(browser)
    assert "3 NFE each" in browser.find_element(By.CSS_SELECTOR, "#new figcaption").text
    browser.find_element(By.CSS_SELECTOR, "#hold").click()
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#held .cells img"))
    both = chosen(browser, "guidance", "both")
    assert re.search(r'guidance=\[\{type="internal", after=1, .*"calibrated".*\}, \{type="cfg"', both)
    shown_both = images(browser)
    assert np.array_equal(images(browser, "held"), shown_second)
    assert not np.array_equal(shown_both, shown_second)
    assert "6 NFE each" in browser.find_element(By.CSS_SELECTOR, "#new figcaption").text
    classes = typed(browser, "#classes input, #classes textarea", "3,7")
    assert "--labels 3,7" in classes
    shown_classes = images(browser)
    for number, (line, found) in enumerate(
        [(second, shown_second), (both, shown_both), (classes, shown_classes)]
    ):
        again = on_the_command_line(line, tmp_path / str(number), monkeypatch)
        assert np.array_equal(again, found), line
    seeded = typed(browser, "#seed input", "1")
    assert "seed=1" in seeded
    note = until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#new .note"))
    assert note[0].text == "Its noise differs from the held picture's, which has seed 0."
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []
    capsys.readouterr()


@in_a_browser
def test_nothing_is_loaded_from_other_hosts(browser, shown):
    """After the test before, whose requests are in the log."""
    sent = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
    own = urlsplit(shown[1]).netloc
    assert len(asked) > 5
    assert {urlsplit(one).netloc for one in asked if urlsplit(one).scheme not in ("data", "blob")} == {own}


@in_a_browser
def test_nothing_overflows(browser, shown):
    wide(browser, PHONE)
    browser.get(shown[1])
    drawn(browser, "")
    chosen(browser, "guidance", "both")
    browser.execute_script("document.querySelector('#hold').click()")
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#held .cells img"))
    for width in (PHONE, DESKTOP):
        wide(browser, width)
        until(browser, lambda width=width: browser.execute_script("return window.innerWidth") == width)
        page = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        assert browser.execute_script(page) == 0
        outside = browser.execute_script(
            "return [...document.querySelectorAll('h1, p, figure, figure img, label, input, textarea')]"
            "  .filter(one => one.offsetParent !== null)"
            "  .filter(one => {const box = one.getBoundingClientRect();"
            "    return box.width > 0 && (box.left < -1 || box.right > window.innerWidth + 1)})"
            "  .map(one => one.outerHTML.slice(0, 120))"
        )
        assert outside == []
        new, held, controls = browser.execute_script(
            "return ['#new', '#held', '#guidance'].map("
            "  one => document.querySelector(one).getBoundingClientRect().top)"
        )
        assert new == held, "pictures stand side by side"
        assert (new < controls - 50) == (width == PHONE), "on a phone the pictures come first"


def test_other_names_of_this_machine_are_not_answered(shown):
    request = urllib.request.Request(shown[1], headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    refused.value.close()
    assert refused.value.code == 400
    with urllib.request.urlopen(shown[1], timeout=PATIENCE) as answer:
        policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy


def test_a_port_that_is_taken_is_one_sentence(run, shown, capsys):
    port = urlsplit(shown[1]).port
    assert main(["view", str(run), "--port", str(port), "--no-open"]) == 2
    error = capsys.readouterr().err
    assert f"port {port} of 127.0.0.1 cannot be used" in error
    assert "--port 0 for any that is free" in error
    assert error.count("\n") == 1


def test_ctrl_c_ends_it_cleanly(shown):
    """The last of those that use the page."""
    process, address = shown
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, error
    assert "Traceback" not in error
    assert error.splitlines()[-1] == "ended"
    assert out == ""
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", urlsplit(address).port or 0)),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 4, "nowhere holds no network; give a saved one, a run or a checkpoint"),
        (["{run}", "--port", "70000"], 2, "70000 is not in the range 0<=x<=65535"),
        (["{run}", "--port", "http"], 2, "'http' is not a valid integer"),
        (["{run}", "--host", "no such host"], 2, "--host no such host is no address"),
        (["{run}", "--device", "teapot"], 2, "'teapot' cannot be used here"),
        (["{run}", "sampler.stpes=3"], 2, "'steps'"),
        (["{run}", "colour=red"], 2, "colour"),
    ],
)
def test_what_is_wrong_is_one_sentence(run, tmp_path, monkeypatch, capsys, words, code, message):
    monkeypatch.chdir(tmp_path)
    words = [one.replace("{run}", str(run)) for one in words]
    assert main(["view", *words, *([] if "--port" in words else ["--port", "0"]), "--no-open"]) == code
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_without_gradio_the_extra_is_named(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["view", str(run)]) == 3
    error = capsys.readouterr().err
    assert error == ("error: 'thalweg view' needs the package gradio: pip install 'thalweg-eval[view]'\n")


def test_no_browser_is_opened_without_a_screen(monkeypatch):
    from thalweg_eval.view import serving

    monkeypatch.setattr(serving.sys, "platform", "linux")
    monkeypatch.setattr(serving.webbrowser, "open", lambda _: pytest.fail("it was opened"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not serving.opened_in_browser("http://127.0.0.1:1/")
    monkeypatch.setattr(serving.webbrowser, "open", lambda address: address.endswith(":1/"))
    monkeypatch.setenv("DISPLAY", ":0")
    assert serving.opened_in_browser("http://127.0.0.1:1/")


def test_a_network_without_a_calibration_is_measured_where_its_data_are(run, tmp_path):
    network = thalweg.load(run)
    kept, network.calibration = network.calibration, None
    thalweg.save(tmp_path / "away", network)
    shutil.copytree(run, tmp_path / "run")
    thalweg.save(tmp_path / "run/model", network)
    identity = ["autoencoder=identity"]
    away = ViewedNetwork(str(tmp_path / "away"), identity, "cpu")
    assert away.uncalibrated.startswith("There is no calibrated scale: none was saved with the network")
    assert not away.choice.calibrated
    said: list[str] = []
    near = ViewedNetwork(str(tmp_path / "run"), (), "cpu", said.append)
    assert near.uncalibrated == ""
    assert said[-1].startswith("measuring the network's heads on training data")
    choice = Choice(guidance="internal", after=1, calibrated=True, steps=2, count=2)
    command_line = near.draw(choice).command
    assert "calibrated" in command_line
    # As after many samples, for which the command compiles a network that nobody has used.
    before = near.draw(choice).images
    near._network.compile_regions()
    assert torch.equal(near.draw(choice).images, before)
    assert not near._network.is_compiled
    assert kept is not None
    with pytest.raises(ConfigError, match="calibrat"):
        away.draw(choice)


def test_a_network_without_heads_or_dropout_says_why_controls_are_missing(tmp_path):
    network = thalweg.compose(
        backbone={"type": "dit", "width": 16, "depth": 2, "heads": 2, "patch": 4},
        facts=thalweg.Facts(shape=(1, 8, 8), condition_dropout=False),
    )
    thalweg.save(tmp_path / "net", network)
    viewed = ViewedNetwork(str(tmp_path / "net"), ["autoencoder=identity", "sampler=euler"], "cpu")
    assert viewed.heads == ()
    assert viewed.uncalibrated == "The network has no intermediate head; thalweg fit-head adds one."
    assert "neither classes nor captions" in viewed.unconditional
    drawn_samples = viewed.draw(attrs.evolve(viewed.choice, steps=2, count=3))
    assert (drawn_samples.images.shape, drawn_samples.nfe) == ((3, 1, 8, 8), 2.0)
    assert "autoencoder=identity" in drawn_samples.command
    with pytest.raises(ConfigError, match="name what decodes them"):
        ViewedNetwork(str(tmp_path / "net"), (), "cpu")
