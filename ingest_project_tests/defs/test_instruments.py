"""What an OpenTelemetry SDK collects of a run: spans per stage and part, counters, histograms."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingest_project import failpoints, instruments
from ingest_project.postgres.connection import retried
from ingest_project.telemetry import Progress, report
from ingest_project_tests.defs.conftest import CHAIN, Line
from ingest_project_tests.journey.conftest import SECOND


class Collected:
    """What an SDK was given since it was last asked."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        trace.set_tracer_provider(traces)
        metrics.set_meter_provider(MeterProvider([self._reader]))

    def clear(self) -> None:
        self._spans.clear()

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def points(self, name: str, **labels: str) -> list[Any]:
        """Data points of an instrument with these labels; the reader has no data before the first measurement."""
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data else []
        found = [one for r in resources for s in r.scope_metrics for one in s.metrics if one.name == name]
        points = [point for one in found for point in one.data.data_points]
        return [point for point in points if labels.items() <= dict(point.attributes).items()]

    def value(self, name: str, **labels: str) -> float:
        return sum(point.value for point in self.points(name, **labels))


_collected: list[Collected] = []


@pytest.fixture
def collected() -> Iterator[Collected]:
    """An SDK: the API takes one for the life of a process."""
    if not _collected:
        _collected.append(Collected())
    _collected[0].clear()
    yield _collected[0]


def test_a_run_is_a_span_per_stage_with_one_per_part(collected: Collected, line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    for asset in CHAIN:
        (stage,) = collected.spans(f"ingest.{asset}")
        assert dict(stage.attributes or {}) == {"stage": asset, "branch": place.name, "activation": 1} | {
            "activation": place.activations[0]["activation_id"]
        }
        inside = [span for span in collected.spans("ingest.part") if span.parent and span.parent == stage.context]
        assert len(inside) == (1 if asset == CHAIN[-1] else 3)


def test_rows_and_what_became_of_them_are_counted(collected: Collected, line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.holds(SECOND)
    place.run()
    done = place.activations
    for outcome in ("inserted", "updated", "touched", "unchanged", "stale", "rejected"):
        counted = collected.value("ingest.outcomes", branch=place.name, outcome=outcome)
        assert counted == sum(one[outcome] for one in done), outcome
    read = sum(one["rows_read"] for one in done)
    assert collected.value("ingest.rows", branch=place.name, stage=CHAIN[0]) == read
    assert collected.value("ingest.rows", branch=place.name, stage=CHAIN[2]) == sum(one["valid"] for one in done)


def test_reading_is_measured(collected: Collected, line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    assert collected.value("ingest.read.bytes", branch=place.name) == place.file.stat().st_size
    assert sum(point.count for point in collected.points("ingest.read.page", branch=place.name)) == 3
    assert collected.value("ingest.source.lag", branch=place.name) >= 0


def run_on_full_disk(place: Line, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Each attempt of the run ends at that failpoint."""

    def full_disk(reached: str) -> None:
        if reached == at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 0)
    with monkeypatch.context() as full:
        full.setattr(failpoints, "reach", full_disk)
        place.run()


def test_what_a_reading_took_that_failed_is_measured(
    collected: Collected, line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    run_on_full_disk(place, monkeypatch, "part_listed")
    assert collected.value("ingest.read.bytes", branch=place.name) > 0
    assert collected.points("ingest.read.page", branch=place.name)
    assert not collected.points("ingest.source.lag", branch=place.name)


def test_further_attempts_of_a_stage_are_counted(
    collected: Collected, line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    run_on_full_disk(place, monkeypatch, "part_stored")
    place.run()
    assert collected.value("ingest.stage.retries", branch=place.name) == 2
    assert collected.value("ingest.stage.retries", branch=place.name, stage=CHAIN[0]) == 2


def test_what_postgres_asks_to_be_tried_again_is_counted(collected: Collected) -> None:
    left = [psycopg.errors.DeadlockDetected()]

    def transaction() -> str:
        if left:
            raise left.pop()
        return "done"

    before = collected.value("ingest.postgres.retries", sqlstate="40P01")
    assert retried(transaction) == "done"
    assert collected.value("ingest.postgres.retries", sqlstate="40P01") == before + 1


def test_a_stage_that_fails_says_so(collected: Collected) -> None:
    with pytest.raises(ZeroDivisionError), instruments.stage("core_items", branch="b", activation=1):
        raise ZeroDivisionError
    (span,) = collected.spans("ingest.core_items")
    assert not span.status.is_ok
    (point,) = collected.points("ingest.stage.duration", branch="b", outcome="ZeroDivisionError")
    assert point.count == 1


def test_what_was_done_before_is_not_counted_again(collected: Collected) -> None:
    with instruments.stage("core_items", branch="resumed", activation=1, rows_before=8):
        report(Progress("core_items", 12, 20))
        report(Progress("branch_snapshot", 99))
        report(Progress("core_items", 20, 20))
    assert collected.value("ingest.rows", branch="resumed") == 12
    assert len(collected.spans("ingest.part")) == 2


def test_without_an_sdk_nothing_is_collected_and_nothing_fails() -> None:
    code = (
        "from ingest_project import instruments\n"
        "from ingest_project.telemetry import Progress, report\n"
        "with instruments.stage('core_items', branch='b', activation=1):\n"
        "    report(Progress('core_items', 1))\n"
        "instruments.count_outcomes('b', {'inserted': 1, 'stale': None})\n"
        "instruments.measure_reading('b', pages=[0.1], taken=1)\n"
        "instruments.measure_lag('b', 1.0)\n"
        "import sys; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
