"""Every component of this distribution, and each of its variations, by the rules that hold for strangers'."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.catalogue import REGISTRY, everything, subject, variations
from thalweg_authoring import outcomes, rules_of

# Checked in a process of its own: the type checker that runs under these tests draws from Python's random
# generator, and torch.compile cannot see into it.
APART = ("the_process_is_left_alone", "torch_compile_gives_the_same_numbers")
APART_FOLDERS = ("text_encoder",)  # whose weights bear names that others' do
NOT_APPLICABLE = {
    "it_converges_at_its_order": {"dopri5", "euler_maruyama", "stochastic_heun"},
    "no_parameter_is_left_over": {"plain"},
    "tokens_are_known_by_their_places": {"mlp"},
    "scale_one_is_the_conditional_field": {"early_exit", "ladder"},
    "a_samples_loss_is_its_own": {"contrastive", "dispersive", "shuffled_velocity"},
    "images_are_bytes_where_there_are_any": {"shards", "two_moons"},
    "its_identity_is_of_what_it_holds_and_not_of_the_place": {"emoji"},
    **{
        rule: {"inception", "small_classifier", "geneval"}
        for rule in (
            "a_finite_token_for_each_place",
            "tokens_come_row_by_row",
            "a_sample_does_not_depend_on_its_neighbours_nor_on_the_call",
            "it_is_frozen",
            "the_identity_is_plain_and_the_same_every_time",
            "what_it_stored_is_its_own_and_nothing_else_is",
        )
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where data and weights stand."""
    folder = tmp_path_factory.mktemp("components")
    everything(folder)
    return folder


@pytest.fixture
def working(place, monkeypatch):
    """Call it with a kind to go where its data stand; what is cached stays there too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", place / "cache")
    return lambda kind: monkeypatch.chdir(place / kind if kind in APART_FOLDERS else place)


@pytest.mark.parametrize(("kind", "name", "more"), variations())
def test_a_component_keeps_every_rule_of_its_kind(kind, name, more, working, tmp_path):
    working(kind)
    rules = [one.name for one in rules_of(kind) if one.name not in APART]
    found = list(outcomes(subject(kind, name, tmp_path, **more), only=rules))
    assert [one for one in found if one.result == "broken"] == []
    skipped = {one.rule for one in found if one.result == "not applicable"}
    assert skipped == {rule for rule, names in NOT_APPLICABLE.items() if name in names and rule in rules}
    assert len(found) == len(rules)


def test_components_leave_the_process_alone_and_can_be_compiled(place):
    script = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from contracts.catalogue import REGISTRY, subject
from thalweg_authoring import outcomes, rules_of
for one in REGISTRY:
    os.chdir(Path(sys.argv[2], one.kind if one.kind in {APART_FOLDERS} else ""))
    rules = [rule.name for rule in rules_of(one.kind) if rule.name in {APART}]
    for found in outcomes(subject(one.kind, one.name, Path("run")), only=rules):
        print(one.kind, one.name, found.rule, found.result, found.message)
"""
    arguments = [sys.executable, "-W", "ignore", "-c", script, str(Path(__file__).parents[1]), str(place)]
    caches = {name: str(place / "cache") for name in ("XDG_CACHE_HOME", "HF_HOME")}
    environment = {**os.environ, **caches, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{one.kind} {one.name} {rule.name} kept "
        for one in REGISTRY
        for rule in rules_of(one.kind)
        if rule.name in APART
    ]
