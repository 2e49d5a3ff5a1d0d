"""The page of an ingest: what changed, from what to what, what was set aside and what to do, where it all is."""

import base64
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest_project.branches import activations
from ingest_project.branches.registry import get_branch
from ingest_project.branches.work import Work
from ingest_project.codes import ISSUES, REJECTS
from ingest_project.extract.store import PartStore
from ingest_project.normalize import sampled as sampling
from ingest_project.normalize.sampled import sample_rows
from ingest_project.postgres.connection import session
from ingest_project.postgres.leases import Lease
from ingest_project_tests.defs.conftest import CORE, NORMALIZED, SNAPSHOT, Line, Run
from ingest_project_tests.journey.conftest import SECOND

NAMES = ("latitude", "longitude", "issues")


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    """What the first test that needs it has made: a run costs seconds."""
    return {}


@pytest.fixture
def runs(line: Callable[..., Line], shared: dict[str, Any]) -> tuple[Line, Run, Run, Run]:
    """A branch: new, changed, and again as it was."""
    if "runs" not in shared:
        place = line()
        first = place.run()
        place.holds(SECOND)
        shared["runs"] = (place, first, place.run(), place.run())
    return shared["runs"]


def page(run: Run) -> str:
    value = run.values(CORE)["report"]
    assert isinstance(value, dg.MarkdownMetadataValue)
    return str(value.value)


def pictures(text: str) -> dict[str, str]:
    """Words to the SVG that they stand for."""
    found = re.findall(r"!\[([^\]]*)\]\(data:image/svg\+xml;base64,([^)]+)\)", text)
    return {words: base64.b64decode(data).decode() for words, data in found}


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


def test_it_comes_first_and_begins_with_what_happened(runs: tuple[Line, Run, Run, Run]) -> None:
    place, first, second, third = runs
    assert next(iter(first.values(CORE))) == "report"
    heads = [page(run).splitlines()[0] for run in (first, second, third)]
    assert heads == [
        f"### {place.name}: 9 inserted",
        f"### {place.name}: 2 inserted, 2 updated, 1 touched",
        f"### {place.name}: nothing changed in core.items",
    ]


def test_counts_are_a_picture_with_words(runs: tuple[Line, Run, Run, Run]) -> None:
    _, _, second, _ = runs
    words = "11 rows read: 2 inserted, 2 updated, 1 touched, 3 unchanged, 1 stale, 2 rejected"
    assert "updated 2" in pictures(page(second))[words]
    assert "2 items of this branch were not in this activation" in page(second)


def test_what_changed_is_shown_column_by_column_old_to_new(runs: tuple[Line, Run, Run, Run]) -> None:
    _, first, second, third = runs
    changed = [row for row in rows(page(second)) if len(row) == 5 and "→" in row]
    assert ["name", "2", "Beta", "→", "Beta renamed"] in changed
    assert ["attributes.color", "3", "red", "→", "blue"] in changed
    assert changed[-1][0] == "source_updated_at", "what says least comes last"
    assert "old → new" not in page(first) + page(third)


def test_new_items_are_shown(runs: tuple[Line, Run, Run, Run]) -> None:
    _, first, second, _ = runs
    assert "Windhoek" in page(first)
    assert any(row[:2] == ["12", "Mu, newer"] for row in rows(page(second)))


def test_rejects_say_what_to_do(runs: tuple[Line, Run, Run, Run]) -> None:
    place, first, second, _ = runs
    for code in ("key_missing", "duplicate_key"):
        assert [code, "1", REJECTS[code].meaning, REJECTS[code].remedy] in rows(page(first))
        told = str(first.values(NORMALIZED)["rejects"].value)
        assert [code, "1", REJECTS[code].meaning, REJECTS[code].remedy] in rows(told)
    assert "Rejected: 2 of 11 rows" in page(second)
    assert f"`ingest rejects '{place.name}'` shows each of them" in page(second)


def test_issues_are_a_bar_each(runs: tuple[Line, Run, Run, Run]) -> None:
    _, first, _, _ = runs
    bars = next(picture for words, picture in pictures(page(first)).items() if "null_island" in words)
    assert "country_recognised" in bars
    known = ISSUES["null_island"]
    assert ["null_island", "2", known.meaning, known.remedy] in rows(page(first))


def test_items_are_on_a_map_in_the_colour_of_what_happened_to_them(runs: tuple[Line, Run, Run, Run]) -> None:
    _, first, second, third = runs

    def kinds(run: Run) -> set[str]:
        picture = next(picture for words, picture in pictures(page(run)).items() if words.endswith("on a map"))
        return {kind for kind in ("inserted", "updated", "unchanged") if f">{kind}</text>" in picture}

    assert kinds(first) == {"inserted"}
    assert kinds(second) == {"inserted", "updated", "unchanged"}
    assert kinds(third) == {"unchanged"}


def test_it_links_to_the_branch_and_names_the_source(runs: tuple[Line, Run, Run, Run]) -> None:
    place, first, _, _ = runs
    assert f"/assets/core_items?view=partitions&partition={place.name.replace(' ', '%20')}" in page(first)
    assert str(place.file) in page(first)
    values = first.values(CORE)
    assert (values["location"].value, values["source"].value) == (str(place.file), place.name)
    assert isinstance(values["location"], dg.PathMetadataValue)


def test_columns_are_traced_to_the_source(runs: tuple[Line, Run, Run, Run]) -> None:
    _, first, _, _ = runs
    value = first.values(NORMALIZED)["dagster/column_lineage"]
    assert isinstance(value, dg.TableColumnLineageMetadataValue)
    (city,) = value.column_lineage.deps_by_column["locality"]
    assert (city.asset_key.path[-1], city.column_name) == (SNAPSHOT, "city")


@contextmanager
def work_of(place: Line) -> Iterator[Work]:
    """Its newest activation, to look at."""
    with session() as connection:
        branch = get_branch(connection, place.name)
        (newest,) = activations.newest(connection, branch.branch_id, 1)
        yield Work(connection, Lease(branch.branch_id, place.name, "-", "-", 0), branch, newest)


def test_a_sample_is_bounded_and_from_all_over(
    runs: tuple[Line, Run, Run, Run], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, *_ = runs
    store = PartStore(str(own_home / "parts"))
    with work_of(place) as work:
        assert sample_rows(work, store, NAMES, 1000).num_rows == 10
        assert sample_rows(work, store, ("row",), 3)["row"].to_pylist() == [1, 5, 10]
        monkeypatch.setattr(sampling, "PARTS", 2)
        assert sample_rows(work, store, NAMES, 4).num_rows == 4


def test_parts_that_were_deleted_since_are_no_reason_to_fail(line: Callable[..., Line], own_home: Path) -> None:
    place = line()
    place.run()
    shutil.rmtree(own_home / "parts" / str(place.branch_id))
    with work_of(place) as work:
        assert sample_rows(work, PartStore(str(own_home / "parts")), NAMES, 1000).num_rows == 0
