"""Processes for work that is Python: so many tasks at once, results in the order of the tasks.

A worker is a Python of its own that imports what it is sent and nothing else (Dagster never), takes one task after
another from a pipe, and ends when the pipe does: killed in any way, this process leaves none behind.
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

_Answer = tuple[Any, Exception | None]

# Rows: a worker imports for seconds, names of countries in most languages and all; below, two of them gained nothing.
ENOUGH = 2_000_000
_AHEAD = 2  # tasks a worker may be ahead of the one whose result is awaited
_MAIN = "from ingest_project.normalize.workers import serve; serve({})"


class Pool(Protocol):
    """What runs tasks."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of each task in order; an error of a task is raised when its turn comes, and is the end."""
        ...


class _Sequential:
    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return map(function, tasks)


SEQUENTIAL: Pool = _Sequential()


@contextmanager
def process_pool(rows: int, tasks: int, function: Callable[..., Any], otherwise: Pool = SEQUENTIAL) -> Generator[Pool]:
    """Processes for so many rows in so many tasks; `otherwise` where that is as fast, or where they cannot be used."""
    count = min(_wanted(rows), tasks)
    if count < 2 or not _can_travel(function):  # noqa: PLR2004 - one worker is this process
        yield otherwise
        return
    processes = _Processes(count)
    try:
        yield processes
    finally:
        processes.end()


@contextmanager
def thread_pool() -> Generator[Pool]:
    """Two threads of this process; none where it has one core, or INGEST_WORKERS is 1."""
    if (settings().workers or _cores()) < 2:  # noqa: PLR2004 - as above
        yield SEQUENTIAL
        return
    with threads(2, ahead=1) as ours:
        yield ours


def _wanted(rows: int) -> int:
    chosen = settings().workers
    if chosen is not None:
        return chosen
    return _cores() if rows >= ENOUGH else 1


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))  # those that this process may use: a container's share
    except AttributeError:  # not every system tells
        return os.cpu_count() or 1


def _can_travel(function: Callable[..., Any]) -> bool:
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
        ours, theirs = Pipe()
        # What this process can import a worker can, wherever it was started; but nothing of the folder it stands in.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-P", "-c", _MAIN.format(theirs.fileno())]
        with theirs:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
        return cls(process, ours)

    def receive(self) -> _Answer:
        """What came of its task, or that the process is gone."""
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
        waiting, busy = enumerate(tasks), dict[Connection, tuple[int, _Worker]]()
        idle, ready, turn, taken = list(self._workers), dict[int, _Answer](), 0, 0
        while True:
            while idle and taken - turn < _AHEAD * len(self._workers) and (task := next(waiting, None)) is not None:
                worker, taken = idle.pop(), taken + 1
                _send(worker, (function, task[1]))
                busy[worker.connection] = task[0], worker
            if turn in ready:
                result, error = ready.pop(turn)
                if error is not None:
                    raise error
                yield result
                turn += 1
            elif busy:
                for connection in wait(list(busy)):
                    number, worker = busy.pop(connection)  # pyright: ignore[reportArgumentType]
                    ready[number] = worker.receive()
                    idle.append(worker)
            else:
                return

    def end(self) -> None:
        """End all workers; one in the middle of a task is not waited for."""
        for worker in self._workers:
            worker.connection.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()


def _send(worker: _Worker, message: object) -> None:
    # Where it is gone, the answer that does not come says so.
    with suppress(ConnectionError):
        worker.connection.send(message)


def serve(handle: int) -> None:
    """Do what comes through the pipe until it ends. Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(handle) as connection, suppress(EOFError, ConnectionError):
        while True:
            connection.send(_answer(*connection.recv()))


def _answer(function: Callable[[Task], Any], task: Task) -> _Answer:
    try:
        return function(task), None
    except Exception as error:
        return None, error if _comes_back(error) else RuntimeError(f"{type(error).__name__}: {error}")


def _comes_back(error: Exception) -> bool:
    # Some exceptions are pickled and cannot be read again.
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes of a moment ago
    except Exception:
        return False
    return True
