"""Runs each sibling's tests with core, that sibling and the conformance kit: no other package of ours can be
imported.

python release/siblings.py [refiners samplers backbones eval]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SIBLINGS = ("refiners", "samplers", "backbones", "eval")

# Where they are installed editable, their finders would offer all six.
_CODE = """
import sys
hidden = {hidden!r}


class Hides:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"{{name}} is hidden", name=name)


sys.meta_path.insert(0, Hides())
"""


def main(names: list[str]) -> int:
    """0 if all pass."""
    codes = [tested(name) for name in names or SIBLINGS]
    return max(codes)


def tested(name: str) -> int:
    """pytest's exit code."""
    hidden = [f"thalweg_{other}" for other in SIBLINGS if other != name]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(_CODE.format(hidden=hidden), encoding="utf-8")
        paths = [folder, *(str(ROOT / "packages" / one / "src") for one in ("core", "authoring", name))]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "THALWEG_PLUGINS": f"core,authoring,{name}",
        }
        command = [sys.executable, "-m", "pytest", "-q", "--override-ini", "addopts="]
        command += ["--import-mode=importlib", str(ROOT / "tests" / name)]
        sys.stdout.write(f"core and {name}\n")
        sys.stdout.flush()
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
