"""An ordered map over threads with bounded look-ahead, for work that releases the GIL: Arrow, files, digests."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Threads:
    """A pool of threads for several maps at once, nested ones too: no task ever waits for another task."""

    def __init__(self, pool: ThreadPoolExecutor, ahead: int) -> None:
        self._pool = pool
        self._ahead = ahead

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of each task in order; the first error of a task is raised in its turn and ends the map.

        The caller's thread iterates over `tasks`, at most `ahead` of the result it waits for. An error of the iterator
        is raised after the results of the tasks before it.
        """
        pending = deque[Future[Result]]()
        submitted = self._submit_each(function, tasks)
        try:
            while True:
                pending.extend(islice(submitted, self._ahead + 1 - len(pending)))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _submit_each(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Future[Result]]:
        try:
            for task in tasks:
                # In a copy of the context, so that the log lines of a thread carry the ids of the run.
                yield self._pool.submit(copy_context().run, function, task)
        except Exception as error:
            failed = Future[Result]()
            failed.set_exception(error)
            yield failed


@contextmanager
def threads(count: int, *, ahead: int) -> Generator[Threads]:
    """A pool of `count` threads. On leaving it, running tasks are waited for and no other one starts."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="ahead")
    try:
        yield Threads(pool, ahead)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
