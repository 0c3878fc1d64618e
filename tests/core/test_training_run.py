import builtins
import errno
import fcntl
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pluggy
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from PIL import Image
from torch import nn

import thalweg
from thalweg import checkpoint
from thalweg.averages.ema import EMA
from thalweg.cli.main import main
from thalweg.composition import compose, composition_of
from thalweg.errors import ConfigError, DataError, DivergenceError, PluginError, ThalwegError
from thalweg.machine import FLOP_PER_WEIGHT_TRAINED, compiler, compiler_fault, compiling_pays
from thalweg.optimizers.adamw import AdamW
from thalweg.plugins import LoadedPlugin, Origin, Registry
from thalweg.protocols import Objective
from thalweg.training import metrics, metrics_file, validation
from thalweg.training.loop import TrainingResult
from thalweg.training.optimizer import make_optimizer
from thalweg.training.state import RunState
from thalweg.training.step import Losses
from thalweg.training.trainer import Trainer
from thalweg.types import ObjectiveValue, Step
from tiny_runs import lines, recipe, tensor_files, tiny


def train(
    run_dir: Path, *, top: dict[str, Any] | None = None, resume: str = "auto", **training: Any
) -> TrainingResult:
    return Trainer(tiny(top=top, **training), run_dir, accelerator="cpu", quiet=True).train(resume)  # type: ignore[arg-type]


DEEPER = {"type": "dit", "patch": 4, "width": 16, "depth": 4, "heads": 2}


class Fails:
    """An objective that turns bad in one step."""

    weight = 1.0

    def __init__(self, call: int, value: float) -> None:
        self.call, self.value, self.calls = call, value, 0

    def __call__(self, step: Step) -> ObjectiveValue:
        self.calls += torch.is_grad_enabled()  # validation does not count
        error = (step.prediction.velocities[-1] - step.plan.velocity).square().mean(dim=(1, 2, 3))
        return ObjectiveValue(error * (self.value if self.calls == self.call else 1.0))


class Learns(nn.Module):
    """An objective with a weight of its own."""

    weight = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, step: Step) -> ObjectiveValue:
        return ObjectiveValue(
            (self.scale * step.prediction.velocities[-1] - step.plan.velocity).square().mean(dim=(1, 2, 3))
        )


def test_a_run_leaves_what_it_promises(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    result = train(tmp_path / "run", sample_every=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (result.step, result.interrupted) == (6, False)
    written = lines(tmp_path / "run")
    assert [line["step"] for line in written] == [1, 2, 3, 4, 5, 6]
    for line in written:
        parts = {"velocity/branch_1", "velocity/branch_2", "acceleration/branch_1"}
        assert {"loss", "velocity", "acceleration", "grad_norm", "lr"} | parts <= line.keys()
        assert line["loss"] == pytest.approx(line["velocity"] + line["acceleration"])
    assert [line["step"] for line in written if "validation/velocity/branch_1" in line] == [4, 6]
    assert [path.name for path in checkpoint.checkpoints(tmp_path / "run" / "checkpoints")] == [
        "step-00000004", "step-00000006",
    ]  # fmt: skip
    for step in (3, 6):
        with Image.open(tmp_path / "run" / "samples" / f"step-{step:06d}.png") as picture:
            assert min(picture.size) >= 48
    files = tensor_files(tmp_path / "run")
    network = thalweg.load(tmp_path / "run")
    averages = nn.Module.state_dict(network)
    saved = thalweg.load(result.model or "")
    assert all(torch.equal(saved.state_dict()[name], tensor) for name, tensor in averages.items())
    assert "model/model.safetensors" in files


def test_two_runs_of_a_seed_are_the_same_and_of_two_seeds_are_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(tmp_path / name)
    train(tmp_path / "c", top={"seed": 4})
    assert tensor_files(tmp_path / "a") == tensor_files(tmp_path / "b")
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    assert lines(tmp_path / "a") != lines(tmp_path / "c")


def test_more_steps_resume_as_if_they_had_been_asked_for_at_first(tmp_path: Path) -> None:
    train(tmp_path / "short", steps=4)
    train(tmp_path / "short", steps=8)
    train(tmp_path / "long", steps=8)
    assert tensor_files(tmp_path / "short") == tensor_files(tmp_path / "long")
    assert lines(tmp_path / "short") == lines(tmp_path / "long")


def test_a_complete_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    first = train(tmp_path / "run")
    before = tensor_files(tmp_path / "run")
    again = train(tmp_path / "run")
    assert again.step == 6
    assert again.numbers == first.numbers
    assert tensor_files(tmp_path / "run") == before


def test_float16_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"precision is 16-mixed, which a cpu does not offer; use bf16-mixed"
    ):
        train(tmp_path, precision="16-mixed")


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_resumes_to_the_same_bits(tmp_path: Path, precision: Any) -> None:
    for folder, steps in (("parts", 2), ("parts", 4), ("whole", 4)):
        # Small enough a scale that it grows on the way, so that it must be saved.
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        plugin = MixedPrecision(precision, "cpu", scaler if precision == "16-mixed" else None)
        fabric = Fabric(accelerator="cpu", devices=1, plugins=[plugin])
        Trainer(tiny(steps=steps, precision="auto"), tmp_path / folder, fabric=fabric, quiet=True).train()
        assert scaler.get_scale() == (8.0 if precision == "bf16-mixed" or steps < 3 else 16.0)
    assert tensor_files(tmp_path / "parts") == tensor_files(tmp_path / "whole")


def test_auto_keeps_what_the_run_began_with(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=2, precision="32-true")
    trainer = Trainer(tiny(steps=4, precision="auto"), tmp_path / "run", accelerator="cpu", quiet=True)
    assert trainer.config.training.precision == "32-true"
    assert trainer.train().step == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": {"lr": 0.002}}, r"training\.optimizer\.lr is 0\.002 and was 0\.001"),
        ({"top": {"seed": 4}}, "seed is 4 and was 3"),
        ({"top": {"backbone": DEEPER}}, "depth is 4 and was 2"),
        ({"steps": 5}, "has done 6"),
        ({"resume": "never"}, "holds a run already"),
    ],
)  # fmt: skip
def test_a_run_of_another_configuration_is_refused_and_untouched(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    train(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=message):
        train(tmp_path, **change)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_foreign_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(ConfigError, match=r"holds no run \(it has 'thesis\.tex'"):
        train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match="is a file"):
        train(tmp_path / "thesis.tex")


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot write in the run directory"):
        train(Path("/proc/thalweg"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="Permission denied"):
        train(tmp_path)


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    with (tmp_path / "run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match=r"another process .* is training"):
            train(tmp_path, steps=4)
    assert train(tmp_path, steps=4).step == 4


@pytest.mark.parametrize(("batch_size", "accumulate", "devices"), [(15, 1, 2), (18, 3, 4)])
def test_a_batch_that_cannot_be_shared_out_is_refused(
    tmp_path: Path, batch_size: int, accumulate: int, devices: int
) -> None:
    config = tiny(batch_size=batch_size, accumulate=accumulate)
    with pytest.raises(ConfigError, match=f"make it a multiple of {devices * accumulate}"):
        Trainer(config, tmp_path / "run", accelerator="cpu", devices=devices)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("choice", [{"accelerator": "abacus"}, {"devices": "many"}, {"strategy": "luck"}])
def test_devices_that_are_not_there_are_refused(tmp_path: Path, choice: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot train with accelerator"):
        Trainer(tiny(), tmp_path / "run", **{"accelerator": "cpu", **choice})  # type: ignore[arg-type]


def test_a_given_fabric_states_the_precision(tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    with pytest.raises(ConfigError, match=r"training\.precision is 32-true"):
        Trainer(tiny(), tmp_path, fabric=fabric)
    assert Trainer(tiny(precision="auto"), tmp_path, fabric=fabric).config.training.precision == "bf16-mixed"


def test_a_network_of_other_data_is_refused(tmp_path: Path) -> None:
    network = thalweg.compose(
        backbone={"type": "dit", "patch": 4, "width": 16, "depth": 2, "heads": 2},
        facts=thalweg.Facts((3, 8, 8), classes=10),
    )
    with pytest.raises(ConfigError, match=r"shape \(3, 8, 8\)"):
        Trainer(tiny(), tmp_path, network=network)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_divergence_names_step_and_last_good_checkpoint_and_saves_nothing(
    tmp_path: Path, value: float
) -> None:
    objectives = {"bad": Fails(call=5, value=value)}
    trainer = Trainer(tiny(), tmp_path, objectives=objectives, accelerator="cpu", quiet=True)
    with pytest.raises(DivergenceError, match=r"at step 5: .*step-00000004;.*training\.optimizer\.lr"):
        trainer.train()
    assert [path.name for path in checkpoint.checkpoints(tmp_path / "checkpoints")] == [
        "step-00000002",
        "step-00000004",
    ]
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert not (tmp_path / "model").exists()


def bad_at(*calls: int) -> dict[str, Objective]:
    """An objective that is not finite at these calls, beside one that always is."""

    class Bad(Fails):
        def __call__(self, step: Step) -> ObjectiveValue:
            self.call = next((one for one in calls if one == self.calls + 1), 0)
            return super().__call__(step)

    return {"bad": Bad(call=0, value=float("nan"))}


def test_bad_steps_are_left_out_up_to_a_number_and_leave_no_trace(tmp_path: Path) -> None:
    config = tiny(nonfinite="skip", max_skips=2, log_every=2, validate_every=0)
    trainer = Trainer(config, tmp_path, objectives=bad_at(2, 5), accelerator="cpu", quiet=True)
    assert trainer.train().step == 6
    written = lines(tmp_path)
    assert [line["step"] for line in written] == [2, 4, 6]
    assert [line.get("skipped") for line in written] == [1, 1, 2]
    assert all(math.isfinite(line["loss"]) for line in written)
    assert all(torch.isfinite(tensor).all() for tensor in thalweg.load(tmp_path).state_dict().values())


def test_an_interval_of_left_out_steps_has_no_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(nonfinite="skip", validate_every=0)
    Trainer(config, tmp_path, objectives=bad_at(3), accelerator="cpu").train()
    assert ["loss" in line for line in lines(tmp_path)] == [True, True, False, True, True, True]
    said = capsys.readouterr().err
    assert "step 3 is left out, its loss or gradient is not finite (1 of 10)" in said
    assert "step 3/6  no loss" in said


def test_one_bad_step_too_many_stops_the_run(tmp_path: Path) -> None:
    config = tiny(nonfinite="skip", max_skips=1)
    trainer = Trainer(config, tmp_path, objectives=bad_at(2, 5), accelerator="cpu", quiet=True)
    with pytest.raises(DivergenceError, match=r"at step 5 after 1 steps were left out: .*step-00000004"):
        trainer.train()


def test_left_out_steps_are_counted_over_sessions(tmp_path: Path) -> None:
    config = tiny(nonfinite="skip", max_skips=1, steps=4)
    Trainer(config, tmp_path, objectives=bad_at(2), accelerator="cpu", quiet=True).train()
    more = tiny(nonfinite="skip", max_skips=1, steps=6)
    with pytest.raises(DivergenceError, match="at step 5 after 1 steps"):
        Trainer(more, tmp_path, objectives=bad_at(1), accelerator="cpu", quiet=True).train()
    allowed = tiny(nonfinite="skip", max_skips=2, steps=6)
    assert Trainer(allowed, tmp_path, objectives=bad_at(1), accelerator="cpu", quiet=True).train().step == 6


@pytest.mark.parametrize("prefetch", [0, 5])
def test_reading_ahead_gives_the_same_bits(tmp_path: Path, prefetch: int) -> None:
    train(tmp_path / "usual")
    train(tmp_path / "other", prefetch=prefetch, workers=3, accumulate=1, async_checkpoints=False)
    assert tensor_files(tmp_path / "usual") == tensor_files(tmp_path / "other")
    assert lines(tmp_path / "usual") == lines(tmp_path / "other")


def test_a_batch_may_be_larger_than_the_data_set(tmp_path: Path) -> None:
    result = train(tmp_path, batch_size=3000, steps=2, validate_every=0)
    assert result.step == 2


class PressesCtrlC(Fails):
    """An objective during whose call the user presses Ctrl-C."""

    def __init__(self, call: int, times: int, number: int = signal.SIGINT) -> None:
        super().__init__(call, value=1.0)
        self.times, self.number = times, number

    def __call__(self, step: Step) -> ObjectiveValue:
        value = super().__call__(step)
        if self.calls == self.call and torch.is_grad_enabled():
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
        return value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_finishes_the_step_and_the_run_resumes_to_the_same_bits(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(number)
    config = tiny(log_every=4, checkpoint_every=0)
    for folder, call in (("run", 3), ("run", 99), ("whole", 99)):
        objectives = {"own": PressesCtrlC(call, 1, number)}
        trainer = Trainer(config, tmp_path / folder, objectives=objectives, accelerator="cpu", quiet=True)
        result = trainer.train()
        assert (result.step, result.interrupted, result.model is None) == (
            (3, True, True) if call == 3 else (6, False, False)
        )
        assert result.preempted is (call == 3 and number != signal.SIGINT)
    assert tensor_files(tmp_path / "run") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    objectives = {"own": PressesCtrlC(call=3, times=2)}
    trainer = Trainer(tiny(), tmp_path, objectives=objectives, accelerator="cpu", quiet=True)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "whole", steps=8)
    train(tmp_path / "run")
    damaged = tmp_path / "run" / "checkpoints" / "step-00000006" / "ema.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    train(tmp_path / "run", steps=8)
    assert f"{damaged} has" in capsys.readouterr().err
    assert tensor_files(tmp_path / "run") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "run")[4:] == lines(tmp_path / "whole")[4:]


def test_all_checkpoints_damaged_is_an_error_not_a_new_beginning(tmp_path: Path) -> None:
    train(tmp_path)
    for manifest in tmp_path.glob("checkpoints/*/manifest.json"):
        manifest.write_text("{}")
    with pytest.raises(DataError, match="all 2 checkpoints"):
        train(tmp_path, steps=8)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train(tmp_path, steps=4)
    trainer = Trainer(tiny(), tmp_path, accelerator="cpu", quiet=True)
    other = Trainer(
        tiny(top={"backbone": {"type": "dit", "patch": 4, "width": 32, "depth": 2, "heads": 2}}), tmp_path,
        accelerator="cpu", quiet=True,
    )  # fmt: skip
    trainer.components = other.components
    with pytest.raises(DataError, match="of another network"):
        trainer.train()


def test_an_objective_with_weights_is_trained_saved_and_resumed(tmp_path: Path) -> None:
    whole, first, second = Learns(), Learns(), Learns()
    for objective, folder, steps in ((whole, "whole", 6), (first, "run", 4), (second, "run", 6)):
        trainer = Trainer(
            tiny(steps=steps), tmp_path / folder, objectives={"own": objective}, accelerator="cpu", quiet=True
        )
        trainer.train()
    assert whole.scale.item() != 1.0
    assert torch.equal(second.scale, whole.scale)


def test_a_failure_before_the_first_line_binds_the_folder_to_nothing(tmp_path: Path) -> None:
    trainer = Trainer(
        tiny(), tmp_path, objectives={"bad": Fails(call=1, value=float("nan"))}, accelerator="cpu", quiet=True
    )
    with pytest.raises(DivergenceError, match="no checkpoint had been saved yet"):
        trainer.train()
    assert train(tmp_path, optimizer={"lr": 0.0005}).step == 6


def test_without_a_compiler_it_warns_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    trainer = Trainer(tiny(compile="on", steps=2), tmp_path / "run", accelerator="cpu", quiet=True)
    assert not trainer.compiled
    assert capsys.readouterr().err.count("no C++ compiler") == 1
    assert trainer.train().step == 2


def test_a_compiler_that_fails_is_named_and_the_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken-g++"
    broken.write_text("#!/bin/sh\necho 'fatal error: no vector' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    trainer = Trainer(tiny(compile="on", steps=2), tmp_path / "run", accelerator="cpu", quiet=True)
    assert not trainer.compiled
    assert f"the C++ compiler {broken} fails (fatal error: no vector)" in capsys.readouterr().err
    assert trainer.train().step == 2


def test_a_compiler_that_works_has_no_fault() -> None:
    name = compiler()
    if name is None:
        pytest.skip("there is no C++ compiler here")
    assert compiler_fault(name) is None


def test_compilation_pays_for_long_runs_only() -> None:
    network = Trainer(tiny(), Path("nowhere"), accelerator="cpu").components.network
    assert not compiling_pays(network, 16 * 100, FLOP_PER_WEIGHT_TRAINED, "cpu")
    assert compiling_pays(network, 256 * 10**9, FLOP_PER_WEIGHT_TRAINED, "cpu")


def observer(calls: list[str], fails: BaseException | None) -> LoadedPlugin:
    marker = pluggy.HookimplMarker("thalweg")
    manager = pluggy.PluginManager("thalweg")

    class Plugin:
        @marker
        def thalweg_run_started(self, run_dir: Path) -> None:
            calls.append(f"started {run_dir.name}")

        @marker
        def thalweg_step_finished(self, run_dir: Path, step: int) -> None:
            calls.append(f"step {step} of {run_dir.name}")
            if fails is not None:
                raise fails

        @marker
        def thalweg_checkpoint_written(self, step: int, path: Path) -> None:
            checkpoint.verify(path)
            calls.append(f"saved {step}")

        @marker
        def thalweg_run_ended(self, step: int, completed: bool) -> None:
            calls.append(f"ended {step}{'' if completed else ', stopped'}")

    manager.register(Plugin())
    hooks = {
        f"thalweg_{name}": getattr(manager.hook, f"thalweg_{name}").get_hookimpls()[0]
        for name in ("run_started", "step_finished", "checkpoint_written", "run_ended")
    }
    return LoadedPlugin(
        Origin(plugin="watcher", distribution="strange", version="1", module="strange"), hooks
    )


@pytest.mark.parametrize("asynchronous", [False, True])
def test_observers_are_told_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(metrics, "registry", lambda: Registry([observer(calls, None)]))
    assert train(tmp_path / "run", steps=4, async_checkpoints=asynchronous).step == 4
    assert [call for call in calls if "saved" not in call] == [
        "started run", *(f"step {step} of run" for step in (1, 2, 3, 4)), "ended 4"
    ]  # fmt: skip
    # In the background a checkpoint may be whole some steps later, but never after the end of the run.
    assert [call for call in calls if "saved" in call] == ["saved 2", "saved 4"]
    assert calls.index("saved 2") > calls.index("step 2 of run")


@pytest.mark.parametrize("kind", [RuntimeError, ThalwegError, SystemExit])
def test_an_observer_that_raises_costs_the_run_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[BaseException],
) -> None:
    calls: list[str] = []
    watched = Registry([observer(calls, kind("is tired"))])
    monkeypatch.setattr(metrics, "registry", lambda: watched)
    assert train(tmp_path / "run", steps=2).step == 2
    assert calls == ["started run", "step 1 of run"]
    (said,) = [one.getMessage() for one in caplog.records if "is tired" in one.getMessage()]
    assert said.startswith("plugin 'watcher' of strange 1 failed in thalweg_step_finished")


def test_an_observer_is_told_that_a_run_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(metrics, "registry", lambda: Registry([observer(calls, None)]))
    trainer = Trainer(tiny(), tmp_path, accelerator="cpu", quiet=True)
    velocity = trainer.components.objectives["velocity"]

    class Interrupts:
        weight = velocity.weight

        def __call__(self, *arguments: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return velocity(*arguments)

    trainer.components.objectives["velocity"] = Interrupts()  # type: ignore[index]
    assert trainer.train().preempted
    assert calls[-2:] == ["saved 1", "ended 1, stopped"]


def test_tensorboard_gets_the_numbers_and_the_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, top={"loggers": {"tensorboard": {}}}, sample_every=6)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    written = {line["step"]: line["loss"] for line in lines(tmp_path)}
    assert {event.step: event.value for event in events.Scalars("loss")} == pytest.approx(written)
    assert [event.step for event in events.Images("samples")] == [6]


def test_tensorboard_forgets_what_an_earlier_attempt_wrote(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board: dict[str, Any] = {"loggers": {"tensorboard": {}}}
    trainer = Trainer(tiny(top=board), tmp_path, objectives=bad_at(6), accelerator="cpu", quiet=True)
    with pytest.raises(DivergenceError):
        trainer.train()
    Trainer(tiny(top=board), tmp_path, objectives=bad_at(), accelerator="cpu", quiet=True).train()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("which", ["metrics", "picture"])
def test_a_full_disk_is_one_clear_error_and_the_run_resumes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if which == "metrics":
            patched.setattr(metrics_file, "files", SimpleNamespace(disk=SimpleNamespace(sync=full)))
        else:
            patched.setattr(validation, "save_png", full)
        with pytest.raises(ThalwegError, match=r"No space left on device.*run the same command again"):
            train(tmp_path / "run", sample_every=2)
    train(tmp_path / "run", sample_every=2)
    train(tmp_path / "whole", sample_every=2)
    assert tensor_files(tmp_path / "run") == tensor_files(tmp_path / "whole")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")


def test_tensorboard_missing_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported: Callable[..., Any] = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith(("tensorboard", "torch.utils.tensorboard")):
            raise ImportError(name)
        return imported(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PluginError, match=r"pip install 'thalweg-core\[tensorboard\]'"):
        train(tmp_path, top={"loggers": {"tensorboard": {}}})


def test_the_command_prints_the_model_on_stdout_and_the_rest_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path)
    options = ["--run-dir", str(tmp_path / "run"), "--device", "cpu"]
    assert main(["train", str(path), "training.steps=3", *options]) == 0
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "run" / "model")
    assert "parameters, 2 branches" in output.err
    assert "3 steps of 16 samples" in output.err
    assert "step 3/3  loss" in output.err
    assert main(["train", str(path), "training.steps=3", "training.optimizer.lr=1.0", *options]) == 2
    assert "training.optimizer.lr is 1.0 and was 0.001" in capsys.readouterr().err
    assert main(["train", str(path), "training.steps=3", "--resume", "never", *options]) == 2
    assert main(["train", str(path), "training.optimizer.lr=nan", *options]) == 2
    for manifest in tmp_path.glob("run/checkpoints/*/manifest.json"):
        manifest.write_text("{}")
    assert main(["train", str(path), "training.steps=4", *options]) == 4


def test_a_recipe_is_built_and_checked_before_a_file_is_written(tmp_path: Path) -> None:
    config = attrs.evolve(tiny(), branches=3, refiner=tiny().refiner)
    with pytest.raises(ConfigError, match="does not divide"):
        Trainer(config, tmp_path / "run", accelerator="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_resumes_with_as_many_shards_as_it_began_with(tmp_path: Path) -> None:
    """The noise of a shard is addressed by its number, so other shards would be another run."""
    trainer = Trainer(tiny(steps=2), tmp_path / "run", accelerator="cpu", devices=1, quiet=True)
    trainer.train()
    state = checkpoint.checkpoints(tmp_path / "run" / "checkpoints")[-1] / "state.json"
    assert json.loads(state.read_text())["shards"] == 1
    network = trainer.components.network
    losses = Losses(network, trainer.components.objectives)
    optimizer = make_optimizer(AdamW(1e-3, (0.9, 0.999), 0.0), losses, fused=True)
    other = RunState(losses, optimizer, EMA(network, 0.9), shards=2)
    with pytest.raises(ConfigError, match=r"into 1 shards .* it would be 2"):
        other.load(state.parent, Fabric(accelerator="cpu", devices=1))


def test_a_network_of_another_path_than_the_configuration_states_is_refused(tmp_path: Path) -> None:
    config = tiny(steps=1)
    arguments = {**composition_of(config), "interpolant": "cosine"}
    network = compose(**arguments, facts=config.data.facts)
    with pytest.raises(ConfigError, match="interpolant 'cosine' and the configuration states 'linear'"):
        Trainer(config, tmp_path / "run", network=network, accelerator="cpu", quiet=True)
