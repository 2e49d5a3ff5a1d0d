"""An ordered map over threads with bounded look-ahead, for work that releases the GIL: Arrow, files, digests."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Threads:
    """Threads that several lists of tasks may share, one drawn from within another too: no task waits for a task."""

    def __init__(self, pool: ThreadPoolExecutor, ahead: int) -> None:
        self._pool = pool
        self._ahead = ahead

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of each task in order; an error of a task is raised when its turn comes, and is the end.

        Tasks are drawn by the caller's thread, at most `ahead` before their result is asked for. An error in drawing
        them is raised behind the results of those that were drawn.
        """
        waiting = deque[Future[Result]]()
        drawn = _Drawn(iter(tasks))
        try:
            while True:
                while len(waiting) <= self._ahead and (task := drawn.one()):
                    # The log lines of a thread carry the ids of the run.
                    waiting.append(self._pool.submit(copy_context().run, function, *task))
                if not waiting:
                    break
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
        if drawn.error is not None:
            raise drawn.error


class _Drawn:
    """Tasks one by one, and the error that ended them."""

    def __init__(self, tasks: Iterator[Any]) -> None:
        self._tasks = tasks
        self.error: Exception | None = None

    def one(self) -> tuple[Any] | None:
        """The next task, None at the end."""
        try:
            return (next(self._tasks),) if self.error is None else None
        except StopIteration:
            return None
        except Exception as error:
            self.error = error
            return None


@contextmanager
def threads(count: int, *, ahead: int) -> Generator[Threads]:
    """So many threads; however this ends, what they have in hand is ended first, and nothing else begun."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="ahead")
    try:
        yield Threads(pool, ahead)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
