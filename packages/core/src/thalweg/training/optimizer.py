"""The optimiser of a run: over what it is made, its learning rates, and its state as tensors and numbers."""

import copy
import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.checkpoint import TensorGroup
from thalweg.errors import ConfigError, DataError, PluginError
from thalweg.protocols import Optimizer, RateSchedule

_RATE = "lr"
_SCALARS = (bool, int, float, str, type(None))


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that an optimiser is to move, by name."""
    return {name: one for name, one in module.named_parameters() if one.requires_grad}


def make_optimizer(maker: Optimizer, module: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
    """The optimiser of a module, sharded if it is to be.

    Raises:
        ConfigError: if there is nothing to train.
        PluginError: if what is made is none, needs a closure, or moves what is not the module's.
    """
    parameters = trainable(module)
    if not parameters:
        raise ConfigError("no parameter is to be trained, all are frozen (requires_grad is off); free some")
    made = maker(parameters, fused)
    whose = f"the optimiser {type(maker).__name__}"
    if not isinstance(made, torch.optim.Optimizer):
        raise PluginError(f"{whose} makes a {type(made).__name__}; return a torch.optim.Optimizer")
    closure = inspect.signature(made.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise PluginError(
            f"{whose} makes a {type(made).__name__}, which needs the loss again, by a closure, "
            "and a step computes it once; take one whose step() needs none"
        )
    own = {id(one) for one in parameters.values()}
    if any(id(one) not in own for group in made.param_groups for one in group["params"]):
        raise PluginError(f"{whose} moves a tensor that it was not given; make it of the parameters alone")
    if any(not isinstance(group.get(_RATE), float | int) for group in made.param_groups):
        raise PluginError(f"{whose} has a group without the number 'lr'; give each group one")
    return made


class LearningRates:
    """Learning rates by step: those that an optimiser was made with, times the schedule's factor."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: RateSchedule, total: int) -> None:
        self._optimizer, self._schedule, self._total = optimizer, schedule, total
        self._full = [float(group[_RATE]) for group in optimizer.param_groups]
        names = [group.get("name", index + 1) for index, group in enumerate(optimizer.param_groups)]
        self._names = [_RATE if index == 0 else f"{_RATE}/{name}" for index, name in enumerate(names)]

    def set(self, step: int) -> None:
        """Set those of a step, counted from 0."""
        for group, rate in zip(self._optimizer.param_groups, self._at(step), strict=True):
            group[_RATE] = rate

    def numbers(self, step: int) -> dict[str, float]:
        """Those of a step by name, ``lr`` of the first group and ``lr/NAME`` of the others."""
        return dict(zip(self._names, self._at(step), strict=True))

    def _at(self, step: int) -> list[float]:
        factor = float(self._schedule(step, self._total))
        if not (math.isfinite(factor) and factor >= 0):
            raise PluginError(
                f"the schedule {type(self._schedule).__name__} gives {factor} for step {step} of "
                f"{self._total}; let it give a number that is at least 0"
            )
        return [full * factor for full in self._full]


class OptimizerState:
    """An optimiser's state: tensors as ``<parameter>/<name>``, and what are numbers.

    A parameter that had no gradient has none. Learning rates are no part of it: the step's number decides.
    """

    def __init__(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        order = [one for group in optimizer.param_groups for one in group["params"]]
        index = {id(one): number for number, one in enumerate(order)}
        # Known now: in the middle of a step a sharded module shows other parameters than the optimiser's.
        self._parameters = {name: one for name, one in trainable(module).items() if id(one) in index}
        self._index = {name: index[id(one)] for name, one in self._parameters.items()}
        self._fresh = self._settings()

    def tensors(self) -> dict[str, Tensor]:
        """The optimiser's own tensors, not copies."""
        self._check_groups()
        found = {}
        for name, key, value, parameter in self._entries():
            _check_saved(f"{name}/{key}", key, value)
            if isinstance(value, Tensor):
                # A tensor of another shape than its parameter's must be whole where that is sharded.
                if hasattr(value, "device_mesh") and value.shape != parameter.shape:
                    raise DataError(
                        f"the optimiser's state {name}/{key} is sharded and of shape {tuple(value.shape)}, "
                        f"its parameter of {tuple(parameter.shape)}, so it cannot be saved; train with "
                        f"--strategy ddp, or another optimiser"
                    )
                found[f"{name}/{key}"] = value
        return found

    def numbers(self) -> dict[str, Any]:
        """What is no tensor, as JSON has it: of parameters, and settings of groups that have changed."""
        return {
            "state": {
                f"{name}/{key}": value
                for name, key, value, _ in self._entries()
                if not isinstance(value, Tensor)
            },
            "groups": [
                {key: now[key] for key in _changed(fresh, now) if isinstance(now[key], _SCALARS)}
                for fresh, now in zip(self._fresh, self._settings(), strict=True)
            ],
        }

    def allocate(self, saved: TensorGroup) -> dict[str, Tensor]:
        """Tensors to fill and to :meth:`load`: one for each that was saved of a parameter of ours.

        One of its parameter's shape is placed and sharded as that is, any other one is whole and on the CPU.
        """
        tensors = {}
        for full, shape in saved.shapes.items():
            parameter = self._parameters.get(full.rpartition("/")[0])
            if parameter is None:
                continue
            dtype = saved.dtype(full)
            if shape == tuple(parameter.shape) and shape:
                tensors[full] = torch.zeros_like(parameter, dtype=dtype)
            else:
                tensors[full] = torch.zeros(shape, dtype=dtype)
        return tensors

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Take what :meth:`allocate` gave and was filled, and what :meth:`numbers` gave."""
        state: dict[int, dict[str, Any]] = {}
        for full, value in {**tensors, **numbers["state"]}.items():
            name, _, key = full.rpartition("/")
            state.setdefault(self._index[name], {})[key] = value
        own = self._optimizer.state_dict()
        groups = [
            {**group, **changed}
            for group, changed in zip(own["param_groups"], numbers["groups"], strict=True)
        ]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        # torch casts what it loads to the parameter's type; a count or a sum keeps its own.
        for full, value in tensors.items():
            name, _, key = full.rpartition("/")
            mine = self._optimizer.state[self._parameters[name]]
            if isinstance(mine[key], Tensor) and mine[key].dtype != value.dtype:
                mine[key] = value.to(mine[key].device)

    def _entries(self) -> list[tuple[str, str, Any, nn.Parameter]]:
        return [
            (name, key, value, parameter)
            for name, parameter in self._parameters.items()
            for key, value in self._optimizer.state.get(parameter, {}).items()
        ]

    def _check_groups(self) -> None:
        """What is kept elsewhere than in a parameter's state, and is no number, would be lost in silence."""
        known = {id(parameter) for parameter in self._parameters.values()}
        foreign = [key for key in self._optimizer.state if id(key) not in known]
        if foreign:
            shown = f"a {type(foreign[0]).__name__}" if isinstance(foreign[0], Tensor) else repr(foreign[0])
            raise DataError(
                f"the optimiser keeps a state of {shown}, which is no parameter and cannot be saved; keep it "
                "in a parameter's state, or as a number in a group"
            )
        for fresh, now in zip(self._fresh, self._settings(), strict=True):
            for key in now:
                if isinstance(now[key], _SCALARS):
                    _check_saved(f"of a group, {key},", key, now[key])
            for key in _changed(fresh, now):
                if not isinstance(now[key], _SCALARS):
                    raise DataError(
                        f"the optimiser's group holds {key!r}, a {type(now[key]).__name__} that changes, "
                        f"which cannot be saved; keep numbers there, and tensors in the state of a parameter"
                    )

    def _settings(self) -> list[dict[str, Any]]:
        """Copies of each group's settings but parameters and learning rate."""
        return [
            {
                key: value.clone() if isinstance(value, Tensor) else copy.copy(value)
                for key, value in group.items()
                if key not in ("params", _RATE)
            }
            for group in self._optimizer.param_groups
        ]


def _changed(fresh: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Those settings of a group that are others than before."""
    return [key for key, value in now.items() if key not in fresh or not _alike(fresh[key], value)]


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    return bool(one == other)


def _check_saved(full: str, key: Any, value: Any) -> None:
    """What comes back as it was: tensors of real numbers, and finite numbers, under names without slashes."""
    if not isinstance(key, str) or "/" in key:
        fault = f"{full} has a name with a slash, or none"
    elif isinstance(value, Tensor):
        fault = f"{full} is complex" if value.is_complex() else ""
    elif not isinstance(value, _SCALARS):
        fault = f"{full} is a {type(value).__name__}"
    else:
        fault = f"{full} is {value}" if isinstance(value, float) and not math.isfinite(value) else ""
    if fault:
        raise DataError(f"the optimiser's state {fault}, which cannot be saved; keep tensors and numbers")
