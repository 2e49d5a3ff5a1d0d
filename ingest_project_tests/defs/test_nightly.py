"""Pruning by Dagster: the job, its schedule, its own records of runs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ingest_project.definitions import defs
from ingest_project.defs.nightly import prune_daily, prune_job, prune_runs


@dg.op
def nothing() -> None:
    """Ends at once."""


@dg.job
def quick() -> None:
    """One op."""
    nothing()


def test_the_job_runs_on_an_empty_house(database: str, home: Path) -> None:
    with dg.instance_for_test() as instance:
        result = prune_job.execute_in_process(instance=instance)
    assert result.success


def test_the_schedule_is_on_by_itself() -> None:
    assert prune_daily.default_status == dg.DefaultScheduleStatus.RUNNING
    assert defs.resolve_schedule_def("prune_daily").job_name == "prune_job"


@pytest.mark.parametrize(("days", "left"), [(0, 2), (30, 2), (1, 0)])
def test_runs_that_ended_long_ago_go(days: int, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.instance_for_test() as instance:
        for _ in range(2):
            quick.execute_in_process(instance=instance)
        _pretend_it_is(datetime.now(UTC) + timedelta(days=2), monkeypatch)
        assert prune_runs(instance, days, dry_run=True) == 2 - left
        assert instance.get_runs_count() == 2
        assert prune_runs(instance, days) == 2 - left
        assert instance.get_runs_count() == left


def test_a_run_that_is_under_way_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.instance_for_test() as instance:
        instance.create_run_for_job(quick, status=dg.DagsterRunStatus.STARTED)
        _pretend_it_is(datetime.now(UTC) + timedelta(days=2), monkeypatch)
        assert prune_runs(instance, 1) == 0


def _pretend_it_is(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return moment

    monkeypatch.setattr("ingest_project.defs.nightly.datetime", Clock)
