"""`ingest torture`: kills strike, tables are compared, a difference is found, nothing stays behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_project.postgres.connection import session
from ingest_project.torture import rounds
from ingest_project.torture.rounds import POINTS, ROLLBACK_POINTS, Tally, Torture
from ingest_project_tests.conftest import REPOSITORY


@pytest.fixture
def quick(fresh_database: str, home: Path) -> Iterator[Torture]:
    """Two short rounds on a database of the test's own."""
    yield Torture(rounds=2, rows=120, kills=2, seed=3)


def left_behind() -> int:
    tables = ("ingest.sources", "ingest.branches", "ingest.activations", "ingest.parts", "ingest.batches")
    more = ("ingest.rejects", "ingest.leases", "core.items", "core.item_versions", "core.embedding_requests")
    with session() as connection:
        return sum(
            connection.execute(f"select count(*) from {table}".encode()).fetchone()[0]  # pyright: ignore[reportOptionalSubscript]
            for table in (*tables, *more)
        )


def test_killed_ingests_leave_what_others_leave_and_nothing_stays(quick: Torture, home: Path) -> None:
    tally = quick.run()
    assert (tally.rounds, tally.differences) == (3, [])
    assert tally.kills >= 1
    assert left_behind() == 0
    assert list((home / "parts").rglob("*.parquet")) == []


@pytest.mark.parametrize("point", ["activation_committed", "activation_done"])
def test_a_kill_at_the_end_is_no_difference(quick: Torture, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    monkeypatch.setattr(rounds, "POINTS", (point,))
    monkeypatch.setattr(rounds, "ROLLBACK_POINTS", ("activation_done",))
    monkeypatch.setattr(rounds, "_SHARE_AT_POINTS", 1)
    monkeypatch.setattr(rounds, "_PARTS_PER_ROUND", 2)  # each point is reached once
    tally = Torture(2, 60, 1, seed=4).run()
    assert (tally.kills_at_points, tally.differences) == (3, [])


def test_rows_are_lost_and_their_tombstones_are_killed_at(quick: Torture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "POINTS", ("tombstones_written",))
    monkeypatch.setattr(rounds, "_SHARE_AT_POINTS", 1)
    monkeypatch.setattr(rounds, "_PARTS_PER_ROUND", 2)
    kills: list[int] = []
    tally = Torture(3, 300, 1, seed=4).run(lambda tally: kills.append(tally.kills_at_points))
    assert tally.differences == []
    assert kills[1] > kills[0] == 0  # the second state tombstones what it lacks
    assert kills[2] == kills[1]  # the third keeps it


def test_the_newest_is_rolled_back_under_kills(quick: Torture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_SHARE_AT_POINTS", 1)
    monkeypatch.setattr(rounds, "POINTS", ("never",))
    monkeypatch.setattr(rounds, "ROLLBACK_POINTS", ("rollback_written",))
    before: list[int] = []

    def looked(tally: Tally) -> None:
        with session() as connection:
            row = connection.execute("select count(*) from ingest.activations where state = 'rolled_back'").fetchone()
        before.append(row[0] if row else 0)

    tally = Torture(2, 60, 1, seed=4).run(looked)
    assert (tally.kills_at_points, tally.differences, before) == (1, [], [0, 0, 2])


def test_a_row_that_differs_is_found_and_named(quick: Torture) -> None:
    def spoil(_: Tally) -> None:
        with session() as connection:
            connection.execute(
                "delete from core.embedding_requests where item_id = (select min(item_id) from core.items)"
            )

    tally = Torture(2, 120, 1).run(spoil)
    assert [one.split(":")[1].strip() for one in tally.differences][:1] == ["requests"]
    assert tally.differences[0].startswith("round 2")
    assert left_behind() == 0


def test_every_point_of_the_torture_is_in_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "ingest_project").rglob("*.py"))
    assert [point for point in (*POINTS, *ROLLBACK_POINTS) if f'reach("{point}")' not in code] == []


@pytest.mark.long
def test_three_hundred_kills(fresh_database: str, home: Path) -> None:
    tally = Tally()
    for seed in range(100):
        found = Torture(rounds=6, rows=400, kills=4, seed=seed).run()
        assert found.differences == [], f"seed {seed}"
        tally.kills_at_points += found.kills_at_points
        tally.kills_at_random += found.kills_at_random
        if tally.kills >= 300:
            break
    assert tally.kills >= 300
