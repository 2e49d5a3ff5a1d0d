"""Logging, the correlation id of a run, and the progress that stages report to listeners."""

import json
import logging
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TextIO

from ingest_project.settings import settings

log = logging.getLogger("ingest_project")

_correlation: ContextVar[str] = ContextVar("correlation", default="-")


def correlation_id() -> str:
    """The Dagster run id while a run is at work, else `-`."""
    return _correlation.get()


@contextmanager
def correlated(run_id: str) -> Generator[None]:
    """Give all log lines and sessions inside this id."""
    token = _correlation.set(run_id)
    try:
        yield
    finally:
        _correlation.reset(token)


def application_name() -> str:
    """What `pg_stat_activity` shows of our sessions; Postgres keeps 63 bytes."""
    return f"ingest/{correlation_id()}"[:63]


@dataclass(frozen=True)
class Progress:
    """Rows of one stage that are durably done; `total` is None where it is not known."""

    stage: str
    rows: int
    total: int | None = None


_listeners: list[Callable[[Progress], None]] = []


def report(progress: Progress) -> None:
    """Pass progress to every listener; called once per part, after the part is durable."""
    for listener in _listeners:
        listener(progress)


@contextmanager
def listening(listener: Callable[[Progress], None]) -> Generator[None]:
    """Call `listener` with all progress that is reported inside."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class _CorrelationFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.correlation = correlation_id()
        return True


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "run": getattr(record, "correlation", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Looks sys.stderr up for every line: a progress bar replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logging() -> None:
    """Send our log lines, with their correlation id, to stderr; idempotent. Called by entry points, never at import."""
    log.setLevel(settings().log_level)
    if any(isinstance(handler, _StderrHandler) for handler in log.handlers):
        return
    handler = _StderrHandler()
    handler.addFilter(_CorrelationFilter())
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(correlation).8s %(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonFormatter() if settings().log_format == "json" else plain)
    log.addHandler(handler)
    log.propagate = False
