"""Components that break one rule each: a template's working component with one change.

``python broken_components.py FOLDER`` makes all that broken_components.toml states, checks each against
its rule alone, and prints what came of it as JSON. In a process of its own, since the type checker that runs
under the tests would stop some of them before their rule does.
"""

import json
import random
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import thalweg
import thalweg.plugins
from plugin_makers import plugin, site_at
from thalweg.facts import Facts
from thalweg.import_options import ImportOptions
from thalweg_authoring import Subject, outcomes
from thalweg_authoring.scaffold import new_plugin, template_kinds


class Broken(NamedTuple):
    """One change to the component of a kind's template, the rule it breaks, and a part of what is said."""

    kind: str
    rule: str
    said: str
    old: str
    new: str


ALL = [
    Broken(**one)
    for one in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["broken"]
]

HEAVY = """
import torch
import thalweg
import thalweg.plugins

@thalweg.hookimpl
def thalweg_components(register):
    register("sampler", "mine_0", "thalweg_mine_0:MineConfig")
"""


def exported():
    """What the template's exporter takes."""
    backbone = {"type": "dit", "width": 32, "heads": 4, "depth": 2, "patch": 2}
    return thalweg.compose(backbone=backbone, facts=Facts(shape=(4, 32, 32), classes=10))


def prefixed():
    """What the template's importer reads."""
    network = exported()
    return {f"model.{name}": tensor for name, tensor in network.state_dict().items()}, ImportOptions(heads=4)


def main(folder: Path) -> None:
    """Make, check and report them all."""
    random.seed(0)
    sources = {kind: new_plugin("mine", kind, folder / kind) for kind in template_kinds()}
    texts = {kind: (one / "src" / "thalweg_mine" / f"{kind}.py").read_text() for kind, one in sources.items()}
    modules, registrations = {}, []
    for number, one in enumerate(ALL):
        text = texts[one.kind]
        assert not one.old or one.old in text, f"{one.rule}: '{one.old}' is not in the template of {one.kind}"
        text = text.replace(one.old, one.new) if one.old else text
        # What it calls itself is its own name, unless that is what is wrong with it.
        modules[f"thalweg_mine_{number}"] = text.replace('"mine', f'"mine_{number}').replace(
            "mine:", f"mine_{number}:"
        )
        registrations.append(f"'{one.kind}', 'mine_{number}', 'thalweg_mine_{number}:MineConfig'")
    place = folder / "site"
    place.mkdir()
    with site_at(place) as site:
        site.install("broken-plugin", plugin(*registrations[1:]), **modules)
        site.install("heavy-plugin", HEAVY)
        thalweg.plugins.block()  # forget what was registered before
        for number, one in enumerate(ALL):
            checkpoint = prefixed if one.kind == "importer" else None
            network = exported if one.kind == "exporter" else None
            subject = Subject(
                one.kind, f"mine_{number}", folder=folder / "run", checkpoint=checkpoint, network=network
            )
            [found] = outcomes(subject, only=[one.rule])
            print(json.dumps([found.result, found.message]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
