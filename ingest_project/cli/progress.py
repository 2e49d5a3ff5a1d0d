"""Progress of the stages: bars on a terminal, elsewhere a plain line every two seconds."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as BarDisplay

from ingest_project.settings import settings
from ingest_project.telemetry import Progress, listening, log

EVERY_SECONDS = 2.0


@contextmanager
def displayed() -> Generator[None]:
    """Display the progress that stages report inside."""
    if sys.stderr.isatty():
        with _bar_display() as display, listening(_Bars(display)):
            yield
    else:
        with listening(_Lines()):
            yield


def _bar_display() -> BarDisplay:
    return BarDisplay(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:>11,.0f} rows"),
        TextColumn("{task.fields[rate]:>9,.0f}/s"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )


class _Clock:
    """Rows per second of each stage. A stage began when any progress was reported last before its own."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._last_report = time.monotonic()

    def rate(self, progress: Progress) -> float:
        now = time.monotonic()
        began = self._began.setdefault(progress.stage, self._last_report)
        self._last_report = now
        return progress.rows / (now - began) if now > began else 0.0


class _Bars:
    def __init__(self, display: BarDisplay) -> None:
        self._display = display
        self._tasks: dict[str, TaskID] = {}
        self._clock = _Clock()

    def __call__(self, progress: Progress) -> None:
        task = self._tasks.get(progress.stage)
        if task is None:
            for earlier in self._display.tasks:
                self._display.update(earlier.id, total=earlier.completed)  # its total was an estimate
            task = self._tasks[progress.stage] = self._display.add_task(progress.stage, total=progress.total, rate=0.0)
        total = max(progress.total, progress.rows) if progress.total is not None else None
        self._display.update(task, completed=progress.rows, total=total, rate=self._clock.rate(progress))


class _Lines:
    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._clock = _Clock()

    def __call__(self, progress: Progress) -> None:
        rate, now = self._clock.rate(progress), time.monotonic()
        if now < self._next.get(progress.stage, 0.0) and progress.rows != progress.total:
            return
        self._next[progress.stage] = now + EVERY_SECONDS
        total = f" of {progress.total:,}" if progress.total is not None and progress.total >= progress.rows else ""
        line = f"{progress.stage}: {progress.rows:,}{total} rows, {rate:,.0f} rows/s"
        if settings().log_format == "json":
            log.info(line)
        else:
            print(line, file=sys.stderr)
