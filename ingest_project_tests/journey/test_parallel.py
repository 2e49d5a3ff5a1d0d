"""Parts normalized by several processes: the same tables, also when one of the processes is killed."""

from collections.abc import Callable

import pytest

from ingest_project.errors import IngestError
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.states import state
from ingest_project_tests.journey.test_exactly_once import Undisturbed, killed_at, undisturbed

__all__ = ["undisturbed"]


@pytest.fixture
def two_workers(undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch) -> Undisturbed:
    """What one process made of the states; two are at work from here on."""
    monkeypatch.setenv("INGEST_WORKERS", "2")
    settings.cache_clear()
    return undisturbed


def test_two_processes_make_the_tables_that_one_makes(two_workers: Undisturbed, branch: Callable[..., Place]) -> None:
    place = branch(FIRST)
    for count, rows in enumerate((FIRST, SECOND), start=1):
        place.holds(rows)
        ingest(place.name)
        with session() as connection:
            assert state(connection) == two_workers[count]


def test_a_run_killed_between_its_workers_resumes(two_workers: Undisturbed, branch: Callable[..., Place]) -> None:
    place = branch(FIRST)
    killed_at(place, "normalized_part_listed:2")
    ingest(place.name, run_id="resumed")
    with session() as connection:
        assert state(connection) == two_workers[1]


def test_a_worker_killed_in_mid_part_fails_the_run_which_resumes(
    two_workers: Undisturbed, branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch(FIRST)
    # Read by the workers as they start: this process has been running for long.
    monkeypatch.setenv("INGEST_FAILPOINT", "part_written_not_renamed")
    with pytest.raises(IngestError, match="a worker process ended"):
        ingest(place.name)
    monkeypatch.delenv("INGEST_FAILPOINT")
    ingest(place.name)
    with session() as connection:
        assert state(connection) == two_workers[1]
