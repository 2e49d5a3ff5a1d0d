"""A branch file that says another priority, or no `updated_at` any more: nothing that it wrote before is frozen."""

import pytest

from ingest_project_tests.upsert.making import Line, Source, item

ROWS = [item(1, "one", at=5), item(2, "two", at=5)]
NEW = [item(1, "one, renamed", at=5), item(2, "two, renamed", at=5)]


@pytest.mark.parametrize(("before", "after"), [(7, 0), (0, 7)])
def test_another_priority_does_not_freeze_the_branch(source: Source, before: int, after: int) -> None:
    name = f"{source.name}, always this"
    source.line(before, name=name)
    line = _named(source, before, name)
    line.ingest(ROWS)
    line = _named(source, after, name)
    assert line.ingest(NEW).counts.updated == 2
    assert {row["priority"] for row in source.items().values()} == {after}


def test_equal_content_takes_the_new_priority_on_once(source: Source) -> None:
    name = f"{source.name}, always this"
    _named(source, 0, name).ingest(ROWS)
    line = _named(source, 7, name)
    assert line.ingest(ROWS).counts.touched == 2
    assert line.ingest(ROWS).counts.unchanged == 2
    assert {row["version"] for row in source.items().values()} == {1}


def test_an_older_row_of_the_same_branch_stays_stale_whatever_the_priority(source: Source) -> None:
    name = f"{source.name}, always this"
    _named(source, 0, name).ingest(ROWS)
    assert _named(source, 7, name).ingest([item(1, "older", at=4), ROWS[1]]).counts.stale == 1
    assert source.items()["1"]["name"] == "one"


def test_without_updated_at_the_newer_activation_wins_over_rows_that_had_a_time(source: Source) -> None:
    name = f"{source.name}, always this"
    _named(source, 0, name).ingest(ROWS)
    line = _named(source, 0, name, updated_at=None)
    untimed = [item(1, "one, renamed", at=None), item(2, "two", at=None)]
    told = line.ingest(untimed)
    assert (told.counts.updated, told.counts.stale) == (1, 0)
    assert source.items()["1"]["name"] == "one, renamed"
    assert line.ingest(untimed).counts.unchanged == 2


def test_a_file_applied_in_the_middle_of_a_run_does_not_reach_into_it(source: Source) -> None:
    name = f"{source.name}, always this"
    line = _named(source, 3, name)
    work = line.work(2)
    _named(source, 9, name)
    assert work.spec.priority == 3


def _named(source: Source, priority: int, name: str, **given: object) -> Line:
    source.line(priority, name=name, **given)
    return Line(source.connection, name)
