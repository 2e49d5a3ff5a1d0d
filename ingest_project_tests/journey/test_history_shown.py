"""`ingest history`: what happened to one item, by whom, from what to what."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from ingest_project_tests.journey.conftest import FIRST, SECOND, Ran, write_csv, write_spec

Command = Callable[..., Ran]


@pytest.fixture
def twice(command: Command, tmp_path: Path) -> str:
    """A branch that was ingested in both its states."""
    name = f"changing {uuid4().hex[:8]}"
    file = write_csv(tmp_path / "places.csv", FIRST)
    command("branch", "apply", write_spec(file.with_suffix(".yaml"), name=name, location="places.csv"))
    assert command("run", name).code == 0
    write_csv(file, SECOND)
    assert command("run", name).code == 0
    return name


def test_each_version_says_when_by_whom_and_what(command: Command, twice: str) -> None:
    out = command("history", twice, "2").out
    first, second = out.split("version 2  updated  ")
    assert first.startswith("version 1  inserted  ")
    assert "name: 'Beta'\n" in first
    assert f"of '{twice}'" in second
    assert "name: 'Beta' → 'Beta renamed'" in second
    assert "locality" not in second


def test_attributes_are_told_one_by_one(command: Command, twice: str) -> None:
    assert "attributes.color: 'red' → 'blue'" in command("history", twice, "3").out


def test_what_never_changed_has_one_version(command: Command, twice: str) -> None:
    (only,) = command("history", twice, "1", "--json").json
    assert (only["version"], only["op"], only["branch"]) == (1, "i", twice)


def test_a_touch_and_a_stale_row_are_no_versions(command: Command, twice: str) -> None:
    assert len(command("history", twice, "4", "--json").json) == 1
    assert len(command("history", twice, "6", "--json").json) == 1


def test_an_item_of_another_branch_of_the_source_is_told_as_well(command: Command, twice: str, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "other.csv", [("2", "Beta, told by another", *SECOND[1][2:6], "2025-01-01", "red")])
    other = f"{twice}, other"
    spec = write_spec(tmp_path / "other.yaml", name=other, source=twice, priority=1, location=str(file))
    command("branch", "apply", spec)
    assert command("run", other).code == 0
    told = command("history", twice, "2", "--json").json
    assert [(one["version"], one["branch"]) for one in told] == [(1, twice), (2, twice), (3, other)]
    assert told == command("history", other, "2", "--json").json


def test_a_key_that_is_no_item(command: Command, twice: str) -> None:
    ran = command("history", twice, "nope")
    assert ran.code == 2
    assert "core.items has no item 'nope'" in ran.err
    assert "column 'id'" in ran.err
    assert f"`ingest rejects '{twice}'`" in ran.err
