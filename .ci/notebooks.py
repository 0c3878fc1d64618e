"""Whether the notebooks of the documentation run as they are, from their first cell to the last.

    python3 .ci/notebooks.py [NOTEBOOK]...

Each runs in a kernel of this interpreter, in an empty folder, on one thread. A cell that raises, one that
takes longer than ten minutes, and one whose output is committed is a fault.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600
"""Seconds of a cell."""


def committed(path: Path) -> list[str]:
    """Outputs and counts that are in the file."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        f"cell {number} has outputs; clear all outputs before committing"
        for number, cell in enumerate(cells)
        if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None)
    ]


def fault_of(path: Path) -> str:
    """What went wrong when it ran; empty if nothing did."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=LONGEST,
            startup_timeout=LONGEST,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError) as error:
            return str(error)[-3000:]
    return ""


def main(arguments: list[str]) -> int:
    """Run these notebooks, or all; the exit code."""
    os.environ["OMP_NUM_THREADS"] = "1"
    # Of this interpreter, whatever kernels are installed for the user.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    paths = [Path(one) for one in arguments] or sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
    faults = []
    for path in paths:
        begun = time.monotonic()
        faults += [f"{path}: {one}" for one in committed(path)]
        fault = fault_of(path)
        faults += [f"{path}: {fault}"] if fault else []
        print(f"{time.monotonic() - begun:6.1f} s  {path}", flush=True)
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
