"""``thalweg compare``: side by side, ranked only where the conditions agree."""

import json

import pytest

from thalweg.cli.main import main
from thalweg.passport import Passport


def passport(path, *, steps=250, scale=None, count=10, **values):
    numbers = {
        name: {
            "value": value,
            "metric": "m",
            "features": "j",
            "extractor": "f",
            "better": {"is": "higher", "fid": "lower"}.get(name),
        }
        for name, value in values.items()
    }
    Passport(
        numbers=numbers,
        conditions={
            "count": count,
            "sampling": {
                "sampler": {"type": "euler", "steps": steps},
                "guidance": "none" if scale is None else {"type": "cfg", "scale": scale},
            },
        },
        subject={},
        protocol={},
        software={},
        machine={},
        made="2026-01-01T00:00:00+00:00",
    ).write(path)
    return str(path)


def test_numbers_of_one_protocol_are_ranked(tmp_path, capsys):
    ours = passport(tmp_path / "a.json", fid=2.5, std=0.1, **{"is": 200.0})
    theirs = passport(tmp_path / "b.json", fid=3.5, std=0.2, **{"is": 210.0})
    assert main(["compare", ours, theirs, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"] == {"fid": [0], "is": [1]}
    assert told["numbers"]["std"] == [0.1, 0.2]
    assert main(["compare", ours, theirs]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["fid", "2.5", "*", "3.5"]


def test_numbers_of_different_protocols_are_shown_and_not_ranked(tmp_path, capsys):
    ours = passport(tmp_path / "a.json", fid=2.5)
    theirs = passport(tmp_path / "b.json", fid=3.5, steps=50)
    assert main(["compare", ours, theirs]) == 1
    said = capsys.readouterr()
    assert "*" not in said.out
    assert "2.5" in said.out
    assert "sampling.sampler.steps: 250 / 50" in said.err
    assert main(["compare", ours, theirs, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["differing"] == {"sampling.sampler.steps": [250, 50]}
    assert told["best"] == {}


def test_a_number_that_one_does_not_have_is_not_ranked(tmp_path, capsys):
    ours = passport(tmp_path / "a.json", fid=2.5, **{"is": 100.0})
    theirs = passport(tmp_path / "b.json", fid=2.5)
    assert main(["compare", ours, theirs, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["best"] == {"fid": [0, 1]}
    assert told["numbers"]["is"] == [100.0, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no passport"),
        ("[]", "is no passport"),
        ('{"format": "thalweg-passport", "version": 2}', "reads 1"),
        ('{"format": "thalweg-passport", "version": 1}', "is damaged"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_passport_is_refused(tmp_path, capsys, text, message):
    path = tmp_path / "b.json"
    if text is not None:
        path.write_text(text)
    assert main(["compare", passport(tmp_path / "a.json", fid=1.0), str(path)]) == 4
    assert message in capsys.readouterr().err


def test_one_passport_is_nothing_to_compare(tmp_path, capsys):
    assert main(["compare", passport(tmp_path / "a.json", fid=1.0)]) == 2
    assert "at least two" in capsys.readouterr().err


def test_what_is_under_study_may_differ_and_is_ranked(tmp_path, capsys):
    paths = [
        passport(tmp_path / f"{place}.json", fid=fid, scale=scale)
        for place, (fid, scale) in enumerate([(9.0, None), (4.0, 1.5), (6.0, 2.0)])
    ]
    assert main(["compare", *paths]) == 1
    capsys.readouterr()
    assert main(["compare", *paths, "--over", "sampling.guidance"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["sampling.guidance", "none", "absent", "absent"] in lines
    assert ["sampling.guidance.scale", "absent", "1.5", "2.0"] in lines
    assert lines[-1] == ["fid", "9", "4", "*", "6"]
    assert main(["compare", *paths, "--over", "sampling.guidance", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["best"], told["differing"]) == ({"fid": [1]}, {})
    assert told["over"]["sampling.guidance.scale"] == [None, 1.5, 2.0]


def test_everything_else_must_agree(tmp_path, capsys):
    ours = passport(tmp_path / "a.json", fid=2.5, scale=1.5)
    theirs = passport(tmp_path / "b.json", fid=3.5, scale=2.0, steps=50)
    assert main(["compare", ours, theirs, "--over", "sampling.guidance"]) == 1
    said = capsys.readouterr()
    assert "*" not in said.out
    assert "sampling.sampler.steps: 250 / 50" in said.err
    assert "guidance" not in said.err
    both = ["--over", "sampling.guidance", "--over", "sampling.sampler.steps"]
    assert main(["compare", ours, theirs, *both]) == 0
    assert main(["compare", ours, theirs, "--over", "sampling"]) == 0
    # A key whose name begins alike is another one.
    assert main(["compare", ours, theirs, "--over", "sampling.guid"]) == 2


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("count", "'count' is of how numbers are measured"),
        ("", "'' is of how"),
        ("sampling.guidence", "no passport states 'sampling.guidence', did you mean 'sampling.guidance'?"),
    ],
)
def test_what_cannot_be_studied_is_refused(tmp_path, capsys, key, says):
    ours = passport(tmp_path / "a.json", fid=2.5)
    theirs = passport(tmp_path / "b.json", fid=3.5, count=20)
    assert main(["compare", ours, theirs, "--over", key]) == 2
    assert says in capsys.readouterr().err
