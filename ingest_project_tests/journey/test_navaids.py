"""A real branch at three dates: the counts are those of a comparison of the files with nothing of ours."""

import csv
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from ingest_project.postgres.connection import session
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import Place
from ingest_project_tests.journey.states import rows

MAPPING = {
    "name": "name",
    "category": "type",
    "latitude": "latitude_deg",
    "longitude": "longitude_deg",
    "country_code": "iso_country",
}
# Date, inserted, updated, unchanged, live items that the file does not have (kept: they add up).
DATES = (
    ("2021-11-02", 11_021, 0, 0, 0),
    ("2025-02-16", 4, 42, 10_970, 9),
    ("2026-07-30", 0, 187, 10_821, 9 + 8),
)
STORED = """
select count(*), count(*) filter (where country_code = 'NA') as namibia,
       count(*) filter (where attributes ->> 'ident' = 'NA') as na
  from core.items"""


@pytest.fixture
def navaids(real_data: Path, branch: Callable[..., Place]) -> Place:
    return branch([], name="navaids", source="ourairports", key="id", updated_at=None, mapping=MAPPING)


def arrive(place: Place, real_data: Path, date: str) -> None:
    """The branch's file is replaced by that of a date."""
    shutil.copyfile(real_data / "ourairports" / f"navaids_{date}.csv", place.file)


@pytest.mark.parametrize("batch_size", [1_000, 50_000])
def test_three_dates_come_out_with_the_counts_of_the_files(navaids: Place, real_data: Path, batch_size: int) -> None:
    for date, inserted, updated, unchanged, missing in DATES:
        arrive(navaids, real_data, date)
        done = ingest(navaids.name, batch_size, run_id=date)
        assert (done.inserted, done.updated, done.unchanged, done.missing) == (inserted, updated, unchanged, missing)
        assert (done.touched, done.stale, done.rejected) == (0, 0, 0)
        assert done.rows_read == done.valid
    with session() as connection:
        stored = rows(connection, STORED)
        versions = rows(connection, "select op::text, count(*) from core.item_versions group by 1 order by 1")
        silent = rows(connection, "select count(*) from core.items where attributes ->> 'filename' is null")
    assert (stored[0]["count"], stored[0]["namibia"], stored[0]["na"]) == (11_025, 15, 13)
    assert [tuple(one.values()) for one in versions] == [("i", 11_025), ("u", 42 + 187)]
    assert silent[0]["count"] == 0


def test_without_the_unmapped_columns_only_what_is_mapped_counts(real_data: Path, branch: Callable[..., Place]) -> None:
    place = branch([], name="few", source="ourairports", key="id", updated_at=None, mapping=MAPPING, unmapped="drop")
    arrive(place, real_data, DATES[0][0])
    ingest(place.name, 50_000, run_id="first")
    for before, after in pairwise(date for date, *_ in DATES):
        arrive(place, real_data, after)
        done = ingest(place.name, 50_000, run_id=after)
        assert done.updated == count_changed(real_data, before, after)
    with session() as connection:
        assert rows(connection, "select count(*) from core.items where attributes <> '{}'")[0]["count"] == 0


def count_changed(real_data: Path, before: str, after: str) -> int:
    """Rows of both files that differ in a mapped column, by the csv module alone."""
    was, now = (mapped_values(real_data / "ourairports" / f"navaids_{date}.csv") for date in (before, after))
    return sum(1 for key, values in now.items() if key in was and was[key] != values)


def mapped_values(path: Path) -> dict[str, list[str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return {row["id"]: [row[name] for name in MAPPING.values()] for row in csv.DictReader(handle)}


def test_the_dates_in_the_wrong_order_are_a_rollback_that_nothing_forbids(navaids: Place, real_data: Path) -> None:
    # Without a source time the newer activation wins, whatever file it found.
    for date in ("2025-02-16", "2021-11-02"):
        arrive(navaids, real_data, date)
        done = ingest(navaids.name, 50_000, run_id=date)
    assert (done.inserted, done.updated, done.unchanged, done.missing) == (9, 42, 10_970, 4)
