"""Comparisons of samplers: points, what is chosen, pairing, resuming, the report, and what is refused."""

import json
import shutil

import attrs
import pytest

import thalweg_eval
from evaluated import npz, run_folder
from report_samples import a_passport
from thalweg.cli.main import main
from thalweg.errors import ConfigError
from thalweg.facts import Facts
from thalweg.passport import read_passport
from thalweg.plugins import registry
from thalweg_eval.evaluation.evaluator import Evaluator
from thalweg_eval.report import render
from thalweg_eval.tuning import tune_guidance, tune_sampler
from thalweg_eval.tuning.sampler_page import page, reading, rows
from thalweg_eval.tuning.sampler_points import STEPS, TOLERANCES, points_of
from thalweg_eval.tuning.sampler_results import cheapest, edge_of, row_of, verdict
from thalweg_eval.tuning.scorer import Scored
from thalweg_eval.tuning.suited import suited

QUICK = ("count=10", "features.small_classifier.extractor.steps=2", "sampling.guidance=cfg")
FD = "fd_small_classifier"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def compared(run, work, tmp_path_factory):
    """A folder, and what was found there."""
    out = tmp_path_factory.mktemp("compared")
    shutil.rmtree(out)
    options = {"samplers": ["heun", "multistep"], "steps": "2,3", "seeds": 2, "settings": QUICK}
    return out, tune_sampler(run, out=out, work=work, write=out.parent / "chosen.toml", **options)


def counted(monkeypatch, stop=None):
    scored, score = [], Evaluator.score

    def counting(self, way, begun=None):
        if len(scored) == stop:
            raise KeyboardInterrupt
        scored.append(way)
        return score(self, way, begun)

    monkeypatch.setattr(Evaluator, "score", counting)
    return scored


def test_every_sampler_that_is_registered_is_compared_at_the_usual_costs():
    found = points_of((), None, None)
    names = {one.sampler["type"] for one in found}
    assert names == set(registry().names("sampler"))
    assert [one.at for one in found if one.curve == "heun"] == list(STEPS)
    adaptive = [one for one in found if one.curve == "dopri5"]
    assert [one.at for one in adaptive] == list(TOLERANCES)
    assert adaptive[1].stated == {"sampler": {"type": "dopri5", "rtol": 0.01, "atol": 0.01}}
    assert (adaptive[1].name, adaptive[1].axis) == ("dopri5, tolerance 0.01", "tolerance")


def test_a_table_fixes_the_other_options_and_names_the_curve():
    tables = [{"type": "unipc", "predictor_order": 3, "ends": [0.9, 0.1]}, "unipc", "unipc"]
    found = points_of(tables, (8, 4), None)
    assert [one.name for one in found] == [
        "unipc, predictor_order 3, ends 0.9 to 0.1, 4 steps",
        "unipc, predictor_order 3, ends 0.9 to 0.1, 8 steps",
        "unipc, 4 steps",
        "unipc, 8 steps",
    ]
    assert found[0].sampler == {**tables[0], "steps": 4}


@pytest.mark.parametrize(
    ("samplers", "steps", "tolerances", "said"),
    [
        (["huen"], None, None, "there is no sampler 'huen', did you mean 'heun'"),
        ([{"steps": 3}], None, None, "give a sampler's name, or a table with its type"),
        (["heun"], "2,2.5", None, "steps has 2.5; give whole numbers from 1 on, such as 4,8,16"),
        (["heun"], "0,4", None, "steps has 0; give whole numbers"),
        (["heun"], "few", None, "steps cannot be read from 'few'; write it as in 4,8,16"),
        (["dopri5"], None, "0,1", "tolerances has 0; each must be above 0"),
        (["heun"], None, "0.1", "tolerances are of samplers with rtol and atol, such as dopri5, and none is"),
        (["dopri5"], "4", None, "steps are of samplers with steps, and none is compared"),
        ([{"type": "heun", "steps": 3}], None, None, "steps of sampler heun is stated and varied; leave it"),
        ([{"type": "dopri5", "atol": 1.0}], None, None, "atol of sampler dopri5 is stated and varied"),
    ],
)
def test_points_that_make_no_sense_are_refused(samplers, steps, tolerances, said):
    with pytest.raises(ConfigError, match=said):
        points_of(samplers, steps, tolerances)


def test_a_sampler_without_a_cost_is_left_out_and_refused_by_name(monkeypatch):
    @attrs.frozen
    class Fixed:
        """Always the same."""

    @attrs.frozen
    class Needy:
        """Steps, and something else."""

        other: str
        steps: int = 3

    found = registry()
    usual = type(found).config_class

    def config_class(self, kind, name):
        return {"heun": Fixed, "euler": Needy}.get(name) or usual(self, kind, name)

    monkeypatch.setattr(type(found), "config_class", config_class)
    assert {"heun", "euler"}.isdisjoint(one.curve for one in points_of((), None, None))
    assert points_of([{"type": "euler", "other": "x"}], "2", None)[0].name == "euler, other x, 2 steps"
    with pytest.raises(ConfigError, match="sampler heun has neither steps nor rtol and atol, so there is no"):
        points_of(["heun"], None, None)


def test_of_all_samplers_those_are_compared_that_can_follow_the_field():
    points, said = points_of((), "2", "0.5"), []
    facts = Facts(shape=(1, 8, 8), classes=10, condition_dropout=True)
    cfg = {"type": "cfg", "scale": 1.5}
    assert suited(points, attrs.evolve(facts, flow_map=True), None, said.append) == points
    assert not said
    for case in ((facts, None), (attrs.evolve(facts, flow_map=True), cfg)):
        assert {one.curve for one in points} - {one.curve for one in suited(points, *case, said.append)} == {
            "flow_map"
        }
    assert [line.partition(" follows average")[0] for line in said] == [
        "flow_map is left out: the sampler flow_map",
        "flow_map is left out: the sampler",
    ]


def scored(passport, *rows):
    """Points of heun at 1, 2, ... steps: NFE, and the distance under each seed."""
    better = {"fd": "lower", "recall": "higher"}
    found = []
    for point, (nfe, values) in zip(points_of(["heun"], range(1, 1 + len(rows)), None), rows, strict=True):
        passports = tuple(
            attrs.evolve(
                passport,
                numbers={
                    name: {"value": number, "metric": name, "features": "f", "extractor": "e", "better": way}
                    for (name, way), number in zip(better.items(), (value, 1 / value), strict=True)
                },
                subject={**passport.subject, "nfe": float(nfe)},
                machine={**passport.machine, "seconds": 10.0 * nfe},
            )
            for value in values
        )
        found.append(Scored(point, passports, ("x.json",) * len(values)))
    return found


@pytest.fixture
def passport(tmp_path):
    a_passport(tmp_path / "p.json", tmp_path, 2.0, 30)
    return read_passport(tmp_path / "p.json")


def test_the_least_nfe_within_the_noise_of_the_best_is_chosen(passport):
    # Paired differences to the last: 1 and 1.1, beyond the noise; -0.1 and 0.2, within it; none.
    found = scored(passport, (1, (7.0, 9.1)), (3, (5.9, 8.2)), (5, (6.0, 8.0)))
    chosen, alike = cheapest(found, "fd", higher=False)
    assert (chosen, alike) == (found[1], found[1:])
    said = verdict(found[2], chosen, 2, "fd", 2)
    assert said.startswith(
        "Best in fd (7 ± 13) is heun, 3 steps (NFE 5). Chosen is heun, 2 steps (NFE 3): of"
    )
    assert said.endswith("Its difference to the best is 0.05 ± 1.9.")
    # What was drawn together is compared together: each seed alone differs by much more than the points do.
    assert cheapest(scored(passport, (1, (6.01, 8.01)), (3, (6.0, 8.0))), "fd", higher=False)[0].nfe == 3
    # Of equal cost and within the noise the better one, and more is better of some.
    equal = scored(passport, (3, (5.9, 8.2)), (3, (6.0, 8.0)))
    assert cheapest(equal, "fd", higher=False)[0] is equal[1]
    worse = scored(passport, (1, (12.0, 24.0)), (3, (6.0, 8.0)))
    assert cheapest(worse, "recall", higher=True)[0] is worse[1]
    assert "no other point is within its noise" in verdict(found[2], found[2], 1, "fd", 2)


def test_under_one_seed_the_best_is_chosen_and_that_is_said(passport):
    found = scored(passport, (1, (6.0001,)), (3, (6.0,)))
    chosen, alike = cheapest(found, "fd", higher=False)
    assert (chosen, alike) == (found[1], [found[1]])
    assert "One seed says nothing of the noise: state --seeds 3" in verdict(chosen, chosen, 1, "fd", 1)


def test_a_best_point_that_is_the_most_costly_of_its_curve_is_warned_of():
    points = points_of(["heun", "dopri5"], (2, 4), (0.1, 0.01))
    assert edge_of(points[0], points) == ""
    assert "the most costly point of heun: more steps may be better" in edge_of(points[1], points)
    assert edge_of(points[2], points) == ""
    assert "of dopri5: a smaller tolerance may be better" in edge_of(points[3], points)
    assert edge_of(points[0], points[:1]) == ""


def test_the_page_has_a_curve_a_sampler_over_nfe_and_says_what_seconds_are(passport):
    found = scored(passport, (1, (7.0, 9.1)), (3, (5.9, 8.2)), (5, (6.0, 8.0)))
    told = {
        "subject": "run", "network": {"checkpoint": "ab" * 32, "step": 300}, "guidance": {"type": "cfg"},
        "protocol": {"name": "quick", "version": 1, "sha256": "c", "settings": []}, "count": 40,
        "seeds": [0, 1], "by": "fd", "better": {"fd": "lower", "recall": "higher"},
        "points": [row_of(one, found[2]) for one in found], "best": found[2].point.name,
        "chosen": row_of(found[1], found[2]), "alike": [one.point.name for one in found[1:]], "rule": "Rule.",
        "verdict": "Verdict.", "warnings": ["Costly."], "written": "chosen.toml", "command": "thalweg tune",
        "software": {"python": "3.11"}, "made": ["2026-01-01"] * 2, "machines": ["Linux"],
    }  # fmt: skip
    built = page(told)
    assert "1 sampler at 3 costs, 2 seeds each, guided by cfg." in built.subtitle
    fd, recall = [part for part in built.sections[0].parts if hasattr(part, "curves")]
    assert (fd.title, fd.log_x, fd.log_y, recall.log_y) == ("fd over NFE", True, True, False)
    assert [(one.name, one.steps, one.values) for one in fd.curves] == [
        ("heun", (1, 3, 5), (8.05, 7.05, 7.0))
    ]
    (table,) = built.sections[1].parts
    assert table.header == ("", "NFE", "fd", "less the best", "recall", "seconds (wall time)")
    assert table.rows[1][:2] == ("heun, 2 steps (chosen)", "3")
    assert (table.rows[1][5], table.rows[2][3]) == ("30", None)
    assert "Seconds are the wall time of sampling and scoring" in table.caption
    assert [row[0] for row in rows(told)] == ["", "heun, 1 step", "heun, 2 steps *", "heun, 3 steps"]
    text = render(built)
    for sentence in ("Verdict.", "Rule.", "Costly.", "chosen.toml", *reading(told)):
        assert sentence in text
    assert "unguided." in page({**told, "guidance": "none"}).subtitle


def test_every_point_has_the_numbers_that_it_has_alone_with_the_protocols_guidance(run, work, compared):
    out, found = compared
    point = next(one for one in found["points"] if one["name"] == "heun, 3 steps")
    alone = thalweg_eval.evaluate(
        run,
        protocol="quick",
        settings=(*QUICK, "sampling.seed=1"),
        sampling={"sampler": {"type": "heun", "steps": 3}},
        work=work,
    )
    kept = json.loads((out / point["passports"][1]).read_text())
    assert kept["numbers"] == alone.numbers
    assert kept["conditions"] == alone.conditions
    # Five evaluations, each of both halves of classifier-free guidance.
    assert point["nfe"] == alone.subject["nfe"] == 10
    assert found["guidance"]["type"] == "cfg"


def test_the_chosen_sampler_is_written_and_gives_its_numbers_again(run, work, compared):
    out, found = compared
    written = thalweg_eval.evaluate(run, protocol=out.parent / "chosen.toml", work=work)
    kept = json.loads((out / found["chosen"]["passports"][0]).read_text())
    assert written.numbers == kept["numbers"]
    assert found["by"] == FD
    stored = json.loads((out / "results.json").read_text())
    assert {key: stored[key] for key in found} == found
    assert "<h1>Samplers of" in (out / "report.html").read_text()


def test_an_interrupted_comparison_resumes_and_more_of_it_computes_what_is_new(
    run, work, compared, tmp_path, monkeypatch
):
    options = {"samplers": ["heun", "multistep"], "steps": "2,3", "seeds": 2, "settings": QUICK, "work": work}
    counted(monkeypatch, stop=2)
    with pytest.raises(KeyboardInterrupt):
        tune_sampler(run, out=tmp_path / "cut", **options)
    monkeypatch.undo()
    made = counted(monkeypatch)
    found = tune_sampler(run, out=tmp_path / "cut", **options)
    assert len(made) == 6
    untimed = [
        [{**one, "seconds": None} for one in points] for points in (found["points"], compared[1]["points"])
    ]
    assert untimed[0] == untimed[1]
    longer = {**options, "samplers": ["heun", "multistep", "dopri5"], "tolerances": "0.5"}
    assert len(tune_sampler(run, out=tmp_path / "cut", **longer)["points"]) == 5
    assert len(made) == 8


def test_all_samplers_are_compared_of_a_network_that_is_no_flow_map(run, work, tmp_path):
    said = []
    options = {"steps": "2", "tolerances": "0.5", "seeds": 1, "settings": QUICK, "work": work}
    found = tune_sampler(run, out=tmp_path / "all", say=said.append, **options)
    assert {one["curve"] for one in found["points"]} == set(registry().names("sampler")) - {"flow_map"}
    assert any(line.startswith("flow_map is left out") for line in said)


def test_a_folder_is_of_one_kind_of_tuning_and_one_protocol(run, work, compared):
    out, _ = compared
    with pytest.raises(ConfigError, match="holds another tuning, it differs in protocol"):
        tune_sampler(run, out=out, settings=("count=12",), work=work)
    with pytest.raises(ConfigError, match="holds another tuning, it differs in"):
        tune_guidance(run, out=out, settings=QUICK[:2], work=work)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sampler", "huen"], "did you mean 'heun'"),
        (["--sampler", '{type = "unipc", order = 2}'], "sampling.sampler.order"),
        (["--sampler", "euler_maruyama", "--steps", "1"], "sampling.sampler.steps: must be at least 2"),
        (["--sampler", "euler", "--by", "fid"], "the protocol computes no 'fid'"),
        (["sampling.sampler=heun"], "sampling.sampler is what is tuned; state it by samplers, steps and"),
        (["--seeds", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(run, work, tmp_path, capsys, arguments, said):
    command = ["tune", "sampler", str(run), "--out", str(tmp_path / "out"), "--work", str(work), *QUICK]
    assert main([*command, *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_mistaken_arguments_are_named(run, tmp_path):
    for given, said in (
        ({"subject": 3}, "subject is 3; give a run, a network"),
        ({"samplers": "heun"}, "samplers is 'heun'; give a list, such as"),
        ({"steps": 3}, "steps is 3; give numbers, such as 4,8,16"),
        ({"subject": npz(tmp_path / "x.npz", 20)}, "holds no network whose sampler could be tuned"),
    ):
        options = {"subject": run, "out": tmp_path / "out", **given}
        with pytest.raises(ConfigError, match=said):
            tune_sampler(options.pop("subject"), **options)


def test_the_command_prints_a_table_and_what_it_says(run, work, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["tune", "sampler", str(run), "--out", str(out), "--work", str(work), "--sampler", "euler"]
    assert main([*command, "--steps", "1,2", "--seeds", "1", *QUICK]) == 0
    printed = capsys.readouterr().out
    header, first, *_ = printed.splitlines()
    assert header.split()[:5] == ["NFE", FD, "less", "the", "best"]
    assert first.startswith("euler, 1 step")
    assert f"report: {out / 'report.html'}" in printed
    assert main([*command, "--steps", "1,2", "--seeds", "1", *QUICK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == json.loads((out / "results.json").read_text())["points"]
    assert told["command"].startswith("thalweg tune sampler")
