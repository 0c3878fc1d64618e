"""Networks and runs of parts that were made in Python: composed, summed up, trained, saved, loaded."""

import enum
import json
import tomllib
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg
from thalweg import ConfigError, DataError, PluginError
from thalweg.cli.main import main
from thalweg.config import component, dump, read_recorded, structure, to_toml
from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.interpolants.linear import Linear
from thalweg.plugins import build_component
from thalweg.summary import summarise
from thalweg.training.trainer import Trainer
from thalweg.types import Boundary, ObjectiveValue, Refinement, Step, Stream
from tiny_runs import TINY, tensor_files, tiny

FACTS = Facts(shape=(1, 8, 8), classes=10)
DIT = {"type": "dit", "patch": 4, "width": 16, "depth": 2, "heads": 2}
HERE = __name__


@attrs.frozen
class GateConfig:
    """Registered nowhere."""

    start: float = 0.5

    def build(self, facts: Facts) -> "Gate":
        return Gate(facts.branches - 1, facts.width, self.start)


class Gate(nn.Module):
    readouts = ()

    def __init__(self, boundaries: int = 1, width: int = 16, start: float = 0.0) -> None:
        super().__init__()
        self.gates = nn.Parameter(torch.full((boundaries, width), start))

    def forward(self, stream: Stream, boundary: Boundary) -> Refinement:
        return Refinement(stream.tokens + self.gates[boundary.number] * boundary.patch_tokens)


class Stay:
    """A sampler that goes nowhere."""

    def __call__(self, field: Any, x_1: Tensor, increments: Any = None, interpolant: Any = None) -> Tensor:
        return x_1


class Last:
    """The last branch's error."""

    weight = 1.0

    def __call__(self, step: Step) -> ObjectiveValue:
        error = (step.prediction.velocities[-1] - step.plan.velocity).square().flatten(1).mean(dim=1)
        return ObjectiveValue(error)


def dit(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    module: nn.Module = build_component(component("backbone", DIT), FACTS)
    return module


def by_hand(seed: int = 1) -> thalweg.FlowNetwork:
    return thalweg.FlowNetwork(dit(seed), Gate(), branches=[1, 2], facts=FACTS)


def moved(network: thalweg.FlowNetwork) -> thalweg.FlowNetwork:
    """With weights of which none is zero, as they are before training."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    return network


# --- composing ---------------------------------------------------------------------------------------------


def test_every_slot_of_compose_takes_a_name_a_table_a_config_or_a_module() -> None:
    registered = component("backbone", DIT)
    for backbone in (DIT, registered, dit()):
        for refiner in ("plain", {"type": "plain"}, GateConfig(), Gate()):
            network = thalweg.compose(backbone=backbone, refiner=refiner, branches=2, facts=FACTS)
            assert network(torch.zeros(3, *FACTS.shape), torch.rand(3)).velocities[-1].shape == (3, 1, 8, 8)


def test_a_module_stays_itself_and_is_recorded_by_what_it_is() -> None:
    backbone, refiner = dit(), Gate()
    network = thalweg.compose(backbone=backbone, refiner=refiner, branches=2, facts=FACTS)
    assert network.backbone is backbone
    assert network.refiner is refiner
    assert network.composition == {
        "backbone": {"object": f"{type(backbone).__module__}:{type(backbone).__qualname__}"},
        "refiner": {"object": f"{HERE}:Gate"},
        "branches": 2,
        "interpolant": "linear",
    }


def test_an_unregistered_config_is_recorded_with_its_fields() -> None:
    network = thalweg.compose(backbone=DIT, refiner=GateConfig(0.25), branches=2, facts=FACTS)
    assert network.composition["refiner"] == {"object": f"{HERE}:GateConfig", "start": 0.25}
    assert network.composition["backbone"]["type"] == "dit"


def test_the_seed_draws_what_is_not_built_and_a_device_is_no_place_for_what_is() -> None:
    first, second = (thalweg.compose(backbone=dit(), refiner="plain", branches=2, facts=FACTS) for _ in "ab")
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    with pytest.raises(ConfigError, match="is built, and what is built has no place on the device meta"):
        thalweg.compose(backbone=dit(), facts=FACTS, device="meta")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Stay(), r"expected a refiner: its name, .*; Stay of \S+ has no build and has no 'readouts'"),
        (nn.Identity(), r"Identity of torch\S+ has no build and has no 'readouts'"),
        (Gate, "expected a refiner, got the class Gate; make one of it"),
        (component("backbone", DIT), "expected the config of a refiner, and DiTConfig is a backbone"),
        (3, "expected the name of a refiner or a table, got 3"),
        ({"object": "mine:Gate"}, r"the refiner was made in Python, by mine\.Gate, and nothing is imported"),
    ],
)
def test_what_is_no_refiner_is_said_in_one_sentence(part: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        thalweg.compose(backbone=DIT, refiner=part, branches=2, facts=FACTS)


def test_a_config_that_builds_a_part_of_another_kind_is_told() -> None:
    with pytest.raises(PluginError, match=r"GateConfig of .* builds what is no backbone: .* no 'depth'"):
        thalweg.compose(backbone=GateConfig(), facts=FACTS)


class Mode(enum.Enum):
    FAST = 1
    EXACT = 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a", "b"}, {"a", "c"}),
        (b"a", b"b"),
        (1j, 2j),
        (range(3), range(4)),
        (float("inf"), float("-inf")),
        (Mode.FAST, Mode.EXACT),
        (np.float32(0.5), np.float32(0.25)),
        (torch.tensor(3), torch.tensor(4)),
        (torch.float16, torch.float32),
        (torch.device("cpu"), torch.device("meta")),
    ],
)
def test_values_that_no_file_holds_are_told_apart_in_one(one: Any, other: Any) -> None:
    @attrs.frozen
    class Holding:
        value: Any

    tables = [dump(Holding(value)) for value in (one, other)]
    assert tables[0] != tables[1]
    assert all(json.loads(json.dumps(table, allow_nan=False)) == table for table in tables)
    assert all(tomllib.loads(to_toml(table)) == table for table in tables)


def test_a_recorded_object_is_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("importlib.import_module", refuse)
    for table in ({"object": "os:system"}, {"object": "antigravity:x", "start": 3}, {"object": 3}):
        with pytest.raises(ConfigError, match="made in Python"):
            component("refiner", table)


# --- by hand -----------------------------------------------------------------------------------------------


def test_a_network_put_together_by_hand_is_summed_up_and_compiled_as_any_other() -> None:
    network = by_hand()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    summary = summarise(network, batch_size=4)
    composed = thalweg.compose(backbone=DIT, refiner="plain", branches=2, facts=FACTS)
    named = summarise(dict(composed.composition), FACTS, batch_size=4)
    assert summary.parameters == named.parameters + 16
    assert summary.gflop_forward == named.gflop_forward
    assert summary.activation_bytes > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert summarise(composed, batch_size=4) == named
    network.compile_regions()
    assert all(block._compiled_call_impl is not None for block in network.backbone.blocks)


def test_it_is_saved_and_loaded_into_another_of_its_kind(tmp_path: Path) -> None:
    network = moved(by_hand())
    thalweg.save(tmp_path / "net", network)
    other = by_hand(seed=2)
    assert thalweg.load(tmp_path / "net", network=other) is other
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert not other.training


def test_loading_it_without_a_network_says_what_to_give(tmp_path: Path) -> None:
    thalweg.save(tmp_path / "net", by_hand())
    with pytest.raises(ConfigError) as failure:
        thalweg.load(tmp_path / "net")
    said = str(failure.value)
    assert f"refiner {HERE}:Gate" in said
    assert said.endswith(f"build the network and give it: thalweg.load('{tmp_path}/net', network=...)")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: thalweg.FlowNetwork(dit(), Gate(width=8), [1, 2], facts=FACTS), "does not fit the network"),
        (lambda: thalweg.compose(backbone=DIT, facts=FACTS), "does not fit the network given"),
        (
            lambda: thalweg.FlowNetwork(dit(), Gate(), 2, facts=FACTS, interpolant="cosine"),
            "was saved with interpolant linear, and the network given has cosine",
        ),
    ],
)
def test_another_network_is_not_filled(tmp_path: Path, other: Any, message: str) -> None:
    thalweg.save(tmp_path / "net", by_hand())
    with pytest.raises(DataError, match=message):
        thalweg.load(tmp_path / "net", network=other())


def test_branches_that_end_elsewhere_are_another_network(tmp_path: Path) -> None:
    deep = {**DIT, "depth": 4}
    made = [
        thalweg.FlowNetwork(build_component(component("backbone", deep), FACTS), Gate(), ends, facts=FACTS)
        for ends in ([1, 4], [2, 4])
    ]
    thalweg.save(tmp_path / "net", made[0])
    with pytest.raises(DataError, match=r"ends of branches \(1, 4\), and the network given has \(2, 4\)"):
        thalweg.load(tmp_path / "net", network=made[1])


def test_a_network_of_names_may_be_given_too(tmp_path: Path) -> None:
    network = moved(thalweg.compose(backbone=DIT, facts=FACTS))
    thalweg.save(tmp_path / "net", network)
    other = thalweg.compose(backbone=DIT, facts=FACTS, seed=5)
    thalweg.load(tmp_path / "net", network=other)
    assert torch.equal(other.velocity_readout.projection.weight, network.velocity_readout.projection.weight)


def test_a_part_that_computes_otherwise_with_the_same_tensors_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Other(Gate):
        """The same tensors."""

    thalweg.save(tmp_path / "hand", by_hand())
    thalweg.load(tmp_path / "hand", network=by_hand())
    assert not caplog.messages
    thalweg.load(tmp_path / "hand", network=thalweg.FlowNetwork(dit(), Other(), [1, 2], facts=FACTS))
    assert f"whose refiner is {HERE}:Gate, and that of the network given is {HERE}:test" in caplog.text
    thalweg.save(tmp_path / "named", thalweg.compose(backbone=DIT, facts=FACTS))
    with pytest.raises(DataError, match=r"saved with backbone\.heads 2, and the network given has 4"):
        thalweg.load(tmp_path / "named", network=thalweg.compose(backbone={**DIT, "heads": 4}, facts=FACTS))


def test_a_part_put_in_place_of_another_is_what_is_recorded(tmp_path: Path) -> None:
    network = thalweg.compose(backbone=DIT, refiner="plain", branches=2, facts=FACTS)
    network.refiner = network.refiner
    assert network.composition["refiner"] == {"type": "plain"}
    network.refiner, network.interpolant = Gate(), Interpolant.named("cosine")
    assert network.composition["refiner"] == {"object": f"{HERE}:Gate"}
    assert network.composition["interpolant"] == "cosine"
    assert "refiner" not in network.owners
    thalweg.save(tmp_path / "net", network)
    with pytest.raises(ConfigError, match=f"refiner {HERE}:Gate"):
        thalweg.load(tmp_path / "net")


def test_a_composition_that_states_too_little_is_refused() -> None:
    with pytest.raises(ConfigError, match="composition states no branches; leave it out, or give what"):
        thalweg.FlowNetwork(dit(), facts=FACTS, composition={"backbone": DIT, "refiner": None})


def test_a_network_on_another_path_of_the_same_class_is_refused_by_the_trainer(tmp_path: Path) -> None:
    class Steep(Linear):
        """A path of its own."""

        def __init__(self, power: int) -> None:
            self.power = power

        def sigma(self, t: Tensor) -> Tensor:
            return t**self.power

    config = attrs.evolve(plain_recipe(), interpolant=Steep(2))
    for power in (2, 3):
        network = thalweg.FlowNetwork(
            dit(), Gate(), [1, 2], facts=FACTS, interpolant=Interpolant(Steep(power))
        )
        if power == 2:
            Trainer(config, tmp_path / "run", network=network, accelerator="cpu", quiet=True)
        else:
            with pytest.raises(ConfigError, match=r"is on another path of .*Steep than the configuration"):
                Trainer(config, tmp_path / "run", network=network, accelerator="cpu", quiet=True)


def test_a_network_that_nothing_can_train_is_refused_by_the_trainer(tmp_path: Path) -> None:
    nowhere = thalweg.compose(backbone=DIT, refiner="plain", branches=2, facts=FACTS, device="meta")
    for network, message in (
        (nowhere, r"no weights on this machine \('.*' is on the device meta\)"),
        (by_hand().requires_grad_(False), "no parameter of the network given requires a gradient"),
    ):
        with pytest.raises(ConfigError, match=message):
            Trainer(plain_recipe(), tmp_path / "run", network=network, accelerator="cpu").train()
    assert not (tmp_path / "run").exists()


def test_a_network_without_weights_is_neither_saved_nor_filled(tmp_path: Path) -> None:
    nowhere = thalweg.FlowNetwork(dit().to("meta"), Gate().to("meta"), [1, 2], facts=FACTS)
    thalweg.save(tmp_path / "net", by_hand())
    with pytest.raises(ConfigError, match="has no weights on this machine"):
        thalweg.load(tmp_path / "net", network=nowhere)
    with pytest.raises(ConfigError, match="has no weights on this machine"):
        thalweg.save(tmp_path / "other", nowhere)
    assert not (tmp_path / "other").exists()


def test_what_is_saved_beside_a_network_takes_the_place_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'composition' is what save itself writes down; call yours"):
        thalweg.save(tmp_path / "net", by_hand(), step=3, composition={})


def test_what_is_no_backbone_or_no_facts_is_told_in_words() -> None:
    anything: Any = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="backbone is a Linear, which has no depth; give what fulfils"):
        thalweg.FlowNetwork(anything, facts=FACTS)


# --- runs --------------------------------------------------------------------------------------------------


def recorded(run: Path) -> dict[str, Any]:
    return read_recorded(run / "config.toml")


def plain_recipe(**training: Any) -> Any:
    objectives = {"velocity": {}}
    return tiny(top={"refiner": {"type": "plain"}, "objectives": objectives}, **training)


def test_a_run_never_records_a_network_that_it_did_not_train(tmp_path: Path) -> None:
    """The recipe says plain, the network has VeRA: both files say VeRA."""
    network = thalweg.compose(backbone=DIT, refiner=TINY["refiner"], branches=2, facts=FACTS)
    trainer = Trainer(plain_recipe(steps=2), tmp_path / "run", network=network, accelerator="cpu", quiet=True)
    trainer.train()
    model = json.loads((tmp_path / "run" / "model" / "model.json").read_text())["composition"]
    table = recorded(tmp_path / "run")
    assert table["refiner"] == model["refiner"] == network.composition["refiner"]
    assert table["refiner"]["type"] == "vera"
    assert table["backbone"] == model["backbone"]
    assert trainer.config.refiner == component("refiner", TINY["refiner"])
    # What is recorded is a recipe that trains the same.
    again = structure(thalweg.RunConfig, {**table, "name": "again"})
    assert Trainer(again, tmp_path / "again", accelerator="cpu").components.network.composition == model


def test_a_run_of_a_network_by_hand_resumes_with_it_and_with_no_other(tmp_path: Path) -> None:
    def run(folder: str, steps: int, network: thalweg.FlowNetwork | None) -> Trainer:
        trainer = Trainer(
            plain_recipe(steps=steps), tmp_path / folder, network=network, accelerator="cpu", quiet=True
        )
        trainer.train()
        return trainer

    run("whole", 4, by_hand())
    run("parts", 2, by_hand())
    assert recorded(tmp_path / "parts")["refiner"] == {"object": f"{HERE}:Gate"}
    with pytest.raises(ConfigError, match=r"backbone\.object is absent and was 'thalweg_backbones"):
        run("parts", 4, None)
    run("parts", 4, by_hand())
    assert tensor_files(tmp_path / "parts") == tensor_files(tmp_path / "whole")
    newest = sorted((tmp_path / "parts" / "checkpoints").glob("step-*"))[-1]
    for place in (tmp_path / "parts", newest):
        loaded = thalweg.load(place, network=by_hand(seed=7))
        assert loaded.sampling["count"] == 4
        with pytest.raises(ConfigError, match=r"thalweg\.load"):
            thalweg.load(place)


def test_fields_of_an_unregistered_config_bind_the_run(tmp_path: Path) -> None:
    def run(start: float, steps: int) -> None:
        config = attrs.evolve(plain_recipe(steps=steps), refiner=GateConfig(start))
        Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()

    run(0.25, 2)
    assert recorded(tmp_path / "run")["refiner"] == {"object": f"{HERE}:GateConfig", "start": 0.25}
    with pytest.raises(ConfigError, match=r"refiner\.start is 0\.5 and was 0\.25"):
        run(0.5, 3)
    run(0.25, 3)


def test_a_configuration_holds_built_parts_in_every_slot(tmp_path: Path) -> None:
    config = thalweg.RunConfig(
        name="objects",
        branches=2,
        data=build_component(component("dataset", "digits")),
        backbone=dit(),
        refiner=Gate(),
        objectives={"last": Last()},
        training=tiny(steps=2).training,
        sampling=attrs.evolve(tiny().sampling, sampler=Stay()),
    )
    Trainer(config, tmp_path / "run", accelerator="cpu", quiet=True).train()
    table = recorded(tmp_path / "run")
    assert table["data"] == {"object": "thalweg.data.digits:Digits"}
    assert table["objectives"] == {"last": {"object": f"{HERE}:Last"}}
    assert table["sampling"]["sampler"] == {"object": f"{HERE}:Stay"}
    assert dump(config)["refiner"] == {"object": f"{HERE}:Gate"}
    network = thalweg.load(tmp_path / "run", network=by_hand(seed=3))
    drawn = thalweg.sample(network, labels=[1, 2], indices=range(2), sampler=Stay()).x
    assert torch.equal(
        drawn, thalweg.sample(network, labels=[1, 2], indices=range(2), sampler=config.sampling.sampler).x
    )
    with pytest.raises(ConfigError, match=r"the sampler was made in Python, by \S+Stay"):
        thalweg.sample(network, labels=[1, 2], indices=range(2))


def test_data_and_objectives_that_are_given_are_recorded_and_those_of_the_recipe_are_not(
    tmp_path: Path,
) -> None:
    dataset = build_component(component("dataset", "digits"))
    trainer = Trainer(
        tiny(steps=2), tmp_path / "run", dataset=dataset, objectives={"last": Last()}, accelerator="cpu",
        quiet=True,
    )  # fmt: skip
    trainer.train()
    table = recorded(tmp_path / "run")
    assert table["data"] == {"object": "thalweg.data.digits:Digits"}
    assert table["objectives"] == {"last": {"object": f"{HERE}:Last"}}
    assert trainer.config.data is dataset


def test_objectives_are_taken_as_a_slot_takes_them(tmp_path: Path) -> None:
    given = {"velocity": {"weight": 2.0}, "more": "velocity", "last": Last()}
    trainer = Trainer(tiny(), tmp_path / "run", objectives=given, accelerator="cpu")
    assert [one.weight for one in trainer.components.objectives.values()] == [2.0, 1.0, 1.0]
    with pytest.raises(ConfigError, match=r"last: expected an objective: its name, .* Stay of"):
        Trainer(tiny(), tmp_path / "run", objectives={"last": Stay()}, accelerator="cpu")


def test_a_run_of_given_data_is_drawn_from_without_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = build_component(component("dataset", "digits"))
    Trainer(tiny(steps=2), tmp_path / "run", dataset=dataset, accelerator="cpu", quiet=True).train()
    assert main(["sample", str(tmp_path / "run"), str(tmp_path / "out"), "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), str(tmp_path / "out.npz"), "--device", "cpu"]) == 2
    assert "autoencoder" in capsys.readouterr().err  # nobody here can make images of them


def test_no_path_of_this_machine_is_recorded(tmp_path: Path) -> None:
    Trainer(plain_recipe(steps=1), tmp_path / "run", network=by_hand(), accelerator="cpu", quiet=True).train()
    for file in ("config.toml", "model/model.json"):
        assert str(tmp_path) not in (tmp_path / "run" / file).read_text()
    assert tomllib.loads((tmp_path / "run" / "config.toml").read_text())["branches"] == 2
