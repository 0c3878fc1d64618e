"""What two processes exchange, and what becomes of a step that one of them cannot do."""

import json
import sys
from pathlib import Path

import pytest

from run_processes import TESTS, ended, start


def test_gradients_are_exchanged_once_a_step_and_a_bad_loss_on_one_process_counts_for_both(
    tmp_path: Path,
) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    code, _, said = ended(start([*torchrun, str(TESTS / "two_processes.py"), str(tmp_path)]))
    assert code == 0, said
    first, second = (json.loads((tmp_path / f"outcome-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    for strategy in ("ddp", "fsdp"):
        once, thrice = first[f"{strategy} exchanges"]
        assert once == thrice > 0
        skipped = first[f"{strategy} skip"]
        assert (skipped["step"], skipped["skipped"]) == (3, 1)
        assert 0 < skipped["loss"] < 10
        assert "training diverged at step 2: the loss is nan" in first[f"{strategy} stop"]
    # Both strategies left out the same step and went on alike.
    assert first["ddp skip"] == pytest.approx(first["fsdp skip"], rel=1e-4)
