"""What a run says of data that it could not read, and of images that it left out."""

import json
from typing import Any

from thalweg.protocols import Split
from thalweg.training.reading import Reading, UnreadableError

_SHOWN = 20
"""Damaged images that are named."""


def ended(fault: UnreadableError, data: Any, step: int) -> UnreadableError:
    """The error that ends a run, with where it stands and how it goes on.

    Args:
        fault: what could not be read.
        data: the config of the data set.
        step: whose state is saved; 0 if nothing was trained.
    """
    stands = f"the state of step {step} is saved" if step else "nothing was trained yet"
    skips = fault.damaged and getattr(data, "on_damaged", None) == "stop"
    skip = ", or at once and without such images by data.on_damaged=skip" if skips else ""
    return UnreadableError(
        f"{fault}; {stands}, and the same command goes on once that is put right, by --accept-changed-data "
        f"if the data are others then{skip}",
        fault.exit_code,
        fault.damaged,
    )


def left_out(replaced: int, split: Split, reading: Reading) -> str:
    """Which images were left out; empty if none. Every process must call it.

    Args:
        replaced: samples of the whole run that stood in for damaged ones.
        split: what was trained on.
        reading: asks the other processes.
    """
    if not replaced:
        return ""
    known = json.dumps(getattr(split, "damaged", [])[:_SHOWN])
    every = dict.fromkeys(one for text in reading.gather(known) for one in json.loads(text))
    names = f"; this session met: {'; '.join(list(every)[:_SHOWN])}" if every else ""
    many = f"{replaced:,} samples stood in for damaged images"
    return f"{'1 sample stood in for a damaged image' if replaced == 1 else many}{names}"
