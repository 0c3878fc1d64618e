"""Does it all and prints what came of it as JSON, a line each.

In a process of its own, since the type checker that runs under the tests would stop most of it before the
library does.
"""

import json
import sys
import warnings
from pathlib import Path

import thalweg
from argument_mistakes import mistakes, rights


def main(folder: Path) -> None:
    """``folder`` holds a recipe.toml."""
    warnings.simplefilter("error")
    before = sorted(folder.rglob("*"))
    for one in mistakes(folder):
        kind, said = "", ""
        try:
            one.call()
        except BaseException as error:
            kind = "ThalwegError" if isinstance(error, thalweg.ThalwegError) else type(error).__name__
            said = str(error)
        left = [path.name for path in sorted(folder.rglob("*")) if path not in before]
        print(json.dumps(["mistake", one.name, kind, said, one.said, left]), flush=True)
    warnings.simplefilter("default")  # torch warns of itself while it compiles
    for name, call in rights(folder).items():
        try:
            came = str(call())
        except Exception as error:
            came = f"{type(error).__name__}: {error}"
        print(json.dumps(["right", name, came]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
