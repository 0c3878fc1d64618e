"""Reading ahead: what the next steps need is read while this one computes."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Reads steps ahead in threads.

    What a step reads may depend on the step alone, so the order in which threads come to it is of no
    account. An error in reading is raised when its step is requested, not before.

    Args:
        read: reads a step; called from several threads at once.
        depth: steps read beyond the one requested; 0 reads in the caller's thread.
        workers: threads.
        stop: the first step that is not read ahead; None reads on without end.
        upcoming: called once for each step, in order, up to ``reach`` beyond those read ahead, so
            that what is far away can set out early. It should return at once.
        reach: how far.
    """

    def __init__(
        self,
        read: Callable[[int], T],
        *,
        depth: int,
        workers: int = 1,
        stop: int | None = None,
        upcoming: Callable[[int], None] | None = None,
        reach: int = 0,
    ) -> None:
        if depth < 0 or workers < 1 or reach < 0:
            raise ValueError(f"depth {depth}, workers {workers}, reach {reach}: at least 0, 1 and 0")
        self._read, self._depth, self._stop = read, depth, stop
        self._upcoming, self._reach, self._told = upcoming, reach, 0
        self._pool = ThreadPoolExecutor(workers, "thalweg-prefetch") if depth else None
        self._futures: dict[int, Future[T]] = {}
        self._closed = False
        self._lock = threading.Lock()

    def get(self, step: int) -> T:
        """What a step reads, waiting for it if need be.

        Steps are requested in rising order; any other order is right too, but then reads in vain.

        Raises:
            Exception: what ``read`` raised.
            RuntimeError: after :meth:`close`.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the prefetcher is closed")
            if self._pool is None:
                future = None
            else:
                for other in [one for one in self._futures if not step <= one <= step + self._depth]:
                    self._futures.pop(other).cancel()  # skipped, or beyond what is read ahead from here
                for ahead in range(step, self._end(step, self._depth)):
                    if ahead not in self._futures:
                        self._futures[ahead] = self._pool.submit(self._read, ahead)
                future = self._futures.pop(step)
            self._tell(step)
        return self._read(step) if future is None else future.result()

    def close(self) -> None:
        """Drop what is not requested yet and wait for the threads to end."""
        with self._lock:
            self._closed = True
            self._futures.clear()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> "Prefetcher[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, step: int, ahead: int) -> int:
        """One beyond the last step that is to be read by now; ``step`` itself is whatever ``stop`` says."""
        last = step + ahead
        return 1 + (last if self._stop is None else max(step, min(last, self._stop - 1)))

    def _tell(self, step: int) -> None:
        if self._upcoming is None:
            return
        end = self._end(step, self._depth + self._reach)
        # After a leap backwards, what was announced is of no use.
        first = step if self._told > end else max(step, self._told)
        for ahead in range(first, end):
            self._upcoming(ahead)
        self._told = end
