"""Ablations that are ended by signals, and whose files are damaged between two sittings."""

import json
import os
import signal
import threading
import time

import pytest

from thalweg.cli.main import main
from thalweg.config import to_toml
from thalweg_eval.ablation import planning
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.ablation.planning import plan
from thalweg_eval.report.run_files import check_picture
from tiny_ablations import AXIS, PROTOCOL
from tiny_runs import recipe


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    (folder / "moment.toml").write_text(to_toml(PROTOCOL))
    asked = [
        "ablate",
        str(recipe(folder, steps=4, sample_every=4)),
        "--axis",
        "refiner=plain",
        "--seeds",
        "1",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield [*asked, "--times", "2", "--protocol", str(folder / "moment.toml"), "--out"]


@pytest.fixture(scope="module")
def done(command, tmp_path_factory):
    """The files of an ablation that is complete."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert main([*command, str(out)]) == 0
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture
def again(command, done, tmp_path, capsys):
    """A copy of it, and the same command."""
    for name, content in done.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)

    def call():
        code = main([*command, str(tmp_path)])
        return code, capsys.readouterr().err

    return tmp_path, call


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGUSR1, 75, "pre-empted"), (signal.SIGTERM, 75, "pre-empted"), (signal.SIGINT, 130, "interr")],
)
def test_a_signal_during_training_ends_with_its_code_and_one_sentence(
    command, tmp_path, capsys, number, code, says
):
    long = [
        *command[:2],
        "training.steps=100000",
        "training.log_every=1",
        *command[2:],
        str(tmp_path / "out"),
    ]
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.01):
            if any(path.stat().st_size for path in tmp_path.rglob("metrics.jsonl")):
                os.kill(os.getpid(), number)
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert main(long) == code
    finally:
        ended.set()
        sender.join()
    said = capsys.readouterr().err
    assert f"error: {says}" in said
    assert "the same command resumes from there" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_between_trainings_ends_with_75(command, tmp_path, capsys, monkeypatch, number):
    from thalweg_eval.ablation import running

    def evaluated(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr(running, "evaluate", evaluated)
    before = signal.getsignal(number)
    assert main([*command, str(tmp_path / "out")]) == 75
    assert "the same command resumes" in capsys.readouterr().err
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"seconds": {}}', b"\xff\xfe", b"NaN"])
def test_damaged_seconds_are_made_anew(again, done, content):
    out, call = again
    (name,) = (one for one in done if one.name.endswith("-seconds.json"))
    (out / name).write_bytes(content)
    code, said = call()
    assert code == 0
    assert "is made anew from metrics.jsonl" in said
    (metrics,) = out.rglob("metrics.jsonl")
    told = {line["step"]: line["seconds"] for line in map(json.loads, metrics.read_text().splitlines())}
    new = json.loads((out / name).read_text())["seconds"]
    assert new == pytest.approx({step: told[int(step)] for step in new})
    assert new.keys() == json.loads(done[name])["seconds"].keys()


def test_every_flipped_bit_of_the_seconds_is_noticed(again, done):
    out, call = again
    (name,) = (one for one in done if one.name.endswith("-seconds.json"))
    for at in range(0, len(done[name]), 29):
        content = bytearray(done[name])
        content[at] ^= 1
        (out / name).write_bytes(content)
        code, said = call()
        assert code == 0
        told = json.loads((out / name).read_text())["seconds"]
        assert "is made anew" in said or told == json.loads(done[name])["seconds"]


@pytest.mark.parametrize("cut", [0, 4, 20, 60, -5])
def test_a_damaged_picture_is_named_and_left_out(again, done, cut):
    out, call = again
    (name,) = (one for one in done if one.suffix == ".png")
    check_picture(done[name])
    (out / name).write_bytes(done[name][:cut])
    code, said = call()
    assert code == 0
    assert f"{out / name} is damaged (it is no whole PNG file); the report does without it" in said
    assert "data:image/png" not in (out / "report.html").read_text()


def test_a_damaged_passport_is_made_anew_where_its_network_is_there(again, done):
    out, call = again
    first, last = sorted(one for one in done if "-step-" in one.name and one.suffix == ".json")
    (out / last).write_bytes(done[last].replace(b'"value": ', b'"value": 1', 1))
    code, said = call()
    assert code == 0
    assert "damaged or was changed" in said
    told, was = json.loads((out / last).read_text()), json.loads(done[last])
    assert told["numbers"] == was["numbers"]
    (out / first).write_bytes(b"{")
    code, said = call()
    assert code == 4
    assert "the same command trains that run anew" in said


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '{"recipe": 1}', '{"a": NaN}'])
def test_a_damaged_plan_is_named_whatever_the_damage(command, tmp_path, capsys, content):
    (tmp_path / "ablation.json").write_text(content)
    assert main([*command, str(tmp_path)]) == 4
    said = capsys.readouterr().err
    assert f"{tmp_path / 'ablation.json'} is damaged" in said
    assert "choose another --out" in said


def test_cells_of_one_composition_are_composed_once(command, tmp_path, monkeypatch):
    counted = []
    known = planning.forward_flop
    monkeypatch.setattr(planning, "forward_flop", lambda network: counted.append(1) or known(network))
    rates = ",".join(f"{0.001 * (1 + step):.4f}" for step in range(20))
    ablation = read_ablation(
        recipe(tmp_path), axes=(f"training.optimizer.lr={rates}", AXIS), protocol=command[-2], seeds=1
    )
    runs = plan(ablation, tmp_path)
    assert (len(runs), len(counted)) == (40, 2)
    assert len({run.gflop for run in runs}) == 2
