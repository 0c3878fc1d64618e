"""Notebooks as pages: their text and code, to read, with the file to run."""

import json
from pathlib import Path


def page(path: Path) -> str:
    """The cells of a notebook as Markdown; outputs are made where it is run."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    blocks = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell in cells
        if (text := "".join(cell["source"]))
    ]
    title, _, rest = blocks[0].partition("\n")
    note = f"This page is a notebook: [{path.name}]({path.name}) is the file to run."
    return "\n\n".join([title, note, rest.strip(), *blocks[1:]]) + "\n"
