"""Optimisers: AdamW is torch's, Muon steps matrices of blocks, and any state is saved and resumed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from small_states import CONFIG, lone, same, small
from thalweg.errors import ConfigError, DataError, PluginError, ThalwegError
from thalweg.facts import Facts
from thalweg.network import FlowNetwork
from thalweg.optimizers.adamw import AdamW, AdamWConfig
from thalweg.optimizers.combined import Combined
from thalweg.optimizers.muon import MuonConfig
from thalweg.training.checkpointing import CheckpointWriter
from thalweg.training.optimizer import LearningRates, OptimizerState, make_optimizer, trainable
from thalweg.training.run_directory import RunDirectory
from thalweg_authoring.numbers import randomised

FACTS = Facts(shape=(1, 8, 8), classes=3)
BACKBONE = {"type": "dit", "patch": 4, "width": 16, "depth": 2, "heads": 2}


def network() -> FlowNetwork:
    refiner = {"type": "vera", "channels": [16]}
    return randomised(thalweg.compose(backbone=BACKBONE, refiner=refiner, branches=2, facts=FACTS, seed=1))


def pull(module: nn.Module, step: int) -> None:
    """Gradients of a step, the same for equal weights."""
    generator = torch.Generator().manual_seed(step)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.grad = 0.3 * parameter.detach() + 0.1 * noise


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_is_torchs_bit_for_bit_over_many_steps(fused: bool, decay: float) -> None:
    ours, theirs = network(), network()
    config = AdamWConfig(lr=3e-3, betas=(0.8, 0.95), weight_decay=decay)
    mine = make_optimizer(config.build(FACTS), ours, fused=fused)
    reference = torch.optim.AdamW(
        theirs.parameters(), lr=3e-3, betas=(0.8, 0.95), weight_decay=decay, fused=fused
    )
    for step in range(60):
        for module, optimizer in ((ours, mine), (theirs, reference)):
            pull(module, step)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_muon_takes_the_matrices_of_blocks_and_adamw_the_rest() -> None:
    module = network()
    optimizer = make_optimizer(MuonConfig().build(FACTS), module, fused=False)
    names = {id(one): name for name, one in module.named_parameters()}
    muon, adamw = ({names[id(one)] for one in group["params"]} for group in optimizer.param_groups)
    assert muon | adamw == set(names.values())
    assert not muon & adamw
    assert {"backbone.blocks.0.attention.qkv.weight", "refiner.blocks.0.mlp.layers.0.weight"} <= muon
    assert {
        "backbone.time.mlp.layers.0.weight", "backbone.classes.weight", "backbone.patches.projection.weight",
        "velocity_readout.projection.weight", "backbone.blocks.0.modulation.bias",
    } <= adamw  # fmt: skip
    assert all(".blocks." in name for name in muon)


def test_muon_and_adamw_step_as_torchs_own_do() -> None:
    ours, theirs = network(), network()
    config = MuonConfig(lr=0.01, adamw_lr=2e-3, momentum=0.9, weight_decay=0.1, scaling="match_rms_adamw")
    optimizer = make_optimizer(config.build(FACTS), ours, fused=False)
    matrices = [one for name, one in theirs.named_parameters() if ".blocks." in name and one.ndim == 2]
    chosen = {id(one) for one in matrices}
    others = [one for one in theirs.parameters() if id(one) not in chosen]
    pair = (
        torch.optim.Muon(matrices, lr=0.01, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=2e-3, weight_decay=0.1),
    )
    for step in range(20):
        pull(ours, step)
        optimizer.step()
        pull(theirs, step)
        for one in pair:
            one.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (48, 16), (16, 64)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_a_muon_step_is_the_momentum_with_its_singular_values_near_one(
    rows: int, columns: int, nesterov: bool
) -> None:
    generator = torch.Generator().manual_seed(rows)
    weight = nn.Parameter(torch.zeros(rows, columns))
    config = MuonConfig(lr=0.5, momentum=0.9, nesterov=nesterov)
    optimizer = config.build(FACTS)({"network.backbone.blocks.0.weight": weight}, False)
    mean = torch.zeros(rows, columns)
    for _ in range(3):
        gradient = torch.randn(rows, columns, generator=generator)
        mean = 0.9 * mean + 0.1 * gradient
        ahead = 0.1 * gradient + 0.9 * mean if nesterov else mean
        before = weight.detach().clone()
        weight.grad = gradient
        optimizer.step()
        taken = (before - weight.detach()) / (0.5 * max(1.0, rows / columns) ** 0.5)
        left, values, right = torch.linalg.svd(ahead, full_matrices=False)
        found = torch.diag(left.T @ taken @ right.T)
        clear = values > 0.2 * values[0]  # smaller ones are not all there after five rounds
        assert float(found[clear].min()) > 0.6
        assert float(found.max()) < 1.3
        rest = left.T @ taken @ right.T - torch.diag(found)
        assert float(rest.abs().max()) < 0.05  # bfloat16


def test_muon_without_a_block_says_so() -> None:
    with pytest.raises(ConfigError, match="finds no matrix of a block"):
        make_optimizer(MuonConfig().build(FACTS), nn.Linear(3, 4), fused=False)


def test_float16_gradients_are_scaled_for_both_parts() -> None:
    module, plain = network(), network()
    optimizer, expected = (
        make_optimizer(MuonConfig(lr=0.01).build(FACTS), one, fused=False) for one in (module, plain)
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(3):
        pull(plain, step)
        expected.step()
        scaler.scale(torch.ones(()))
        pull(module, step)
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(1024.0)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    for one, other in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    pull(module, 4)
    next(iter(module.backbone.blocks.parameters())).grad.fill_(float("inf"))
    held = [one.detach().clone() for one in module.parameters()]
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert all(torch.equal(one, two) for one, two in zip(held, module.parameters(), strict=True))


class Counting(torch.optim.Optimizer):
    """Plain descent that keeps numbers and tensors of several types, and a count in its group."""

    def __init__(self, parameters: list[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr, "seen": 0, "largest": 0.0, "kind": "counting"})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        for group in self.param_groups:
            group["seen"] += 1
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                state.setdefault("steps", 0)
                state["steps"] += 1
                state.setdefault("sum", torch.zeros((), dtype=torch.float64))
                state.setdefault("signs", torch.zeros(parameter.shape, dtype=torch.int64))
                state.setdefault("rows", torch.zeros(parameter.shape[:1]))
                state["sum"] += float(parameter.grad.double().sum()) / 3
                state["signs"] += (parameter.grad > 0).long()
                state["rows"] += (
                    parameter.grad.flatten(1).sum(dim=1) if parameter.ndim > 1 else parameter.grad
                )
                group["largest"] = max(group["largest"], float(parameter.grad.max()))
                factor = group["lr"] * (1 + group["largest"]) / (group["seen"] + state["steps"])
                parameter.sub_(
                    factor * (parameter.grad + 1e-3 * state["sum"].float() + state["signs"] * 1e-4)
                )


def of(cls: Any, **options: Any) -> Any:
    """A maker of an optimiser over all parameters."""

    def maker(parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
        return cls(list(parameters.values()), **options)

    return maker


STRANGERS = {
    "nothing": of(torch.optim.SGD, lr=0.01),
    "momentum": of(torch.optim.SGD, lr=0.01, momentum=0.9),
    "nadam": of(torch.optim.NAdam, lr=0.01),
    "adafactor": of(torch.optim.Adafactor, lr=0.01),
    "rprop": of(torch.optim.Rprop, lr=0.01),
    "radam": of(torch.optim.RAdam, lr=0.01),
    "amsgrad": of(torch.optim.AdamW, lr=0.01, amsgrad=True),
    "counting": of(Counting, lr=0.01),
    "muon": MuonConfig(lr=0.01).build(FACTS),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("background", [False, True])
def test_any_optimiser_resumes_bit_for_bit(tmp_path: Path, name: str, background: bool) -> None:
    one, fabric = small(maker=STRANGERS[name]), lone()
    saver = CheckpointWriter(RunDirectory(tmp_path), CONFIG, 5, 0, fabric, background)
    for _ in range(3):
        one.advance()
    saver.save(one.state)
    for _ in range(3):
        one.advance()
    saver.wait()
    other = small(maker=STRANGERS[name])
    other.state.load(tmp_path / "checkpoints" / "step-00000003", fabric)
    for _ in range(3):
        other.advance()
    assert same(one.tensors(), other.tensors())
    mine, theirs = one.state.optimizer.numbers(), other.state.optimizer.numbers()
    assert mine == theirs
    if name == "counting":
        assert mine["groups"][0]["seen"] == 6
        assert {type(value) for value in mine["state"].values()} == {int}


def test_a_checkpoint_of_another_optimiser_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    one, fabric = small(), lone()
    one.advance()
    saver = CheckpointWriter(RunDirectory(tmp_path), CONFIG, 5, 0, fabric, False)
    saver.save(one.state)
    two_groups = small(maker=MuonConfig().build(FACTS))
    with pytest.raises(ThalwegError, match="cannot be resumed from"):
        two_groups.state.load(tmp_path / "checkpoints" / "step-00000001", fabric)


@pytest.mark.parametrize(
    ("maker", "said"),
    [
        (lambda parameters, fused: None, "makes a NoneType; return a torch.optim.Optimizer"),
        (of(torch.optim.SGD), "without the number 'lr'"),
        (lambda parameters, fused: torch.optim.SGD([torch.zeros(3)]), "moves a tensor that it was not given"),
    ],
)
def test_what_is_no_optimiser_of_the_network_is_refused(maker: Any, said: str) -> None:
    if said.startswith("without"):
        made = maker

        def maker(parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
            optimizer: torch.optim.Optimizer = made(parameters, fused)
            del optimizer.param_groups[0]["lr"]
            return optimizer

    with pytest.raises(PluginError, match=said):
        make_optimizer(maker, nn.Linear(2, 3), fused=False)


def test_state_that_is_neither_tensor_nor_number_is_refused() -> None:
    module = nn.Linear(2, 3)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    moments = OptimizerState(module, optimizer)
    optimizer.state[module.bias]["history"] = [torch.zeros(3)]
    with pytest.raises(DataError, match="bias/history is a list, which cannot be saved"):
        moments.tensors()


def test_learning_rates_are_full_ones_times_the_factor_whatever_was_set_before() -> None:
    module = network()
    optimizer = make_optimizer(MuonConfig(lr=0.02, adamw_lr=1e-3).build(FACTS), module, fused=False)

    class Halving:
        of_length = False

        def __call__(self, step: int, total: int) -> float:
            return 0.5**step

    rates = LearningRates(optimizer, Halving(), 10)
    for step in (3, 1, 1):
        rates.set(step)
        assert [group["lr"] for group in optimizer.param_groups] == [0.02 * 0.5**step, 1e-3 * 0.5**step]
        assert rates.numbers(step) == {"lr": 0.02 * 0.5**step, "lr/adamw": 1e-3 * 0.5**step}


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    module = nn.Linear(2, 3)
    optimizer = make_optimizer(AdamW(1e-3, (0.9, 0.99), 0.0), module, fused=False)

    class Wrong:
        of_length = False

        def __call__(self, step: int, total: int) -> float:
            return factor

    with pytest.raises(PluginError, match=r"the schedule Wrong gives .* for step 2 of 5"):
        LearningRates(optimizer, Wrong(), 5).set(2)


def test_several_optimisers_are_one_after_a_state_was_loaded() -> None:
    module, twin = network(), network()
    for one in (module, twin):
        optimizer = make_optimizer(MuonConfig(lr=0.01).build(FACTS), one, fused=False)
        assert isinstance(optimizer, Combined)
        pull(one, 0)
        optimizer.step()
        if one is twin:
            optimizer.load_state_dict(optimizer.state_dict())
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.param_groups[1]["lr"] = 0.0
        held = [parameter.detach().clone() for parameter in one.parameters()]
        pull(one, 1)
        optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(held, one.parameters(), strict=True))
    assert trainable(module).keys() == dict(module.named_parameters()).keys()
