"""Requests that are due get a run: once at a time, later after a failure, never while an endpoint is left alone."""

from collections.abc import Callable

import dagster as dg
import pytest

from ingest_project.definitions import defs
from ingest_project.defs import embedding, embedding_sensor
from ingest_project.defs.embedding_sensor import embedding_backlog
from ingest_project.postgres.connection import session
from ingest_project.postgres.pulses import pulses
from ingest_project_tests.defs.conftest import Line
from ingest_project_tests.defs.test_activation_sensor import age_runs

pytestmark = pytest.mark.usefixtures("pgvector")


def tick(place: Line) -> list[dg.RunRequest]:
    """What the sensor asks for in one tick, for this branch."""
    result = embedding_backlog(dg.build_sensor_context(instance=place.instance))
    assert isinstance(result, dg.SensorResult)
    return [request for request in result.run_requests or [] if request.partition_key == place.name]


def a_run(place: Line, job: str = "embed_branch") -> dg.DagsterRun:
    return place.instance.create_run_for_job(defs.resolve_job_def(job), tags={"dagster/partition": place.name})


def test_a_branch_with_requests_gets_a_run_until_there_are_none(line: Callable[..., Line]) -> None:
    place = line()
    assert tick(place) == []
    place.run()
    (request,) = tick(place)
    assert [again.run_key for again in tick(place)] == [request.run_key], "a tick that is repeated asks for the same"
    assert place.embed().success
    assert tick(place) == []
    spoil(place, "status = 'p', completed_at = null")
    (later,) = tick(place)
    assert later.run_key != request.run_key


def spoil(place: Line, change: str) -> None:
    with session() as connection:
        connection.execute(
            f"update core.embedding_requests set {change} where branch_id = %s".encode(), (place.branch_id,)
        )


def test_each_tick_is_heard_of(line: Callable[..., Line]) -> None:
    with session() as connection:
        connection.execute("delete from ingest.pulses")
        tick(line())
        assert list(pulses(connection)) == ["embedding"]


def test_what_is_not_due_waits(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    spoil(place, "next_attempt_at = now() + interval '1 hour'")
    assert tick(place) == []
    spoil(place, "next_attempt_at = now() - interval '1 second'")
    assert len(tick(place)) == 1


def test_what_a_worker_that_is_gone_holds_is_due(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    lease = "status = 'l', lease_id = gen_random_uuid(), leased_until = now() + interval '{}'"
    spoil(place, lease.format("1 hour"))
    assert tick(place) == []
    spoil(place, lease.format("-1 second"))
    assert len(tick(place)) == 1


def test_a_provider_that_is_left_alone_starts_no_run(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    with session() as connection:
        connection.execute(
            """insert into core.embedding_endpoints (endpoint, failures, paused_until)
               values ('builtin', 1, now() + interval '1 hour')"""
        )
        assert tick(place) == []
        connection.execute("delete from core.embedding_endpoints")
    assert len(tick(place)) == 1


@pytest.mark.parametrize("job", ["embed_branch", "ingest_branch"])
def test_a_branch_with_a_run_at_work_is_left_alone(line: Callable[..., Line], job: str) -> None:
    place = line()
    place.run()
    run = a_run(place, job)
    assert tick(place) == []
    place.instance.report_run_canceled(run)
    age_runs(place, minutes=120)
    assert len(tick(place)) == 1


def test_after_failures_the_wait_doubles_and_never_ends(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    for failures in range(1, 4):
        place.instance.report_run_failed(a_run(place))
        assert tick(place) == [], "not at once"
        age_runs(place, minutes=2 ** (failures - 1) + 1)
        assert len(tick(place)) == 1
    waits = [embedding_sensor._wait(failures) for failures in (1, 2, 7, 100)]  # pyright: ignore[reportPrivateUsage]
    assert waits == [60, 120, 3600, 3600]


def test_a_success_forgets_the_failures_before_it(line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.instance.report_run_failed(a_run(place))
    assert place.embed().success
    spoil(place, "status = 'p', completed_at = null")
    assert len(tick(place)) == 1


def test_without_vectors_nothing_is_started_and_the_tick_says_why(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    place.run()
    with session() as connection:
        connection.execute("alter table core.item_embeddings rename to hidden")
        try:
            with monkeypatch.context() as patch:
                patch.setattr(embedding, "has_vectors", lambda *_: False)
                patch.setattr("ingest_project.embeddings.queue.ensure_vectors", lambda _: False)
                told = embedding_backlog(dg.build_sensor_context(instance=place.instance))
        finally:
            connection.execute("alter table core.hidden rename to item_embeddings")
    assert isinstance(told, dg.SensorResult)
    assert not told.run_requests
    assert "no pgvector" in str(told.skip_reason)
    assert "create extension vector" in str(told.skip_reason)
    assert len(tick(place)) == 1
