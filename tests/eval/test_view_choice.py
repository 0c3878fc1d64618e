"""What the page states as settings of ``thalweg sample``: complete, and read back as the same choice."""

import shlex

import attrs
import pytest

from thalweg.cli.sample import command
from thalweg.config import dump
from thalweg.errors import ConfigError
from thalweg.generation.settings import sample_settings
from thalweg.inherited import Inherited
from thalweg_eval.view.choice import Choice, chosen_by, classes_in

CHOICES = [
    Choice(),
    Choice(guidance="cfg", cfg_scale=1.35, interval=(0.1, 0.7), after=0, count=3, seed=12),
    Choice(guidance="internal", after=2, calibrated=True, strength=2.5, sampler="heun", steps=7),
    Choice(guidance="internal", after=4, form="refined", internal_scale=0.8, sampler="euler_maruyama"),
    Choice(guidance="both", after=3, calibrated=True, interval=(0.0, 0.55)),
    Choice(guidance="both", after=3, internal_scale=1.75, cfg_scale=2.0, sampler="dopri5"),
]
# A run that states all of it otherwise, so that whatever the page leaves out would show.
RUN = {
    "sampler": {"type": "euler", "steps": 99},
    "guidance": {"type": "internal", "scale": 1.2, "strength": 9.0, "after": 7, "interval": [0.2, 0.4]},
    "seed": 5,
    "count": 1000,
    "batch_size": 250,
}


@pytest.mark.parametrize("choice", CHOICES, ids=lambda one: f"{one.guidance}-{one.sampler}")
@pytest.mark.parametrize("run", [{}, RUN], ids=["no run", "a run"])
def test_settings_say_all_that_they_change(choice, run):
    config = sample_settings({}, choice.settings(), lambda: Inherited(run)).config
    found = chosen_by(dump(config))
    shown = {"guidance", "sampler", "seed", "count"}
    shown |= {"interval"} if choice.guidance != "none" else set()
    shown |= {"cfg_scale"} if choice.guidance in ("cfg", "both") else set()
    if choice.guidance in ("internal", "both"):
        shown |= {"after", "form", "calibrated", "strength" if choice.calibrated else "internal_scale"}
    shown |= {"steps"} if choice.sampler != "dopri5" else set()
    wanted, got = (attrs.asdict(one) for one in (choice, found))
    assert {name: got[name] for name in shown} == {name: wanted[name] for name in shown}


@pytest.mark.parametrize(
    ("guidance", "kind"),
    [
        (None, "none"),
        ({"type": "ladder"}, "run"),
        (["internal", "half"], "run"),
        ([{"type": "cfg"}, {"type": "cfg"}], "run"),
        ({"type": "internal", "scale": [[0.0, 1.0], [1.0, 2.0]]}, "run"),
        (
            [{"type": "internal", "interval": [0.0, 0.5]}, {"type": "cfg", "interval": [0.0, 0.7]}],
            "run",
        ),
        ([{"type": "internal", "interval": [0.0, 0.7]}, {"type": "cfg", "interval": [0.0, 0.7]}], "both"),
    ],
    ids=repr,
)
def test_what_the_page_has_no_control_for_stays_the_runs_own(guidance, kind):
    settings = {} if guidance is None else {"guidance": guidance}
    config = sample_settings({}, (), lambda: Inherited(settings)).config
    choice = chosen_by(dump(config))
    assert choice.guidance == kind
    if kind == "run":
        assert not any(one.startswith("guidance") for one in choice.settings())
        again = sample_settings({}, choice.settings(), lambda: Inherited(settings)).config
        assert again.guidance == config.guidance


def test_the_command_line_can_be_typed_as_it_is_shown():
    choice = Choice(guidance="both", after=3, classes=(3, 7), count=2)
    words = shlex.split(choice.command("runs/my run", ["autoencoder=sd-vae"], ["--device", "cpu"]))
    assert words[:2] == ["thalweg", "sample"]
    context = command.make_context("sample", words[2:])
    assert context.params["model"] == "runs/my run"
    assert (context.params["labels"], context.params["pngs"]) == ("3,7", True)
    assert context.params["device"] == "cpu"
    assert context.params["settings"] == ("autoencoder=sd-vae", *choice.settings())
    quoted = 'it\'s "red"; rm -rf .'
    words = shlex.split(Choice(prompt=quoted).command("run"))
    assert command.make_context("sample", words[2:]).params["prompts"] == (quoted,)


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        (["autoencoder=sd-vae", "count=3", "guidance.scale=2", "seed=4"], ["autoencoder=sd-vae"]),
        (["sampler=heun", "sampler.steps=9"], []),
        (["sampler=dopri5", "sampler.rtol=0.1"], ["sampler=dopri5", "sampler.rtol=0.1"]),
    ],
)
def test_what_the_page_states_anew_is_not_said_twice(more, kept):
    choice = Choice(guidance="cfg")
    assert choice.settings(more) == [*kept, *choice.settings()]
    configs = [
        sample_settings({}, settings, lambda: Inherited(RUN)).config
        for settings in (choice.settings(more), [*more, *choice.settings()])
    ]
    assert dump(configs[0]) == dump(configs[1])
    assert Choice(guidance="run").settings(["guidance.scale=2"])[0] == "guidance.scale=2"


@pytest.mark.parametrize(("text", "classes"), [("", ()), ("3", (3,)), (" 3, 7 ,", (3, 7))])
def test_classes_are_read_as_labels_are(text, classes):
    assert classes_in(text) == classes


def test_a_text_that_is_no_class_is_named():
    with pytest.raises(ConfigError, match="'three' is no list of classes such as 0,3,7"):
        classes_in("three")
