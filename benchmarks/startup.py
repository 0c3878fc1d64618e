"""How long ``thalweg --help`` takes, and that it leaves torch alone."""

from common import Verdict, alternately  # isort: skip

import subprocess
import sys
from pathlib import Path

SECONDS = 0.3


def main() -> None:
    verdict = Verdict()
    command = [str(Path(sys.executable).with_name("thalweg")), "--help"]
    check = "import sys, thalweg.cli.main as m; m.main(['--help']); print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    verdict.at_most("torch imported by --help", float(loaded.stdout.rstrip().endswith("True")), 0)
    help_, bare = alternately(
        {
            "help": lambda: subprocess.run(command, capture_output=True, check=True),
            "python": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        },
        15,
    ).values()
    print(f"thalweg --help {help_:.3f} s, of which the interpreter takes {bare:.3f} s")
    verdict.at_most("seconds of thalweg --help", help_, SECONDS)
    verdict.exit()


if __name__ == "__main__":
    main()
