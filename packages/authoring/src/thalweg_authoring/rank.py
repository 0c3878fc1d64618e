"""One of the two processes that :mod:`thalweg_authoring.ranks` starts."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from thalweg.facts import Facts
from thalweg.suggestions import one_line
from thalweg_authoring.kinds.modules import networks
from thalweg_authoring.networks import example_inputs
from thalweg_authoring.numbers import FACTS
from thalweg_authoring.ranks import gradients
from thalweg_authoring.subject import Subject


def main(rank: int, world: int, folder: Path) -> None:
    """Answer one job a line until the input ends."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    answers, sys.stdout = sys.stdout, sys.stderr  # what a component prints is no answer
    for line in sys.stdin:
        try:
            _answered(json.loads(line), rank, world, folder)
            outcome = "done"
        except Exception as error:
            outcome = one_line(error)
        answers.write(json.dumps(outcome) + "\n")
        answers.flush()


def _answered(job: dict[str, Any], rank: int, world: int, folder: Path) -> None:
    os.chdir(job["folder"])
    stated = Facts(job["shape"], job["classes"], job["text"] and tuple(job["text"]))
    facts = attrs.evolve(FACTS, shape=stated.shape, classes=stated.classes, text=stated.text)
    _, net = next(networks(Subject(job["kind"], job["name"], job["options"], facts)))
    count = 4
    share = slice(rank * count // world, (rank + 1) * count // world)
    found = gradients(DistributedDataParallel(net), example_inputs(facts, net.branches, count=count), share)
    if rank == 0:
        save_file(
            {name: tensor.contiguous() for name, tensor in found.items()}, folder / "gradients.safetensors"
        )
    torch.distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
