"""How tests read: all pages of a source, or what is left of them after a cursor."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from ingest_project.branches.spec import BranchSpec
from ingest_project.extract import preflight
from ingest_project.extract.source import MALFORMED, ROW, Cursor, Page


def pages_of(spec: BranchSpec, size: int = 1000, after: Cursor | None = None) -> list[Page]:
    source, pin = preflight.check(spec)
    return list(source.pages(pin, size, after))


def table_of(pages: Iterable[Page]) -> pa.Table:
    return pa.concat_tables([page.table for page in pages]).combine_chunks()


def rows_of(spec: BranchSpec, size: int = 1000) -> list[dict[str, object]]:
    """Rows as dicts: without `__row`, which is checked, and without `__malformed` where there is none."""
    table = table_of(pages_of(spec, size))
    assert table.column_names[-2:] == [ROW, MALFORMED]
    rows = table.to_pylist()
    assert [row.pop(ROW) for row in rows] == list(range(1, len(rows) + 1))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def write_csv(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
