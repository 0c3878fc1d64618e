"""The command line of ``benchmarks/gpu.py``."""

import argparse
import datetime
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch
from benchmarks.gpu.device import described
from benchmarks.gpu.pieces import ALL, PIECES, Piece
from benchmarks.gpu.results import RESULTS, SUMMARY, Results
from benchmarks.gpu.running import asked, run
from benchmarks.gpu.sizes import FULL, TINY

# Before any process is forked, so that none has to import them again.
import thalweg_eval.evaluation.evaluate
from thalweg.errors import ThalwegError
from thalweg.suggestions import did_you_mean, known_words
from thalweg.training import trainer

_PRELOADED = (thalweg_eval.evaluation.evaluate, torch, trainer)
_FILE = "train-images-idx3-ubyte.gz"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence; the usage is what --help shows."""
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


def _pieces(text: str) -> list[Piece]:
    names = [one.strip() for one in text.split(",") if one.strip()]
    for name in names:
        if name not in PIECES:
            raise argparse.ArgumentTypeError(
                f"there is no piece '{name}'{did_you_mean(name, PIECES) or known_words(PIECES)}"
            )
    if not names:
        raise argparse.ArgumentTypeError(f"no piece is named{known_words(PIECES)}")
    return [one for one in ALL if one.name in names]


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"'{text}' is no time; give minutes above 0, such as 8")
    return minutes


def _folder_of_idx(text: str) -> Path:
    if not (Path(text) / _FILE).is_file():
        raise argparse.ArgumentTypeError(
            f"there is no {_FILE} in '{text}'; give a folder with Fashion-MNIST's four idx files"
        )
    return Path(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0 if all of it was done and every target met."""
    begun = time.monotonic()
    given = _parser().parse_args(arguments)
    if given.out.exists() and not given.out.is_dir():
        _parser().error(f"argument --out: '{given.out}' is a file; name a folder")
    if (given.out / RESULTS).exists():
        _parser().error(f"argument --out: '{given.out}' holds results already; name another folder")
    machine = asked(lambda: described(given.device))
    if not machine:
        _parser().error("there is no CUDA device here; --device cpu rehearses everything at tiny sizes")
    made = {
        **machine,
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "minutes": given.minutes,
    }
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        results = Results(given.out, given.only, made)
    except (OSError, ThalwegError) as error:
        _parser().error(f"argument --out: nothing can be written to '{given.out}' ({error})")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was found so far is kept
    run(
        given.only,
        results,
        device=given.device,
        sizes=FULL if given.device == "cuda" else TINY,
        end=begun + 60 * given.minutes,
        data=given.data,
    )
    print(f"written to {given.out / RESULTS} and {given.out / SUMMARY}")
    return 0 if results.complete else 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python benchmarks/gpu.py",
        description="What Thalweg does on one accelerator: correctness, then speed, then a short training.",
        epilog="pieces: " + "; ".join(f"{one.name}, {one.what}" for one in ALL),
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help=f"gets {RESULTS} and {SUMMARY}"
    )
    parser.add_argument(
        "--only", type=_pieces, default=list(ALL), metavar="PIECE,...", help="only these; all by default"
    )
    parser.add_argument("--minutes", type=_minutes, default=8.0, help="after which all ends; 8 by default")
    parser.add_argument(
        "--device", choices=["cuda", "cpu"], default="cuda", help="cpu rehearses everything at tiny sizes"
    )
    parser.add_argument(
        "--data",
        type=_folder_of_idx,
        metavar="FOLDER",
        help="Fashion-MNIST's four idx files; by default where Debian's dataset-fashion-mnist puts them",
    )
    return parser
