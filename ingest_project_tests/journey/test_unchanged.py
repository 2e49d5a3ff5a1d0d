"""A file that holds what it held is not read again, and what comes of it is what reading it would have given."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_project.branches import registry
from ingest_project.branches.activations import Activation
from ingest_project.extract import unchanged
from ingest_project.extract.files import Files
from ingest_project.extract.manifest import ListedPart
from ingest_project.postgres.connection import session
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, Place, spec_of
from ingest_project_tests.journey.states import rows
from ingest_project_tests.journey.test_exactly_once import killed_at

ALL = len(FIRST)
OTHER = (FIRST[0], ("2", "Beto", *FIRST[1][2:]), *FIRST[2:])  # of the same size


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers of rows after which a page was drawn from a file, in this process."""
    drawn: list[int] = []
    pages = Files.pages

    def counted(self: Files, *given: Any) -> Iterator[Any]:
        for page in pages(self, *given):
            drawn.append(page.cursor.rows)
            yield page

    monkeypatch.setattr(Files, "pages", counted)
    yield drawn


def manifest(activation: int) -> list[dict[str, Any]]:
    with session() as connection:
        return rows(
            connection,
            f"""select asset, part, rows, digest, cursor from ingest.parts where activation_id = {activation}
                 order by asset, part""",
        )


def pins(activation: Activation) -> list[str]:
    assert activation.pin is not None
    return [file["sha256"] for file in activation.pin["files"]]


def test_a_file_that_is_as_it_was_is_not_read_and_its_parts_are_the_same(
    branch: Callable[..., Place], read: list[int]
) -> None:
    place = branch()
    first = ingest(place.name)
    assert read == [4, 8, ALL]
    place.holds(FIRST)  # written anew, with another time
    second = ingest(place.name)
    assert read == [4, 8, ALL], "nothing more"
    assert manifest(2) == manifest(1)
    assert (second.rows_read, second.carried, second.unchanged) == (ALL, ALL, first.valid)
    assert pins(second) == pins(first) and second.pin != first.pin
    assert second.drift == {**(first.drift or {}), "against": 1}
    # It is itself what the next one is compared with.
    assert (ingest(place.name).carried, read) == (ALL, [4, 8, ALL])


@pytest.mark.parametrize("given", [OTHER, FIRST[:-1]])
def test_a_file_that_differs_is_read(branch: Callable[..., Place], read: list[int], given: Any) -> None:
    place = branch()
    ingest(place.name)
    size = place.file.stat().st_size
    read.clear()
    place.holds(given)
    assert (place.file.stat().st_size == size) == (given is OTHER)
    done = ingest(place.name)
    assert (read[-1], done.rows_read) == (len(given), len(given))


def renamed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "READER_VERSION", "another")


def declared_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with session() as connection:
        registry.apply_branch(connection, spec_of(place.file, encoding="windows-1252"))


@pytest.mark.parametrize("other", [renamed, declared_anew])
def test_another_reader_or_another_branch_file_reads_it(
    branch: Callable[..., Place], read: list[int], monkeypatch: pytest.MonkeyPatch, other: Callable[..., None]
) -> None:
    place = branch()
    ingest(place.name)
    read.clear()
    other(place, monkeypatch)
    assert ingest(place.name).rows_read == ALL
    assert read == [4, 8, ALL]


def test_parts_of_another_size_are_cut_anew(branch: Callable[..., Place], read: list[int]) -> None:
    place = branch()
    ingest(place.name)
    read.clear()
    ingest(place.name, batch_size=3)
    assert read == [3, 6, 9, ALL]


def test_a_part_that_is_gone_is_read_and_those_behind_it(
    branch: Callable[..., Place], read: list[int], home: Path
) -> None:
    place = branch()
    ingest(place.name)
    with session() as connection:
        (part,) = rows(
            connection,
            "select path from ingest.parts where asset = 'branch_snapshot' and part = 1 and activation_id = 1",
        )
    read.clear()
    (home / "parts" / part["path"]).unlink()
    assert ingest(place.name).rows_read == ALL
    assert read == [8, ALL]
    assert manifest(2) == manifest(1)


@pytest.mark.parametrize("failpoint", ["part_stored:2", "part_listed:2", "snapshot_ended"])
def test_killed_while_parts_are_taken_over_it_ends_as_if_it_had_not_been(
    branch: Callable[..., Place], read: list[int], failpoint: str
) -> None:
    place = branch()
    ingest(place.name)
    read.clear()
    killed_at(place, failpoint)
    done = ingest(place.name, run_id="resumed")
    assert (done.activation_id, done.state, done.rows_read, done.carried, read) == (2, "done", ALL, ALL, [])
    assert manifest(2) == manifest(1)


def test_parts_that_were_begun_by_reading_are_not_mixed_with_others() -> None:
    parts = [ListedPart(at, "", 4, 0, f"d{at}", None) for at in range(3)]
    assert unchanged.can_reuse(parts, parts[:2], 12, 4)
    assert unchanged.can_reuse([*parts[:2], ListedPart(2, "", 1, 0, "d2", None)], [], 9, 4)
    assert unchanged.can_reuse(parts, [], 12, 5), "heavy rows"
    assert not unchanged.can_reuse(parts, [parts[1]], 12, 4)
    assert not unchanged.can_reuse(parts[:2], [], 12, 4), "one is gone"
    assert not unchanged.can_reuse([parts[0], ListedPart(1, "", 5, 0, "d", None)], [], 9, 4)
