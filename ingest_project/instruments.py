"""Traces and metrics through OpenTelemetry's API; without an SDK in the deployment they cost nothing.

span       ingest.<stage>          branch, activation; its children are ingest.part, one for each part
histogram  ingest.stage.duration   seconds of each attempt, by stage, branch, outcome (done, or the name of the error)
histogram  ingest.part.duration    seconds, by stage, branch
counter    ingest.stage.retries    attempts of a stage after the first one of its run, by stage, branch
counter    ingest.postgres.retries transactions that Postgres undid, and sessions it had no slot for, by sqlstate
counter    ingest.rows             rows that a stage has stored durably, by stage, branch
counter    ingest.outcomes         rows by outcome (rejected, inserted, updated, …), by branch
counter    ingest.read.bytes       bytes read from sources, in failed attempts as well, by branch
histogram  ingest.read.page        seconds for each page, by branch
gauge      ingest.source.lag       seconds from the last change of the source to its reading, by branch
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
    """Trace and time one stage, and each part that it reports as durable.

    `rows_before` were stored by earlier attempts, as far as is known: they are not counted again.
    """
    labels = {"stage": name, "branch": branch}
    if is_retry:
        _stage_retries.add(1, labels)
    began, outcome = time.monotonic(), "done"
    with _tracer.start_as_current_span(f"ingest.{name}", attributes={**labels, "activation": activation}):
        try:
            with listening(_PartRecorder(name, labels, rows_before)):
                yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            _stage_seconds.record(time.monotonic() - began, {**labels, "outcome": outcome})


@dataclass
class _PartRecorder:
    """Records a span and a duration for each part that a stage reports."""

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
    """Count a transaction or a login that is retried, as Postgres asked for it."""
    _postgres_retries.add(1, {"sqlstate": sqlstate})


def count_outcomes(branch: str, counts: Mapping[str, int | None]) -> None:
    """Count rows by outcome."""
    for outcome, count in counts.items():
        if count:
            _outcomes.add(count, {"branch": branch, "outcome": outcome})


def measure_reading(branch: str, *, pages: Iterable[float], taken: int) -> None:
    """Record what one attempt has read, successful or not: the seconds of each page, and the bytes taken."""
    for seconds in pages:
        _page_seconds.record(seconds, {"branch": branch})
    _bytes.add(taken, {"branch": branch})


def measure_lag(branch: str, seconds: float) -> None:
    """Record how old the source was when it was read."""
    _lag.set(seconds, {"branch": branch})
