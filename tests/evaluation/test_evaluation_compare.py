"""One network evaluated several ways: the same as each alone, from the same noise, against one reference."""

import functools
import json

import attrs
import pytest

import thalweg
import thalweg_eval
from evaluated import FAST, run_folder
from thalweg.cli.main import main
from thalweg.errors import ConfigError, DataError
from thalweg.generation.recording import check_named, recorded, recorded_guidances
from thalweg.passport import read_passport
from thalweg_eval.evaluation.compare import compare
from thalweg_eval.evaluation.image_sets.generated import GeneratedImages
from thalweg_eval.evaluation.variants import variants_of

SETTINGS = (*FAST, "count=40")
WAYS = {
    "plain": {"guidance": None},
    "cfg 1.5": {"guidance": {"type": "cfg", "scale": 1.5}},
    "heun": {"sampler": {"type": "heun", "steps": 3}, "guidance": None},
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return thalweg.load(run_folder(tmp_path_factory.mktemp("runs") / "run"))


def evaluated(subject, work, **options):
    options = {"protocol": "quick", "settings": SETTINGS, "data": "digits", **options}
    return thalweg_eval.evaluate(subject, work=work, **options)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def together(network, work):
    told = []
    found = evaluated(
        network, work, compare=WAYS, out=work / "out", progress=lambda what, *_: told.append(what)
    )
    assert told.index("samples") > max(at for at, what in enumerate(told) if what == "reference")
    return found


def test_ways_side_by_side_are_those_one_by_one(together, network, tmp_path):
    for name, way in WAYS.items():
        alone = evaluated(network, tmp_path, sampling=way)
        assert together[name].values == alone.values
        assert together[name].conditions == alone.conditions
        assert together[name].subject == alone.subject
        assert together[name].protocol == alone.protocol
    assert len({one["fd_small_classifier"] for one in together.values()}) == 3


def test_the_table_ranks_them_and_tells_their_cost(together):
    lines = str(together).splitlines()
    assert lines[0].split() == ["number", "plain", "cfg", "1.5", "heun"]
    assert [line.split()[0] for line in lines[1:]] == [
        "fd_small_classifier", "accuracy_small_classifier", "nfe"
    ]  # fmt: skip
    assert lines[1].count("*") == 1
    assert lines[3].split()[1:] == ["2", "4", "5"]  # of three steps, the last by Euler


def test_each_way_has_a_passport_that_compare_reads(together, work):
    read = [read_passport(work / "out" / f"{name}.json") for name in WAYS]
    assert read == list(together.values())
    assert compare(read).best == {}
    assert compare(read, ["sampling"]).best["fd_small_classifier"]
    assert not list((work / "unfinished").iterdir())


def test_interrupted_it_resumes_where_it_was(together, network, tmp_path, monkeypatch):
    reading, drawn = GeneratedImages.read, []

    def read(self, start, stop):
        drawn.append((start, stop))
        if len(drawn) == 3:  # 40 images come in two batches of each way
            raise KeyboardInterrupt
        return reading(self, start, stop)

    monkeypatch.setattr(GeneratedImages, "read", read)
    options = {"compare": WAYS, "batch_size": 20, "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        evaluated(network, tmp_path / "work", **options)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plain.json"]
    again = evaluated(network, tmp_path / "work", **options)
    assert len(drawn) == 7  # nothing of the first way was drawn again
    for name, passport in again.items():
        assert passport.values == pytest.approx(together[name].values, rel=1e-4)


def test_a_way_may_be_a_list_of_settings(network, tmp_path, together):
    found = evaluated(
        network,
        tmp_path,
        compare={"two": ["sampling.sampler.steps=2"], "cfg": ['sampling.guidance={type="cfg", scale=1.5}']},
    )
    assert found["cfg"].values == together["cfg 1.5"].values
    assert found["two"].values == together["plain"].values


def test_faults_of_ways_are_told_before_anything_is_drawn(network, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "thalweg.network_sampler.NetworkSampler.__call__", lambda *_: pytest.fail("it was drawn")
    )
    with pytest.raises(ConfigError, match=r"sampling\.sampler\.steps"):
        evaluated(network, tmp_path, compare={**WAYS, "none": {"sampler": {"type": "euler", "steps": 0}}})
    with pytest.raises(ConfigError, match="did you mean 'euler'"):
        evaluated(network, tmp_path, compare={**WAYS, "none": {"sampler": "eulr"}})


def test_what_stands_in_the_way_of_a_passport_is_told_first(network, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "heun.json").write_text("{}")
    with pytest.raises(ConfigError, match="heun\\.json exists and is no passport"):
        evaluated(network, tmp_path, compare=WAYS, out=tmp_path / "out")


def test_names_become_names_of_files():
    ways = variants_of({"a/b: *": {}, "../up": {}}, None)
    assert [way.file for way in ways] == ["a-b- -.json", "-up.json"]


def test_axes_of_the_command_line_are_ways(tmp_path, capsys):
    run = run_folder(tmp_path / "run")
    words = ["evaluate", str(run), *SETTINGS, "--protocol", "quick", "--work", str(tmp_path / "work")]
    axes = ["--axis", "sampling.sampler.steps=2,3", "--axis", "sampling.guidance=none,cfg"]
    assert main([*words, *axes, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "sampling.sampler.steps=2, sampling.guidance=none" in said
    assert said.count("*") >= 2
    assert len(list((tmp_path / "out").glob("*.json"))) == 4
    assert main([*words, *axes[:2], "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {
        "sampling.sampler.steps=2",
        "sampling.sampler.steps=3",
    }
    assert main([*words, "--axis", "count=2,3"]) == 2


@attrs.frozen
class Known:
    """A guidance that says of itself what it reads."""

    identity: dict[str, object]


def test_guidance_is_recorded_with_what_it_says_of_itself():
    stated = [{"type": "internal", "scale": 1.2}, {"type": "auto", "network": "runs/small", "scale": 2.0}]
    known = [object(), Known({"network": {"sha256": "12ab"}})]
    assert recorded_guidances(stated, known) == [stated[0], {**stated[1], "network": {"sha256": "12ab"}}]
    assert recorded_guidances(stated[1], known[1:])["network"] == {"sha256": "12ab"}
    assert recorded_guidances("none", []) == "none"


def guided(scale):
    return lambda field: scale * field


def test_parts_without_a_name_are_told_by_their_state():
    stated = {"object": "mine:Guided"}
    digests = [recorded(stated, part)["state"] for part in (
        guided(2.0), guided(2.0), guided(3.0), Known({"a": "b"}), functools.partial(guided, 2.0)
    )]  # fmt: skip
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    assert recorded({"type": "cfg"}, guided(2.0)) == {"type": "cfg"}
    with pytest.raises(ConfigError, match=r"guidance is an object of this process \(mine:Guided\)"):
        check_named(2, {"sampler": {"type": "euler"}, "guidance": [{"type": "cfg"}, stated]})
    check_named(1, {"guidance": stated})


def test_the_protocol_s_own_faults_are_told_with_ways(network, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        evaluated(tmp_path / "none", tmp_path, compare=WAYS)
