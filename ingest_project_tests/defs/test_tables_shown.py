"""Metadata that people read: previews must say what the data says, and stay tables whatever is in it."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from ingest_project.defs.metadata import (
    PREVIEW_ROWS,
    PREVIEW_WIDTH,
    item_table_schema,
    pace,
    peak_memory_mb,
    preview,
    table_of,
)
from ingest_project.item import columns, item_schema


def cells(shown: dg.MetadataValue[Any]) -> list[list[str]]:
    """Cells as a reader of GitHub's markdown sees them, without the line below the header."""
    assert isinstance(shown, dg.MarkdownMetadataValue)
    lines = str(shown.value).splitlines()
    found = [re.findall(r"\|((?:\\.|[^|\\])*)(?=\|)", line) for line in [lines[0], *lines[2:]]]
    return [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in line] for line in found]


def one(value: object) -> str:
    """How a value of a source is shown beside another one."""
    rows = cells(preview(pa.table({"a": pa.array([value]), "b": ["beside"]})))
    assert [len(row) for row in rows] == [2, 2]
    assert rows[1][1] == "beside"
    return rows[1][0]


@pytest.mark.parametrize(
    "text",
    [
        *("Alpha", "007", "1e5", "1.50", "12345678.123456789", "1,5", "nan", "inf", "True", "-0", "+49 30 1234"),
        *("a|b", "|", "\\", "C:\\", "a\\|b", "|||", "é 漢字 🙂", "ends with \\"),
    ],
)
def test_a_text_is_shown_letter_by_letter(text: str) -> None:
    assert one(text) == text


@pytest.mark.parametrize("text", ["two\nlines", "two\r\nlines", "two\rlines", "two\u2028lines"])
def test_line_breaks_do_not_break_the_table(text: str) -> None:
    assert one(text).split() == ["two", "lines"]


@pytest.mark.parametrize("letter", ["x", "|", "\\"])
def test_a_long_value_is_cut_and_says_so(letter: str) -> None:
    assert one(letter * PREVIEW_WIDTH) == letter * PREVIEW_WIDTH
    assert one(letter * (PREVIEW_WIDTH + 1)) == letter * (PREVIEW_WIDTH - 1) + "…"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1, None, 3], ["1", "", "3"]),
        ([2**62 + 1, None, 0], ["4611686018427387905", "", "0"]),
        ([52.5021, None, 0.000001], ["52.5021", "", "1e-06"]),
        ([Decimal("4.5000"), None, Decimal("0.1000")], ["4.5000", "", "0.1000"]),
        ([True, None, False], ["True", "", "False"]),
        ([datetime(2024, 1, 1, tzinfo=UTC), None, datetime(1, 1, 1, tzinfo=UTC)],
         ["2024-01-01 00:00:00+00:00", "", "0001-01-01 00:00:00+00:00"]),
    ],
)  # fmt: skip
def test_nothing_is_shown_as_nothing_and_numbers_keep_their_digits(values: list[Any], shown: list[str]) -> None:
    table = pa.table({"value": pa.array(values), "row": ["1", "2", "3"]})
    assert [row[0] for row in cells(preview(table))[1:]] == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (pa.array([2**62], pa.timestamp("us")), str(2**62)),
        (pa.array([5], pa.timestamp("us", "No/Where")), "5"),
        (pa.array([[("k", 5)]], pa.map_(pa.string(), pa.timestamp("us", "No/Where"))), "[('k', 5)]"),
        (pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff!"]).buffers()), r"b'\xff!'"),
    ],
)
def test_a_value_that_python_cannot_hold_does_not_fail_the_run_that_shows_it(value: pa.Array, shown: str) -> None:
    assert cells(preview(pa.table({"id": ["1"], "odd": value})))[1] == ["1", shown]


def test_the_first_rows_are_shown_and_columns_that_are_empty_in_them_are_not() -> None:
    table = pa.table(
        {"n": list(range(20)), "empty": pa.nulls(20, pa.string()), "late": [None] * PREVIEW_ROWS + ["x"] * 12}
    )
    rows = cells(preview(table))
    assert rows[0] == ["n"]
    assert [row[0] for row in rows[1:]] == [str(n) for n in range(PREVIEW_ROWS)]


def test_names_of_columns_are_cells_too() -> None:
    assert cells(preview(pa.table({"a|b": ["1"], "c\nd": ["2"]}))) == [["a|b", "c d"], ["1", "2"]]


def test_a_part_without_rows_says_so() -> None:
    assert preview(item_schema().empty_table()).value == "no rows"
    assert table_of([]).value == "none"


def test_rows_become_a_table_with_the_columns_of_all_of_them() -> None:
    rows: list[dict[str, object]] = [{"code": "007", "rows": 1}, {"code": None, "old": 2.5}, {"code": "a|b", "rows": 2}]
    assert cells(table_of([*rows])) == [
        ["code", "rows", "old"],
        ["007", "1", ""],
        ["", "", "2.5"],
        ["a|b", "2", ""],
    ]


def test_the_schema_of_items_names_and_types_every_field() -> None:
    found = {column.name: column for column in item_table_schema().columns}
    assert list(found) == item_schema().names
    assert found["price"].type == "numeric(14,4)"
    assert found["source_updated_at"].type == "timestamp[us, tz=UTC]"
    assert found["price"].description == "Amount in `currency`."
    assert {name for name in columns() if found[name].type == columns()[name].sql} == set(columns())


def test_pace_is_rows_per_second_and_survives_no_time() -> None:
    assert pace(10, 2.0) == {"seconds": 2.0, "rows_per_second": 5}
    assert pace(10, 0.0) == {"seconds": 0.0, "rows_per_second": 0}


@pytest.mark.skipif(sys.platform == "win32", reason="resource is of Unix")
def test_peak_memory_is_in_megabytes() -> None:
    assert 20 < peak_memory_mb() < 100_000


def test_a_sandbox_that_tells_no_peak_fails_no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "VmSize: 1 kB\nVmRSS: 1 kB\n")
    assert 20 < peak_memory_mb() < 100_000


_TELLS = "from ingest_project.defs.metadata import peak_memory_mb; print(peak_memory_mb())"
_HOLDS = """
import subprocess, sys
held = bytearray(b"x" * (600 << 20))
print(subprocess.check_output([sys.executable, "-c", sys.argv[1]], text=True))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others tell of no process alone")
def test_peak_memory_is_not_that_of_the_process_that_started_this_one() -> None:
    told = subprocess.check_output([sys.executable, "-c", _HOLDS, _TELLS], text=True)
    assert 20 < float(told) < 600
