"""Pieces one after another, each in a process of its own that ends with its time."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pieces import Piece
from benchmarks.gpu.results import DONE, Results
from benchmarks.gpu.sizes import Sizes

from thalweg.suggestions import one_line

LEAST = 5.0
"""Seconds below which no piece is begun."""

_LOOK = 0.2


def run(
    pieces: Sequence[Piece],
    results: Results,
    *,
    device: str,
    sizes: Sizes,
    end: float,
    data: Path | None = None,
) -> None:
    """Run pieces in their order and keep what they find, whatever becomes of them.

    Args:
        pieces: which.
        results: keeps what they find.
        device: ``cuda`` or ``cpu``; this process itself never touches it.
        sizes: how large everything is.
        end: of all, as ``time.monotonic`` counts.
        data: a folder of Fashion-MNIST's files.
    """
    for piece in pieces:
        begun = time.monotonic()
        if end - begun < LEAST:
            results.end(piece.name, "left out, the time was over")
            continue
        results.begin(piece.name)
        scratch = Path(tempfile.mkdtemp(prefix=f"thalweg-{piece.name}-"))
        until = min(end, begun + piece.seconds)

        state = "interrupted"
        try:
            state = forked(
                lambda report, piece=piece, scratch=scratch, until=until: piece.load()(
                    Bench(device, sizes, scratch, until, report, results.data["pieces"], data)
                ),
                until,
                lambda kind, content, name=piece.name: results.take(name, kind, content),
            )
        finally:
            results.end(piece.name, state, time.monotonic() - begun)
            shutil.rmtree(scratch, ignore_errors=True)


def forked(
    work: Callable[[Callable[[str, Any], None]], None], until: float, take: Callable[[str, Any], None]
) -> str:
    """Do something in a process of its own: a crash, or a device in disorder, costs nothing but that.

    A fork need not import torch again. Nothing before it may have touched an accelerator.

    Args:
        work: is given what to report by.
        until: when the process is killed, as ``time.monotonic`` counts.
        take: is called, in this process, with all that it reports.

    Returns:
        ``done``, or what became of it.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, sender))
    begun = time.monotonic()
    with warnings.catch_warnings():
        # Of threads that imported libraries have left, which nobody waits for.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    ended = ""
    try:
        while not ended:
            alive = process.is_alive()
            with contextlib.suppress(EOFError):
                while receiver.poll(0 if ended else _LOOK):
                    kind, content = receiver.recv()
                    if kind == "ended":
                        ended = content
                    else:
                        take(kind, content)
            if not ended and not alive:
                process.join()
                ended = _code_in_words(process.exitcode)
            elif not ended and time.monotonic() > until:
                ended = f"cut off after {time.monotonic() - begun:.0f} s"
    finally:
        # One that has done its work may be about to end by itself.
        process.join(1.0 if ended == DONE else 0.0)
        _kill(process)
        receiver.close()
    return ended


def asked(question: Callable[[], Mapping[str, Any]], seconds: float = 60.0) -> dict[str, Any]:
    """The answer of a function that touches the device, from a process of its own.

    Raises:
        RuntimeError: there is none.
    """
    found: dict[str, Any] = {}
    state = forked(
        lambda report: report("answer", dict(question())),
        time.monotonic() + seconds,
        lambda _, content: found.update(content),
    )
    if state != DONE:
        raise RuntimeError(state)
    return found


def _child(work: Callable[[Callable[[str, Any], None]], None], sender: Connection) -> None:
    os.setsid()  # so that what it starts ends with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        work(lambda kind, content: sender.send((kind, content)))
    except Exception as error:
        traceback.print_exc()
        sender.send(("ended", f"failed, {one_line(error)}"))
    else:
        sender.send(("ended", DONE))


def _kill(process: Any) -> None:
    """End a process and what it has started, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _code_in_words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"failed, killed by {signal.Signals(-code).name}"
    return f"failed, exit code {code}"
