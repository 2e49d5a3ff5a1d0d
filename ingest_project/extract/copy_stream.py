"""Reads a stream of COPY into Arrow: integers, floats and booleans as such, all else as the text that Postgres writes.

So a numeric keeps its digits, `infinity` and dates BC stay what they are, bytea is hexadecimal; arrays and
composites are asked for as JSON. A null is null, an empty text is empty.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from ingest_project.extract.malformed import append_malformed, insert_malformed
from ingest_project.extract.source import MAX_PAGE_BYTES
from ingest_project.postgres.csv_copy import decode_csv

_ARROW_TYPES = {
    "bool": pa.bool_(),
    **dict.fromkeys(("int2", "int4", "int8", "oid"), pa.int64()),
    **dict.fromkeys(("float4", "float8"), pa.float64()),
}
_BLOCK = 4 << 20
_MAX_ROW_BYTES = 2 << 20  # as of files
_KEPT_BYTES = 128 << 10  # of a longer, malformed row: more than a reject keeps, so that it is marked as cut


def arrow_type(postgres_type: str) -> pa.DataType:
    """The type in Arrow of values of a Postgres type."""
    return _ARROW_TYPES.get(postgres_type, pa.string())


def tables(
    messages: Iterable[bytes | bytearray | memoryview], columns: Mapping[str, pa.DataType], size: int
) -> Iterator[tuple[pa.Table, int]]:
    """Yield tables of `size` rows, or of MAX_PAGE_BYTES, with `__malformed`; and the bytes that were read for each.

    A row of more than 2 MB is a row of nulls with its beginning in `__malformed`.
    """
    blocks: list[pa.Table] = []
    block, rows, bytes_read = _Block(), 0, 0
    for message in messages:
        block.add(bytes(message))
        rows, bytes_read = rows + 1, bytes_read + len(message)
        is_full = rows == size or bytes_read >= MAX_PAGE_BYTES
        if is_full or block.size >= _BLOCK:
            blocks.append(block.table(columns))
            block = _Block()
        if is_full:
            yield pa.concat_tables(blocks), bytes_read
            blocks, rows, bytes_read = [], 0, 0
    if rows:
        yield pa.concat_tables([*blocks, block.table(columns)]), bytes_read


def empty_table(columns: Mapping[str, pa.DataType]) -> pa.Table:
    """A table of these columns, with `__malformed`, without rows."""
    return _Block().table(columns)


@dataclass
class _Block:
    """Rows that become one table, a message of COPY each."""

    rows: list[bytes] = field(default_factory=list)
    too_long: list[tuple[int, str]] = field(default_factory=list)
    size: int = 0

    def add(self, row: bytes) -> None:
        if len(row) > _MAX_ROW_BYTES:
            number = len(self.rows) + len(self.too_long)
            self.too_long.append((number, row[:_KEPT_BYTES].decode(errors="ignore")))
        else:
            self.rows.append(row)
        self.size += min(len(row), _MAX_ROW_BYTES)

    def table(self, columns: Mapping[str, pa.DataType]) -> pa.Table:
        good = append_malformed(decode_csv(b"".join(self.rows), columns))
        return insert_malformed(good, self.too_long, 0)
