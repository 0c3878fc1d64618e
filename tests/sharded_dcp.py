"""Two processes save the tensors of a SiT through ``torch.distributed.checkpoint``; started by test_dcp.py.

``python sharded_dcp.py FOLDER`` makes ``FOLDER/titan``, as torchtitan leaves a compiled network beside its
optimiser, and ``FOLDER/nested``, an average and arguments in tables of their own.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import checkpoint
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from golden_files import golden

RANKS = 2


def averaged(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Other weights than these, with the fixed positions."""
    return {name: one if name == "pos_embed" else 2 * one for name, one in weights.items()}


def saved(folder: Path) -> None:
    mesh = init_device_mesh("cpu", (RANKS,))

    def placed(tensor: Tensor, number: int) -> Tensor:
        # Rows, columns, or whole on every rank; the first two are cut where they do not divide, too.
        ways = [Shard(0), Shard(tensor.dim() - 1), Replicate()]
        return distribute_tensor(tensor, mesh, [ways[number % 3]])

    weights = golden("sit").weights
    mine = {name: placed(one, number) for number, (name, one) in enumerate(weights.items())}
    doubled = {name: placed(one, number + 1) for number, (name, one) in enumerate(averaged(weights).items())}
    titan: dict[str, Any] = {
        **{f"_orig_mod.{name}": one for name, one in mine.items()},
        "optimizer": {f"state._orig_mod.{name}.exp_avg": one for name, one in doubled.items()},
        "train_state": {"step": torch.tensor(7), "log": Path("a/b")},
        "lr_scheduler": {"last_epoch": 7},
    }
    checkpoint.save(titan, checkpoint_id=folder / "titan")
    arguments = {"num_heads": 4, "num_classes": 1000, "path_type": "GVP", "prediction": "velocity"}
    wrapped = {f"module.{name}": one for name, one in doubled.items()}
    checkpoint.save({"model": mine, "ema": wrapped, "args": arguments}, checkpoint_id=folder / "nested")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(RANKS):
        child = os.fork()
        if child == 0:
            try:
                address = {"init_method": f"tcp://127.0.0.1:{port}", "world_size": RANKS, "rank": rank}
                distributed.init_process_group("gloo", **address)
                saved(Path(sys.argv[1]))
                distributed.barrier()
                distributed.destroy_process_group()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
