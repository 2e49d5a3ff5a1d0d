"""Worker processes of a stage that ends before its time: what was done is kept, nobody stays, and it goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ingest_project.errors import GateBlocked, PartDamaged
from ingest_project.postgres.connection import session
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, Place
from ingest_project_tests.journey.states import rows

HOPELESS = [(str(at), "", *FIRST[0][2:]) for at in range(80)]  # twenty parts without a name


def children() -> set[int]:
    return {one.pid for one in psutil.Process().children() if "workers import serve" in " ".join(one.cmdline())}


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("INGEST_WORKERS", "2")
    settings.cache_clear()
    before = children()
    yield
    assert children() == before


def parts() -> list[int]:
    with session() as connection:
        listed = rows(connection, "select part from ingest.parts where asset = 'normalized_items' order by 1")
    return [one["part"] for one in listed]


def test_a_hopeless_activation_is_stopped_early_and_its_workers_with_it(branch: Callable[..., Place]) -> None:
    place = branch(HOPELESS, limits={"max_reject_ratio": 0.5})
    with pytest.raises(GateBlocked, match="rows were rejected"):
        ingest(place.name)
    assert parts() == list(range(10)), "in order, and no part that was made ahead"
    with session() as connection:
        (told,) = rows(connection, "select count(*) as rejects, count(distinct part) as parts from ingest.rejects")
    assert told == {"rejects": 40, "parts": 10}


def test_an_error_in_a_worker_ends_the_stage_and_the_same_command_goes_on(
    branch: Callable[..., Place], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = branch(FIRST)
    with pytest.raises(RuntimeError, match="stop"):
        ingest(place.name, between=stopping)
    damaged = sorted((home / "parts").glob("*/1/branch_snapshot/*.parquet"))[1]
    whole = damaged.read_bytes()
    damaged.write_bytes(b"damaged")
    with pytest.raises(PartDamaged) as raised:
        ingest(place.name)
    assert raised.value.where["part"] == str(damaged.relative_to(home / "parts"))
    assert parts() == [0]
    damaged.write_bytes(whole)
    done = ingest(place.name)
    assert (done.activation_id, done.state, done.rows_read) == (1, "done", len(FIRST))


def stopping(stage: str) -> None:
    if stage == "branch_snapshot":
        raise RuntimeError("stop")
