"""Progress on a terminal as a bar per stage; elsewhere as plain lines now and then."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ingest_project.settings import settings
from ingest_project.telemetry import Progress as Done
from ingest_project.telemetry import listening, log

EVERY_SECONDS = 2.0


@contextmanager
def displayed() -> Generator[None]:
    """Display the progress that stages report inside."""
    if sys.stderr.isatty():
        with _bars() as bars, listening(_Bars(bars)):
            yield
    else:
        with listening(_Lines()):
            yield


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:>11,.0f} rows"),
        TextColumn("{task.fields[rate]:>9,.0f}/s"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )


class _Clock:
    """When each stage was first heard of, and so its rate."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, int]] = {}
        self._started = time.monotonic()

    def rate(self, done: Done) -> float:
        now = time.monotonic()
        began, _ = self._began.setdefault(done.stage, (self._started, 0))
        self._started = now
        return done.rows / (now - began) if now > began else 0.0


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._clock = _Clock()

    def __call__(self, done: Done) -> None:
        task = self._tasks.get(done.stage)
        if task is None:
            for earlier in self._bars.tasks:
                self._bars.update(earlier.id, total=earlier.completed)  # what was estimated is known now
            task = self._tasks[done.stage] = self._bars.add_task(done.stage, total=done.total, rate=0.0)
        total = max(done.total, done.rows) if done.total is not None else None
        self._bars.update(task, completed=done.rows, total=total, rate=self._clock.rate(done))


class _Lines:
    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._clock = _Clock()

    def __call__(self, done: Done) -> None:
        rate, now = self._clock.rate(done), time.monotonic()
        if now < self._next.get(done.stage, 0.0) and done.rows != done.total:
            return
        self._next[done.stage] = now + EVERY_SECONDS
        total = f" of {done.total:,}" if done.total is not None and done.total >= done.rows else ""
        line = f"{done.stage}: {done.rows:,}{total} rows, {rate:,.0f} rows/s"
        if settings().log_format == "json":
            log.info(line)
        else:
            print(line, file=sys.stderr)
