"""How long ``import thalweg`` and ``thalweg --help`` take, also with five hundred plugins installed."""

from common import Verdict, alternately  # isort: skip

import compileall
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HELP, IMPORT, CROWDED = 0.2, 0.1, 0.4
COUNT, ROUNDS = 500, 21

PLUGIN = """
import thalweg

api_version = 1


@thalweg.hookimpl
def thalweg_components(register):
    for kind in ("refiner", "sampler", "metric"):
        register(kind, "stranger-{number}", "stranger_{number}.component:Config")


@thalweg.hookimpl
def thalweg_run_started(run_dir, config):
    pass
"""


def install(folder: Path) -> None:
    """Hundreds of distributions with a plugin each, as pip leaves them."""
    for number in range(COUNT):
        package = folder / f"stranger_{number}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(PLUGIN.format(number=number))
        info = folder / f"stranger_{number}-1.0.dist-info"
        info.mkdir()
        readme = "A stranger's plugin.\n" * 200
        head = f"Metadata-Version: 2.1\nName: stranger-{number}\nVersion: 1.0\n\n"
        (info / "METADATA").write_text(head + readme)
        (info / "entry_points.txt").write_text(f"[thalweg]\nstranger{number} = stranger_{number}.plugin\n")
    compileall.compile_dir(folder, quiet=1)


def main() -> None:
    verdict = Verdict()
    command = [str(Path(sys.executable).with_name("thalweg")), "--help"]
    check = "import sys, thalweg.cli.main as m; m.main(['--help']); print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    verdict.at_most("torch imported by --help", float(loaded.stdout.rstrip().endswith("True")), 0)
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        crowded = {**os.environ, "PYTHONPATH": path}
        list_ = [command[0], "plugins", "list", "--kind", "refiner"]
        listed = subprocess.run(list_, env=crowded, capture_output=True, text=True, check=True)
        assert listed.stdout.count("stranger-") >= COUNT, listed.stdout

        def timed(words: list[str], env: dict[str, str] | None = None) -> object:
            return lambda: subprocess.run(words, env=env, capture_output=True, check=True)

        taken = alternately(
            {
                "python": timed([sys.executable, "-c", "pass"]),
                "import": timed([sys.executable, "-c", "import thalweg"]),
                "help": timed(command),
                "crowded": timed(command, crowded),
            },
            ROUNDS,
            min,
        )
    bare = taken["python"]
    print(f"the interpreter alone {bare:.3f} s, import thalweg {taken['import'] - bare:.3f} s more")
    print(f"thalweg --help {taken['help']:.3f} s, with {COUNT} plugins {taken['crowded']:.3f} s")
    verdict.at_most("seconds of thalweg --help", taken["help"], HELP)
    verdict.at_most("seconds of import thalweg", taken["import"] - bare, IMPORT)
    verdict.at_most(f"seconds of thalweg --help with {COUNT} plugins", taken["crowded"], CROWDED)
    verdict.exit()


if __name__ == "__main__":
    main()
