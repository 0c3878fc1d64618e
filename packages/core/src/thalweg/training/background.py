"""Work in threads that never outlive the program and whose errors are not lost."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A task in a thread of its own.

    The thread ends with the program, so a second Ctrl-C waits for nothing; what it writes must bear that.

    Args:
        task: what to do.
        name: of the thread.
    """

    def __init__(self, task: Callable[[], Result], name: str) -> None:
        self._task = task
        self._result: list[Result] = []
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def result(self) -> Result:
        """Wait for it.

        Raises:
            Exception: what the task raised.
        """
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._task())
        except BaseException as fault:  # handed to whoever asks for the result
            self._fault = fault


def together(tasks: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """The results of tasks in their order, of which at most ``workers`` run at a time.

    Raises:
        Exception: what the first of them raised that failed, when none runs any more.
    """
    places = iter(range(len(tasks)))
    lock = threading.Lock()
    results: dict[int, Result] = {}
    faults: dict[int, BaseException] = {}

    def work() -> None:
        while not faults:
            with lock:
                place = next(places, None)
            if place is None:
                return
            try:
                results[place] = tasks[place]()
            except BaseException as fault:  # raised below
                faults[place] = fault

    threads = [Background(work, "thalweg-file") for _ in range(min(workers, len(tasks)))]
    for thread in threads:
        thread.result()
    if faults:
        raise faults[min(faults)]
    return [results[place] for place in range(len(tasks))]
