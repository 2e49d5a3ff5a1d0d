"""Alerts of real runs: a refusal, a failure, a recovery, a process that is gone."""

from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from ingest_project import failpoints
from ingest_project.defs.sensors import release_leases
from ingest_project.settings import settings
from ingest_project_tests.branches.receiver import Receiver, receiving
from ingest_project_tests.defs.conftest import Line
from ingest_project_tests.journey.conftest import FIRST


@pytest.fixture
def receiver(own_home: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as listening:
        monkeypatch.setenv("INGEST_WEBHOOK_URL", listening.url)
        settings.cache_clear()
        yield listening
    monkeypatch.undo()
    settings.cache_clear()


def test_a_refusal_is_told_and_so_is_the_run_that_goes_through_again(
    receiver: Receiver, line: Callable[..., Line]
) -> None:
    place = line()
    place.file.unlink()
    assert not place.run().success
    place.holds(FIRST)
    assert place.run().success
    assert place.run().success
    assert receiver.events == [("refused", "SourceMissing"), ("recovered", "SourceMissing")]
    assert receiver.received[0]["branch"] == place.name
    assert receiver.received[1]["activation"] == place.activations[1]["activation_id"]


def test_a_failure_is_told_after_the_last_attempt(receiver: Receiver, line: Callable[..., Line]) -> None:
    place = line()
    failpoints.arm("batch_open!")
    run = place.run()
    assert not run.success
    assert receiver.events == [("failed", "Unexpected")]
    assert receiver.received[0]["run"] == run.id


def test_a_process_that_is_gone_is_told_by_the_sensor(receiver: Receiver, line: Callable[..., Line]) -> None:
    place = line()
    place.run()
    place.ask(
        """with held as (update ingest.leases set holder = 'r-1', run_id = 'r-1', host = 'here', pid = 1,
             acquired_at = now(), expires_at = now(), heartbeat_at = now() where branch_id = %(branch_id)s returning 1)
           select * from held"""
    )
    run = place.instance.create_run_for_job(_killed, run_id=None, status=dg.DagsterRunStatus.FAILURE)
    place.ask(
        f"""with held as (update ingest.leases set holder = '{run.run_id}', run_id = '{run.run_id}'
             where branch_id = %(branch_id)s returning 1) select * from held"""
    )
    with dg.build_sensor_context(instance=place.instance) as context:
        release_leases(context)
    assert [event for event, _ in receiver.events] == ["failed"]
    assert f"the process of run {run.run_id}" in receiver.received[0]["what"]


@dg.op
def _nothing() -> None:
    """Never runs."""


@dg.job
def _killed() -> None:
    """Its process was killed."""
    _nothing()
