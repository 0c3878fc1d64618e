"""Reports of runs that are damaged, hostile or long: the rest is shown, and what is left out is named."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from recorded_configs import recorded
from report_samples import a_passport, a_run, digit_grid
from thalweg.cli.main import main
from thalweg.documents import DIGEST, digest_of
from thalweg_eval.report.runs import read_runs


def png(width, height):
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb():
    """A PNG header of a picture of gigapixels, all checksums right."""
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [header, data, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (len(one) - 4).to_bytes(4, "big") + one + zlib.crc32(one).to_bytes(4, "big") for one in chunks
    )


def reported(tmp_path, capsys, *runs, code=0):
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out)]) == code
    printed = capsys.readouterr()
    page = out.read_text() if out.exists() else ""
    return page, printed.err


def is_named(word, page, err):
    return word in err and word in page and "Left out" in page


NESTED = "[" * 100_000


def fifo(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "is no JSON"),
        (b"[1, 2]", "is no JSON object"),
        (b'{"step": 25, "loss": "high"}', "has no number as its loss"),
        (b'{"step": "one", "loss": 1.0}', "has no number as its step"),
        (b'{"step": [1], "loss": 1.0}', "has no number as its step"),
        (b'{"step": 25, "loss": 1' + b"0" * 400 + b"}", "has something else than a number"),
        (b"\xff\xfe", "is no UTF-8"),
        (NESTED.encode(), "is nested too deeply"),
        (b"\0\0\0\0", "is no JSON"),
        (b'{"step": 25, "x": "' + b"x" * 3_000_000 + b'"}', "is no JSON"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_shown(tmp_path, capsys, line, reason):
    folder = a_run(tmp_path / "a")
    lines = (folder / "metrics.jsonl").read_bytes().splitlines()
    (folder / "metrics.jsonl").write_bytes(b"\n".join([lines[0], line, *lines[1:]]) + b"\n")
    page, err = reported(tmp_path, capsys, folder)
    assert is_named(f"line 2 of {folder / 'metrics.jsonl'}", page, err)
    assert reason in err
    (run,) = read_runs([folder])
    assert tuple(run.over("step", "loss").values) == (4.0, 2.0, 1.0)
    assert run.newest["step"] == 30


def test_many_damaged_lines_are_counted(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("nonsense\n" * 5000)
    page, err = reported(tmp_path, capsys, folder)
    assert is_named("and 4,999 more: left out", page, err)


def test_numbers_that_are_not_finite_leave_gaps(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(
            '{"step": 40, "seconds": 20.0, "loss": NaN}\n{"step": 50, "seconds": null, "loss": null}\n'
        )
    page, err = reported(tmp_path, capsys, folder)
    assert err == ""
    assert "2 points left out: not finite" in page


@pytest.mark.parametrize("kind", ["metrics.jsonl", "config.toml"])
def test_a_fifo_is_never_waited_for(tmp_path, capsys, kind):
    folder = a_run(tmp_path / "a")
    fifo(folder / kind)
    page, err = reported(tmp_path, capsys, folder)
    assert is_named(str(folder / kind), page, err)
    assert "it is a FIFO" in err


@pytest.mark.parametrize(
    "text", [b"name = ", b"\xff", b"a = " + NESTED.encode(), b"a" + b".a" * 2000 + b" = 1", b"#" * 5_000_000]
)
def test_a_damaged_configuration_is_named_and_the_numbers_are_shown(tmp_path, capsys, text):
    folder = a_run(tmp_path / "a")
    (folder / "config.toml").write_bytes(text)
    page, err = reported(tmp_path, capsys, folder, a_run(tmp_path / "b", "other"))
    assert is_named(f"{folder / 'config.toml'} cannot be read", page, err)
    assert "loss over step" in page


def test_a_configuration_of_other_types_is_shown(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    (folder / "config.toml").write_text(recorded('name = [1]\ntraining = "none"\nseed = {a = 1}\n'))
    _, err = reported(tmp_path, capsys, folder)
    assert err == ""


def test_what_is_no_run_stays_an_error(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "nowhere"):
        _, err = reported(tmp_path, capsys, path, code=4)
        assert "holds no run" in err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (digit_grid(0)[:200], "no whole PNG file"),
        (digit_grid(0)[:10], "no whole PNG file"),
        (b"", "no whole PNG file"),
        (b"GIF89a" + bytes(100), "no whole PNG file"),
        (digit_grid(0)[:60] + b"\0" * 40 + digit_grid(0)[100:], "no whole PNG file"),
        (bomb(), "it has 60,000 x 60,000 pixels"),
        (png(20_000, 1), "it has 20,000 x 1 pixels"),
    ],
    ids=["cut", "short", "empty", "gif", "damaged", "bomb", "wide"],
)
def test_a_damaged_picture_is_named_and_the_others_are_shown(tmp_path, capsys, content, reason):
    folder = a_run(tmp_path / "a")
    (folder / "samples" / "step-000020.png").write_bytes(content)
    page, err = reported(tmp_path, capsys, folder)
    assert is_named("step-000020.png is not shown", page, err)
    assert reason in err
    assert page.count("data:image/png;base64,") == 2


def test_no_picture_from_outside_the_run_is_shown(tmp_path, capsys):
    secret = digit_grid(120)
    outside = tmp_path / "outside"
    outside.mkdir()
    for step in (10, 20, 30):
        (outside / f"step-{step:06d}.png").write_bytes(secret)
    one, other = a_run(tmp_path / "a"), a_run(tmp_path / "b", "other")
    (one / "samples" / "step-000020.png").unlink()
    (one / "samples" / "step-000020.png").symlink_to(outside / "step-000020.png")
    for path in (other / "samples").iterdir():
        path.unlink()
    (other / "samples").rmdir()
    (other / "samples").symlink_to(outside)
    page, err = reported(tmp_path, capsys, one, other)
    assert is_named("step-000020.png is not shown: it is a link", page, err)
    assert is_named(f"{other / 'samples'} is a link", page, err)
    assert page.count("data:image/png;base64,") == 2


def test_a_fifo_among_the_pictures_is_named(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    fifo(folder / "samples" / "step-000010.png")
    page, err = reported(tmp_path, capsys, folder)
    assert is_named("step-000010.png is not shown: it is a FIFO", page, err)


def test_passports_outside_the_run_are_not_found(tmp_path, capsys):
    folder, outside = a_run(tmp_path / "a"), tmp_path / "outside"
    outside.mkdir()
    a_passport(outside / "score.json", folder, 1234.5, 30)
    (folder / "score.json").symlink_to(outside / "score.json")
    (folder / "more").symlink_to(outside)
    (folder / "round").symlink_to(folder)
    page, err = reported(tmp_path, capsys, folder)
    assert "1,234" not in page
    for name in ("score.json", "more", "round"):
        assert is_named(f"{folder / name} is a link, and is not followed", page, err)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\xfe\0"),
        lambda path: path.write_text(NESTED),
        lambda path: edited(path, conditions=json.loads('{"a":' * 400 + "1" + "}" * 400)),
        lambda path: path.write_bytes(b" " * (17 * 2**20)),
        fifo,
        lambda path: edited(path, numbers=[]),
        lambda path: edited(path, numbers={"fid": {"value": "low"}}),
        lambda path: edited(path, numbers={"fid": None}),
        lambda path: edited(path, subject={"step": "many"}),
        lambda path: edited(path, subject={"step": 10**400}),
        lambda path: edited(path, subject=None),
        lambda path: edited(path, conditions="none"),
        lambda path: edited(path, version=99),
    ],
)
def test_a_damaged_passport_is_named_and_the_others_are_shown(tmp_path, capsys, spoil):
    folder = a_run(tmp_path / "a")
    for name, value in (("whole", 1234.5), ("spoilt", 1.0)):
        a_passport(folder / f"{name}.json", folder, value, 30)
    spoil(folder / "spoilt.json")
    page, err = reported(tmp_path, capsys, folder)
    assert is_named(str(folder / "spoilt.json"), page, err)
    assert "1,234" in page


def edited(path, **changes):
    """As a stranger may write it, digest and all."""
    data = {**json.loads(path.read_text()), **changes}
    del data[DIGEST]
    path.write_text(json.dumps({**data, DIGEST: digest_of(data)}))


def test_other_json_is_skipped_in_silence(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    (folder / "model.json").write_text('{"format": "another"}')
    (folder / "list.json").write_text("[1, 2]")
    _, err = reported(tmp_path, capsys, folder)
    assert err == ""


def test_a_passport_that_is_named_must_be_whole(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    fifo(tmp_path / "given.json")
    out = str(tmp_path / "report.html")
    assert main(["report", str(folder), "--passport", str(tmp_path / "given.json"), "--out", out]) == 4
    assert "it is a FIFO" in capsys.readouterr().err


def test_a_long_run_takes_time_and_memory_in_proportion(tmp_path):
    folder = a_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, 200_001):
            line = {"step": step, "seconds": step / 8, "loss": 1 / step, "velocity/branch_1": 2 / step}
            file.write(
                json.dumps({**line, "validation/velocity/branch_1": 3 / step, "grad_norm": 1.0}) + "\n"
            )
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom thalweg.cli.main import main\n"
        "assert main(['report', sys.argv[1], '--out', sys.argv[2]]) == 0\n"
        "print(time.process_time(), Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "report.html")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, peak = map(float, done.stdout.splitlines()[-1].split())
    # Seconds of a processor; machines differ, and what is quadratic takes minutes.
    assert seconds < 15
    assert peak < 200 * 1024  # KiB


def test_credentials_of_a_configuration_are_not_shown(tmp_path, capsys):
    folder = a_run(tmp_path / "a", name="at https://user:s3cr3t-word@host/x?sig=s3cr3t-word")
    text = (folder / "config.toml").read_text().rpartition("# sha256")[0]
    text += '[data]\nurl = "https://me:s3cr3t-word@host"\nstorage_options = {key = "s3cr3t-word"}\n'
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "config.toml").write_text(f'{text}# sha256 = "{digest}"\n')
    page, err = reported(tmp_path, capsys, folder)
    assert "s3cr3t-word" not in page + err
    assert "https://***@host" in page


@pytest.mark.parametrize("kind", ["metrics.jsonl", "config.toml"])
def test_what_links_lead_to_is_not_shown(tmp_path, capsys, kind):
    folder = a_run(tmp_path / "a")
    (tmp_path / "outside").write_text(
        'word = "s0mewhere"' if kind == "config.toml" else '{"step": 1, "loss": 7654.25}\n'
    )
    (folder / kind).unlink()
    (folder / kind).symlink_to(tmp_path / "outside")
    page, err = reported(tmp_path, capsys, folder)
    assert is_named(str(folder / kind), page, err)
    assert "it is a link" in err
    assert "s0mewhere" not in page
    assert "7,654" not in page


def test_a_run_may_be_reached_through_a_link(tmp_path, capsys):
    a_run(tmp_path / "a")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    page, err = reported(tmp_path, capsys, tmp_path / "b")
    assert err == ""
    assert page.count("data:image/png;base64,") == 3


def test_lines_without_seconds_tell_none(tmp_path):
    folder = a_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "loss": 0.5}\n')
    (run,) = read_runs([folder])
    assert tuple(run.over("step", "seconds").values) == (5.0, 10.0, 15.0)
    assert tuple(run.over("step", "loss").steps) == (10.0, 20.0, 30.0, 40.0)
    assert tuple(run.over("seconds", "loss").steps) == (5.0, 10.0, 15.0)
    assert run.seconds_until(45) == 15.0
    assert run.seconds_until(5) is None


def test_long_texts_of_strangers_are_cut(tmp_path, capsys):
    folder = a_run(tmp_path / "a")
    long = "a" * 1_000_000 + "://b"
    (folder / "config.toml").write_text(recorded(f'name = "{long}"\nseed = "{long}"\nother = ["{long}"]\n'))
    a_passport(folder / "score.json", folder, 1234.5, 30)
    edited(folder / "score.json", conditions={"protocol": {long: long}}, made=long)
    page, err = reported(tmp_path, capsys, folder)
    assert err == ""
    assert len(page) < 200_000
