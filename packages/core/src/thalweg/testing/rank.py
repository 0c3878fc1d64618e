"""One of the two processes of :mod:`thalweg.testing.ranks`: RANK WORLD FOLDER are its arguments."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import torch
import torch.distributed
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from thalweg.facts import Facts
from thalweg.suggestions import one_line
from thalweg.testing.kinds.modules import first
from thalweg.testing.networks import asked
from thalweg.testing.numbers import FACTS
from thalweg.testing.ranks import gradients
from thalweg.testing.subject import Subject


def main(rank: int, world: int, folder: Path) -> None:
    """Answer one job a line until the input ends."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    answers, sys.stdout = sys.stdout, sys.stderr  # what a component prints is no answer
    for line in sys.stdin:
        try:
            _answer(json.loads(line), rank, world, folder)
            said = "done"
        except Exception as error:
            said = one_line(error)
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def _answer(job: dict[str, Any], rank: int, world: int, folder: Path) -> None:
    os.chdir(job["folder"])
    stated = Facts(job["shape"], job["classes"], job["text"] and tuple(job["text"]))
    facts = attrs.evolve(FACTS, shape=stated.shape, classes=stated.classes, text=stated.text)
    net = first(Subject(job["kind"], job["name"], job["options"], facts))
    count = 4
    share = slice(rank * count // world, (rank + 1) * count // world)
    found = gradients(DistributedDataParallel(net), asked(facts, net.branches, count=count), share)
    if rank == 0:
        save_file(
            {name: tensor.contiguous() for name, tensor in found.items()}, folder / "gradients.safetensors"
        )
    torch.distributed.barrier()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
