"""Pools of processes, for work that holds the GIL, and of threads; results come in the order of the tasks.

A worker process is a fresh Python that imports only what its tasks need (never Dagster). It takes one task after
another from a pipe and exits when the pipe is closed: however this process dies, its workers end too.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Protocol, TypeVar

from ingest_project.errors import IngestError
from ingest_project.settings import settings
from ingest_project.telemetry import log
from ingest_project.threads import threads

Task = TypeVar("Task")
Result = TypeVar("Result")

_Outcome = tuple[Any, Exception | None]

# Rows: workers take seconds to import their modules. With fewer rows, two workers saved no time.
MIN_ROWS = 2_000_000
_TASKS_PER_WORKER = 2  # that may be sent, counted from the one whose result is awaited
_MAIN = "from ingest_project.normalize.workers import serve; serve({})"


class Pool(Protocol):
    """Runs tasks."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of each task in order; the first error of a task is raised in its turn and ends the map."""
        ...


class _Sequential:
    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return map(function, tasks)


SEQUENTIAL: Pool = _Sequential()


@contextmanager
def process_pool(rows: int, tasks: int, function: Callable[..., Any], fallback: Pool = SEQUENTIAL) -> Generator[Pool]:
    """A pool of processes; `fallback` if there are too few rows or tasks, or `function` cannot be pickled."""
    count = min(_worker_count(rows), tasks)
    if count < 2 or not _is_picklable(function):  # noqa: PLR2004 - one worker is no faster than this process
        yield fallback
        return
    processes = _Processes(count)
    try:
        yield processes
    finally:
        processes.end()


@contextmanager
def thread_pool() -> Generator[Pool]:
    """A pool of two threads; sequential if there is one core, or INGEST_WORKERS is 1."""
    if (settings().workers or _cores()) < 2:  # noqa: PLR2004 - as above
        yield SEQUENTIAL
        return
    with threads(2, ahead=1) as pool:
        yield pool


def _worker_count(rows: int) -> int:
    configured = settings().workers
    if configured is not None:
        return configured
    return _cores() if rows >= MIN_ROWS else 1


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))  # only those that this process may use
    except AttributeError:  # not on every operating system
        return os.cpu_count() or 1


def _is_picklable(function: Callable[..., Any]) -> bool:
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        log.info("parts are normalized in this process alone: the rule cannot be sent to another (%s)", error)
        return False
    return True


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def start(cls) -> "_Worker":
        connection, worker_connection = Pipe()
        # A worker can import what this process can; `-P` keeps the working directory out of its path.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        descriptor = worker_connection.fileno()
        command = [sys.executable, "-P", "-c", _MAIN.format(descriptor)]
        with worker_connection:
            process = subprocess.Popen(command, pass_fds=[descriptor], env=environment, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
        return cls(process, connection)

    def receive(self) -> _Outcome:
        """The outcome of its task; an error if the process has died."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionError):
            return None, IngestError(
                f"a worker process ended in the middle of a part (exit code {self.process.wait()})",
                todo="Short of memory? INGEST_WORKERS=1 or a smaller INGEST_BATCH_SIZE takes less. "
                "The same command resumes.",
            )


class _Processes:
    def __init__(self, count: int) -> None:
        self._workers = [_Worker.start() for _ in range(count)]

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        remaining, busy = enumerate(tasks), dict[Connection, tuple[int, _Worker]]()
        idle, outcomes = list(self._workers), dict[int, _Outcome]()
        max_ahead = _TASKS_PER_WORKER * len(self._workers)
        sent = awaited = 0
        while True:
            while idle and sent - awaited < max_ahead and (numbered := next(remaining, None)) is not None:
                (number, task), worker = numbered, idle.pop()
                _send(worker, (function, task))
                busy[worker.connection] = number, worker
                sent += 1
            if awaited in outcomes:
                result, error = outcomes.pop(awaited)
                if error is not None:
                    raise error
                yield result
                awaited += 1
            elif busy:
                for connection in wait(list(busy)):
                    number, worker = busy.pop(connection)  # pyright: ignore[reportArgumentType]
                    outcomes[number] = worker.receive()
                    idle.append(worker)
            else:
                return

    def end(self) -> None:
        """Kill all workers, also in the middle of a task."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()


def _send(worker: _Worker, message: object) -> None:
    # If the worker has died, `receive` reports it.
    with suppress(ConnectionError):
        worker.connection.send(message)


def serve(handle: int) -> None:
    """The main function of a worker: run the tasks that come through the pipe until it is closed."""
    # Ctrl-C reaches all processes of the terminal; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(handle) as connection, suppress(EOFError, ConnectionError):
        while True:
            connection.send(_run(*connection.recv()))


def _run(function: Callable[[Task], Any], task: Task) -> _Outcome:
    try:
        return function(task), None
    except Exception as error:
        return None, error if _survives_pickling(error) else RuntimeError(f"{type(error).__name__}: {error}")


def _survives_pickling(error: Exception) -> bool:
    # Some exceptions can be pickled but not unpickled.
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - bytes of our own
    except Exception:
        return False
    return True
