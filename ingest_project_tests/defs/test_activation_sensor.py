"""An activation, wherever it came from, gets its run: once at a time, again after a failure, never for a dry run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from ingest_project import failpoints
from ingest_project.defs import sensors
from ingest_project.defs.sensors import branch_activation
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.postgres.pulses import is_alive, pulses
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, SNAPSHOT, Line


def activate(place: Line) -> int:
    """As anybody does in psql."""
    with session() as connection:
        row = connection.execute("select ingest.activate(%s)", (place.name,)).fetchone()
    assert row
    return row[0]


def tick(place: Line) -> list[dg.RunRequest]:
    """What the sensor asks for in one tick, for this branch."""
    result = branch_activation(dg.build_sensor_context(instance=place.instance))
    assert isinstance(result, dg.SensorResult)
    return [request for request in result.run_requests or [] if request.partition_key == place.name]


def obey(place: Line, request: dg.RunRequest) -> bool:
    """Run what was asked for, as the daemon would."""
    assert request.partition_key is not None
    job = branch_job()
    return job.execute_in_process(
        instance=place.instance, partition_key=request.partition_key, tags=dict(request.tags), raise_on_error=False
    ).success


def branch_job() -> dg.JobDefinition:
    from ingest_project.definitions import defs  # noqa: PLC0415 - as the daemon: the whole project

    return defs.resolve_job_def("ingest_branch")


def test_an_activation_made_in_sql_is_run_and_done(line: Callable[..., Line]) -> None:
    place = line()
    assert tick(place) == []
    number = activate(place)
    (request,) = tick(place)
    assert request.run_key == f"{place.name}:{number}:0"
    assert request.tags["ingest/activation"] == str(number)
    assert obey(place, request)
    assert (place.states, len(place.items), place.requests) == (["done"], 9, 9)
    assert tick(place) == []


def test_the_same_activation_has_the_same_run_key_until_it_has_run(line: Callable[..., Line]) -> None:
    place = line()
    activate(place)
    assert [request.run_key for request in tick(place)] == [request.run_key for request in tick(place)]


def test_each_tick_is_a_pulse_of_the_daemon(line: Callable[..., Line]) -> None:
    tick(line())
    with session() as connection:
        assert is_alive(pulses(connection)["daemon"])


def test_what_is_committed_and_not_done_is_finished(line: Callable[..., Line]) -> None:
    place = line()
    place.run(SNAPSHOT, NORMALIZED, CORE)
    assert (place.states, place.requests) == (["committed"], 0)
    (request,) = tick(place)
    assert obey(place, request)
    assert (place.states, place.requests) == (["done"], 9)


def test_a_dry_run_waits_for_a_person(line: Callable[..., Line]) -> None:
    place = line()
    place.run(dry_run=True)
    assert (place.states, tick(place)) == (["planned"], [])
    number = activate(place)
    assert [request.tags["ingest/activation"] for request in tick(place)] == [str(number)]


def test_a_branch_that_is_held_is_left_alone(line: Callable[..., Line]) -> None:
    place = line()
    activate(place)
    with session() as connection:
        lease = leases.acquire(connection, place.branch_id, place.name, holder="other", run_id="other")
        assert tick(place) == []
        leases.release(connection, lease)
    assert len(tick(place)) == 1


def test_a_run_that_is_queued_or_under_way_is_not_doubled(line: Callable[..., Line]) -> None:
    place = line()
    number = activate(place)
    run = place.instance.create_run_for_job(
        branch_job(), tags={"ingest/activation": str(number), "dagster/partition": place.name}
    )
    assert tick(place) == []
    place.instance.report_run_failed(run)
    age_runs(place, minutes=2)
    assert len(tick(place)) == 1


def test_what_somebody_terminated_waits_for_them(line: Callable[..., Line]) -> None:
    place = line()
    number = activate(place)
    run = place.instance.create_run_for_job(branch_job(), tags={"ingest/activation": str(number)})
    place.instance.report_run_canceled(run)
    age_runs(place, minutes=60)
    assert tick(place) == []


def test_a_failed_run_is_tried_again_later_and_not_for_ever(
    line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = line()
    number = activate(place)
    keys: list[str | None] = []
    for _ in range(sensors.ATTEMPTS):
        (request,) = tick(place)
        keys.append(request.run_key)
        failpoints.arm("requests_derived!")
        assert not obey(place, request)
        failpoints.arm("")
        assert tick(place) == [], "not at once"
        age_runs(place, minutes=60)
    assert keys == [f"{place.name}:{number}:{attempt}" for attempt in range(sensors.ATTEMPTS)]
    assert tick(place) == [], "a person has to look"
    assert place.run().success
    assert place.states == ["done"]


def test_a_partition_that_dagster_does_not_know_is_added(line: Callable[..., Line]) -> None:
    place = line()
    place.instance.delete_dynamic_partition("branch", place.name)
    activate(place)
    result = branch_activation(dg.build_sensor_context(instance=place.instance))
    assert isinstance(result, dg.SensorResult)
    added = [key for request in result.dynamic_partitions_requests or [] for key in request.partition_keys]
    assert place.name in added


def test_a_retired_branch_is_not_run(line: Callable[..., Line]) -> None:
    place = line()
    activate(place)
    with session() as connection:
        connection.execute("update ingest.branches set state = 'retired' where branch_id = %s", (place.branch_id,))
    assert tick(place) == []


def test_the_wait_doubles() -> None:
    waits = [sensors._wait(failed) for failed in range(1, 5)]  # pyright: ignore[reportPrivateUsage]
    assert waits == [60, 120, 240, 480]


def age_runs(place: Line, minutes: int) -> None:
    """As if the runs of this instance had ended so long ago."""
    then = datetime.now(UTC) - timedelta(minutes=minutes)
    storage = place.instance.run_storage
    with storage.connect() as connection:  # pyright: ignore[reportAttributeAccessIssue]
        connection.exec_driver_sql("update runs set update_timestamp = ?", (then.strftime("%Y-%m-%d %H:%M:%S"),))
        connection.commit()
