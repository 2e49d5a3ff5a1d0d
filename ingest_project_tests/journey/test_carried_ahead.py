"""Rows are carried by several hands at once: the same rows, in order, and what is wrong with a part in its turn."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_project.errors import PartDamaged
from ingest_project.normalize import carry
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.states import rows
from ingest_project_tests.journey.test_carried import ALL, REJECTED, after, moved, twice


def test_two_processes_carry_what_one_does(branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    place = twice(branch)
    monkeypatch.setenv("INGEST_WORKERS", "2")
    settings.cache_clear()
    assert after(place, moved()).carried == ALL


def test_workers_at_work_are_not_disturbed_by_a_search_that_a_later_part_begins(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = twice(branch)
    monkeypatch.setenv("INGEST_WORKERS", "2")
    settings.cache_clear()
    hashed: list[int] = []
    hash_page = carry.hash_page
    monkeypatch.setattr(carry, "hash_page", lambda task: hashed.append(task.page.part) or hash_page(task))
    new = [(str(at), "Nu", *FIRST[3][2:]) for at in range(100, 104)]
    done = after(place, [*FIRST[:3], new[0], *FIRST[8:], *new[1:], *FIRST[3:8]])
    assert hashed, "the last part is not beside where its rows were"
    assert (done.inserted, done.unchanged) == (len(new), ALL - REJECTED)
    assert (done.carried or 0) >= ALL - 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_part_of_the_snapshot_that_is_damaged_is_told_behind_those_before_it(
    branch: Callable[..., Place], home: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    place = twice(branch)
    place.holds([*FIRST[:2], SECOND[2], *FIRST[3:5], SECOND[4], *FIRST[6:]])
    monkeypatch.setenv("INGEST_WORKERS", workers)
    settings.cache_clear()

    def damage(stage: str) -> None:
        if stage == "branch_snapshot":
            sorted((home / "parts").glob("*/2/branch_snapshot/*.parquet"))[1].write_bytes(b"damaged")

    with pytest.raises(PartDamaged):
        ingest(place.name, between=damage)
    with session() as connection:
        listed = rows(
            connection, "select part from ingest.parts where activation_id = 2 and asset = 'normalized_items'"
        )
    assert [one["part"] for one in listed] == [0]
