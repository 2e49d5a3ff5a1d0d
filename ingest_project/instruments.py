"""Traces and metrics through OpenTelemetry's API: nothing at all unless the deployment brings an SDK.

span       ingest.<stage>          branch, activation; its children ingest.part, one a part
histogram  ingest.stage.duration   s, one an attempt, by stage, branch, outcome (done, or the name of the error)
histogram  ingest.part.duration    s, by stage, branch
counter    ingest.stage.retries    attempts of a stage behind the first of its run, by stage, branch
counter    ingest.postgres.retries transactions that Postgres undid, and sessions it had no place for, by sqlstate
counter    ingest.rows             rows that are durably through a stage, by stage, branch
counter    ingest.outcomes         rows by what became of them: rejected, inserted, updated, …, by branch
counter    ingest.read.bytes       taken from sources, by readings that failed as well, by branch
histogram  ingest.read.page        s, by branch
gauge      ingest.source.lag       s between the writing of the source and its reading, by branch
"""

import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry import metrics, trace

from ingest_project.telemetry import Progress, listening

_NAME = "ingest_project"
_tracer = trace.get_tracer(_NAME)
_meter = metrics.get_meter(_NAME)
_stage_seconds = _meter.create_histogram("ingest.stage.duration", unit="s", description="A stage, from end to end.")
_part_seconds = _meter.create_histogram("ingest.part.duration", unit="s", description="A part of a stage.")
_stage_retries = _meter.create_counter("ingest.stage.retries", unit="{retry}", description="Further attempts.")
_postgres_retries = _meter.create_counter("ingest.postgres.retries", unit="{retry}", description="As Postgres asked.")
_rows = _meter.create_counter("ingest.rows", unit="{row}", description="Rows durably through a stage.")
_outcomes = _meter.create_counter("ingest.outcomes", unit="{row}", description="Rows by what became of them.")
_bytes = _meter.create_counter("ingest.read.bytes", unit="By", description="Taken from sources.")
_page_seconds = _meter.create_histogram("ingest.read.page", unit="s", description="A page of a source.")
_lag = _meter.create_gauge("ingest.source.lag", unit="s", description="From the writing of a source to its reading.")


@contextmanager
def stage(name: str, *, branch: str, activation: int, rows_before: int = 0, is_retry: bool = False) -> Generator[None]:
    """Trace and time one stage, and each part that it reports as durable meanwhile.

    `rows_before` were through it before this attempt, as far as is known: they are not counted again.
    """
    labels = {"stage": name, "branch": branch}
    if is_retry:
        _stage_retries.add(1, labels)
    began, outcome = time.monotonic(), "done"
    with _tracer.start_as_current_span(f"ingest.{name}", attributes={**labels, "activation": activation}):
        try:
            with listening(_Parts(name, labels, rows_before)):
                yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            _stage_seconds.record(time.monotonic() - began, {**labels, "outcome": outcome})


@dataclass
class _Parts:
    """Makes of what a stage reports a span and a measurement for each part."""

    stage: str
    labels: Mapping[str, str]
    rows: int
    since: int = field(default_factory=time.time_ns)

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self.stage:
            return
        now = time.time_ns()
        _tracer.start_span("ingest.part", start_time=self.since, attributes={"rows_so_far": progress.rows}).end(now)
        _part_seconds.record((now - self.since) / 1e9, self.labels)
        _rows.add(max(progress.rows - self.rows, 0), self.labels)
        self.rows, self.since = progress.rows, now


def count_postgres_retry(sqlstate: str) -> None:
    """A transaction or a login that is tried again, as Postgres asked for it."""
    _postgres_retries.add(1, {"sqlstate": sqlstate})


def count_outcomes(branch: str, counts: Mapping[str, int | None]) -> None:
    """Rows by what became of them."""
    for outcome, count in counts.items():
        if count:
            _outcomes.add(count, {"branch": branch, "outcome": outcome})


def measure_reading(branch: str, *, pages: Iterable[float], taken: int) -> None:
    """What one attempt read, whether or not it got to its end: seconds of each page, and bytes."""
    for seconds in pages:
        _page_seconds.record(seconds, {"branch": branch})
    _bytes.add(taken, {"branch": branch})


def measure_lag(branch: str, seconds: float) -> None:
    """How old the source was when it had been read."""
    _lag.set(seconds, {"branch": branch})
