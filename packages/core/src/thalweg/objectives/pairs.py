"""What objectives that compare the samples of a batch need of it."""

import torch

from thalweg.errors import DataError


def check_several(name: str, count: int) -> None:
    """Make sure that training has samples to compare; a validation may end with a single one.

    Args:
        name: of the objective.
        count: of the samples that a process holds at once.

    Raises:
        DataError: there is one, of which such an objective says nothing.
    """
    if count == 1 and torch.is_grad_enabled():
        raise DataError(
            f"objectives.{name} compares samples of a batch and a process holds one at once; enlarge "
            "training.batch_size or lower training.accumulate, or leave the objective out"
        )
