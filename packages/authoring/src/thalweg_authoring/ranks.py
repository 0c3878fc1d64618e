"""Two processes that train data-parallel, kept for all components that are checked in this process.

They are started once, as importing torch takes seconds, and end with this process. Each is this module run by
itself with RANK, WORLD and FOLDER, and answers one job a line.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from thalweg_authoring.numbers import draws, outputs
from thalweg_authoring.rules import require
from thalweg_authoring.subject import Subject

_WORLD = 2


def gradients(net: nn.Module, question: tuple[Any, ...], rows: slice = slice(None)) -> dict[str, Tensor]:
    """The gradients of a loss that is a mean over samples, of the samples in ``rows``.

    Args:
        net: called with the question; a wrapper of it, or itself.
        question: x_t, times and condition of all samples.
        rows: which of them to take.
    """
    x, times, condition = question
    index = torch.arange(len(x))[rows]
    net.zero_grad()
    prediction = net(x[index], times[:, index], condition.select(index))
    losses = [
        (out * draws(len(x), *out.shape[1:], seed=i)[index]).flatten(1).sum(dim=1).mean()
        for i, out in enumerate(outputs(prediction))
    ]
    torch.stack(losses).sum().backward()
    return {
        name.removeprefix("module."): p.grad.clone()
        for name, p in net.named_parameters()
        if p.grad is not None
    }


def data_parallel(subject: Subject) -> Mapping[str, Tensor]:
    """The gradients of two processes, each with one half of four samples.

    Raises:
        BrokenRuleError: a process failed.
    """
    return _Ranks.running().ask(subject)


class _Ranks:
    _one: "_Ranks | None" = None

    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="thalweg-ranks-")
        folder = Path(self._place.name)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self._errors = [
            (folder / f"stderr-{rank}").open("w+", encoding="utf-8", errors="replace")
            for rank in range(_WORLD)
        ]
        self._processes = [
            subprocess.Popen(  # noqa: S603 - this interpreter
                [sys.executable, "-m", "thalweg_authoring.rank", str(rank), str(_WORLD), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                errors="replace",
                env=environment,
            )
            for rank, errors in enumerate(self._errors)
        ]

    @classmethod
    def running(cls) -> "_Ranks":
        if cls._one is None:
            cls._one = cls()
            atexit.register(cls.stop)
        return cls._one

    @classmethod
    def stop(cls) -> None:
        if cls._one is not None:
            one, cls._one = cls._one, None
            for process in one._processes:
                process.kill()
                process.communicate()
            for errors in one._errors:
                errors.close()
            one._place.cleanup()

    def ask(self, subject: Subject) -> Mapping[str, Tensor]:
        job = json.dumps(
            {
                "kind": subject.kind,
                "name": subject.name,
                "options": dict(subject.options),
                "shape": subject.facts.shape,
                "classes": subject.facts.classes,
                "text": subject.facts.text,
                "folder": os.getcwd(),  # noqa: PTH109 - a string is what is sent
            }
        )
        for process in self._processes:
            assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
            process.stdin.write(job + "\n")
            process.stdin.flush()
        answers = [self._answer(rank) for rank in range(_WORLD)]
        failed = [answer for answer in answers if answer != "done"]
        if failed:
            self.stop()  # The other one may wait for it for ever.
        require(not failed, f"training on two processes fails: {next(iter(failed), '')}")
        return load_file(Path(self._place.name) / "gradients.safetensors")

    def _answer(self, rank: int) -> str:
        stdout = self._processes[rank].stdout
        assert stdout is not None  # noqa: S101 - it was opened as a pipe
        line = stdout.readline()
        if not line:
            self._errors[rank].seek(0)
            return self._errors[rank].read().strip()[-300:] or "the process ended"
        return str(json.loads(line))
