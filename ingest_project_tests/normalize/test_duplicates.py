"""Of rows with one key the newest stays: over several Parquet files, decided once."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.normalize.duplicates import KeyFile, Loser, duplicate_losers

Row = tuple[str, int | None, int]  # key, seconds of its time, row
START = datetime(2024, 1, 1, tzinfo=UTC)


def _file(folder: Path, part: int, rows: Sequence[Row], name: str | None = None) -> KeyFile:
    times = [None if seconds is None else START + timedelta(seconds=seconds) for _, seconds, _ in rows]
    table = pa.table(
        {
            "external_id": pa.array([key for key, _, _ in rows], pa.string()),
            "source_updated_at": pa.array(times, pa.timestamp("us", "UTC")),
            "row": pa.array([row for _, _, row in rows], pa.int64()),
        }
    )
    path = folder / (name or f"{part:06d}.parquet")
    pq.write_table(table, path)
    return KeyFile(part, str(path))


def _losers(folder: Path, *parts: Sequence[Row]) -> list[Loser]:
    files = [_file(folder, number, rows) for number, rows in enumerate(parts)]
    return list(duplicate_losers(files, folder / "scratch"))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([[("a", 1, 1), ("b", 1, 2)]], []),
        ([[("a", 1, 1), ("a", 2, 2)]], [Loser(0, 1, "a", 2)]),
        ([[("a", 2, 1), ("a", 1, 2)]], [Loser(0, 2, "a", 1)]),
        ([[("a", 1, 1), ("a", 1, 2)]], [Loser(0, 1, "a", 2)]),
        ([[("a", None, 1), ("a", None, 2)]], [Loser(0, 1, "a", 2)]),
        ([[("a", -(10**9), 1), ("a", None, 2)]], [Loser(0, 2, "a", 1)]),
        ([[("a", 2, 1)], [("a", 1, 2)]], [Loser(1, 2, "a", 1)]),
        ([[("a", 1, 1)], [("a", 2, 2)]], [Loser(0, 1, "a", 2)]),
        ([[("a", 1, 1)], [("a", 1, 2)], [("a", 1, 3)]], [Loser(0, 1, "a", 3), Loser(1, 2, "a", 3)]),
        ([[("a", 1, 1), ("b", 5, 2)], [("b", 4, 3), ("a", 9, 4)]], [Loser(0, 1, "a", 4), Loser(1, 3, "b", 2)]),
        ([[("a", 1, 1), ("A", 1, 2), ("a ", 1, 3), ("e\u0301", 1, 4), ("é", 1, 5)]], []),
        ([[("1", 1, 1), ("01", 1, 2), ("1.0", 1, 3)]], []),
        ([[], [("a", 1, 1)], []], []),
    ],
)
def test_the_newest_of_a_key_stays(tmp_path: Path, parts: list[list[Row]], expected: list[Loser]) -> None:
    assert _losers(tmp_path, *parts) == expected


def test_a_microsecond_is_newer(tmp_path: Path) -> None:
    table = pa.table(
        {
            "external_id": ["a", "a"],
            "source_updated_at": pa.array([1, 0], pa.timestamp("us", "UTC")),
            "row": pa.array([1, 2], pa.int64()),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    found = list(duplicate_losers([KeyFile(0, str(tmp_path / "x.parquet"))], tmp_path / "scratch"))
    assert found == [Loser(0, 2, "a", 1)]


def test_losers_come_by_part_and_row(tmp_path: Path) -> None:
    parts = [[(f"k{at % 7}", at % 3, part * 100 + at) for at in range(50, 0, -1)] for part in (3, 1, 2, 0)]
    found = _losers(tmp_path, *parts)
    assert [(one.part, one.row) for one in found] == sorted((one.part, one.row) for one in found)
    assert len(found) == 4 * 50 - 7


def test_each_key_has_one_winner_that_no_loser_is(tmp_path: Path) -> None:
    parts = [
        [(f"k{(at * 31) % 11}", (at * 17) % 5 or None, part * 1000 + at) for at in range(200)] for part in range(3)
    ]
    rows = {row: (key, seconds) for part in parts for key, seconds, row in part}
    found = _losers(tmp_path, *parts)
    losers = {one.row for one in found}
    best = {
        key: max((row for row in rows if rows[row][0] == key), key=lambda row: (rows[row][1] or -1, row))
        for key, _ in rows.values()
    }
    assert losers == set(rows) - set(best.values())
    assert all(one.winner_row == best[one.external_id] for one in found)


def test_files_are_numbered_by_the_list_not_by_their_names(tmp_path: Path) -> None:
    first = _file(tmp_path, 7, [("a", 1, 1)], "zz-99.parquet")
    second = _file(tmp_path, 3, [("a", 2, 2)], "00 ünd 'so'.parquet")
    assert list(duplicate_losers([first, second], tmp_path / "scratch")) == [Loser(7, 1, "a", 2)]
    assert list(duplicate_losers([second, first], tmp_path / "scratch")) == [Loser(7, 1, "a", 2)]


def test_more_losers_than_one_fetch_are_all_told(tmp_path: Path) -> None:
    rows: list[Row] = [(f"k{at // 2}", None, at) for at in range(50_000)]
    found = _losers(tmp_path, rows)
    assert [one.row for one in found] == list(range(0, 50_000, 2))
    assert all(one.winner_row == one.row + 1 for one in found)


def test_no_files_have_no_losers(tmp_path: Path) -> None:
    assert list(duplicate_losers([], tmp_path)) == []
