"""Pages are written while the next one is read: what fails on either side is told, and what was listed is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest_project.errors import IngestError, SourceMoved
from ingest_project.extract import store
from ingest_project.extract.files import Files
from ingest_project.postgres.connection import session
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, Place
from ingest_project_tests.journey.states import rows, state


def parts() -> list[int]:
    with session() as connection:
        listed = rows(connection, "select part from ingest.parts where asset = 'branch_snapshot' order by 1")
    return [one["part"] for one in listed]


def everything() -> dict[str, Any]:
    with session() as connection:
        return state(connection)


def test_a_page_that_cannot_be_written_is_an_error_of_ours_and_the_same_command_goes_on(
    branch: Callable[..., Place], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch(FIRST)
    write, full = store._write_durably, [True]  # pyright: ignore[reportPrivateUsage]

    def written(target: Path, data: Any) -> None:
        if full and target.name.startswith("000001"):
            raise OSError(28, "No space left on device")
        write(target, data)

    monkeypatch.setattr(store, "_write_durably", written)
    with pytest.raises(IngestError, match="could not be stored: No space left") as raised:
        ingest(place.name)
    assert "000001" in str(raised.value.where["part"])
    assert parts() == [0]
    full.clear()
    done = ingest(place.name)
    assert (done.activation_id, done.state, done.rows_read, parts()) == (1, "done", len(FIRST), [0, 1, 2])


def test_a_source_that_fails_behind_a_page_leaves_that_page_listed(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch(FIRST)
    pages = Files.pages

    def gone(self: Files, *given: Any) -> Any:
        for number, page in enumerate(pages(self, *given)):
            if number == 2:
                raise SourceMoved("the source changed after it was pinned")
            yield page

    monkeypatch.setattr(Files, "pages", gone)
    with pytest.raises(SourceMoved):
        ingest(place.name)
    assert parts() == [0, 1]


def test_an_interrupt_while_a_page_is_written_waits_for_it_and_resumes(
    branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch(FIRST)
    straight = ingest(place.name)
    before = everything()
    other = branch(FIRST, name="other", source="other")
    pages = Files.pages

    def stopped(self: Files, *given: Any) -> Any:
        for number, page in enumerate(pages(self, *given)):
            if number == 1:
                raise KeyboardInterrupt
            yield page

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Files, "pages", stopped)
        ingest(other.name)
    assert len(parts()) == len(before["batches"]) == 3, "of the other nothing is listed"
    done = ingest(other.name)
    assert (done.rows_read, done.inserted) == (straight.rows_read, straight.inserted)
