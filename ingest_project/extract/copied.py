"""What COPY sends, into Arrow: integers, floats and booleans as such, everything else as Postgres writes it.

So a numeric keeps its digits, `infinity` and dates BC stay what they are, bytea is hexadecimal; arrays and
composites are asked for as JSON. A null is null, an empty text is empty.
"""

# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong; its kernels are made at import.

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from ingest_project.extract.csv import in_place
from ingest_project.extract.source import MALFORMED, MOST_BYTES
from ingest_project.postgres.csv_copy import decoded

_TYPES = {
    "bool": pa.bool_(),
    **dict.fromkeys(("int2", "int4", "int8", "oid"), pa.int64()),
    **dict.fromkeys(("float4", "float8"), pa.float64()),
}
_BLOCK = 4 << 20
_LONGEST = 2 << 20  # bytes of a row, as of files
_KEPT = 128 << 10  # of a longer one, which is malformed: more than a reject keeps, so that it is marked as cut


def arrow_type(kind: str) -> pa.DataType:
    """How values of a Postgres type come."""
    return _TYPES.get(kind, pa.string())


@dataclass
class _Block:
    """Rows on their way, one message of COPY each."""

    rows: list[bytes] = field(default_factory=list)
    too_long: list[tuple[int, str]] = field(default_factory=list)
    size: int = 0

    def add(self, row: bytes) -> None:
        if len(row) > _LONGEST:
            place = len(self.rows) + len(self.too_long)
            self.too_long.append((place, row[:_KEPT].decode(errors="ignore")))
        else:
            self.rows.append(row)
        self.size += min(len(row), _LONGEST)

    def table(self, columns: Mapping[str, pa.DataType]) -> pa.Table:
        data = b"".join(self.rows)
        good = _with_malformed(decoded(data, columns))
        return in_place(good, self.too_long, 0)


def empty(columns: Mapping[str, pa.DataType]) -> pa.Table:
    """A table of these columns, with `__malformed`, without rows."""
    return _with_malformed(decoded(b"", columns))


def _with_malformed(table: pa.Table) -> pa.Table:
    return table.append_column(MALFORMED, pa.nulls(table.num_rows, pa.string()))


def tables(
    messages: Iterable[bytes | bytearray | memoryview], columns: Mapping[str, pa.DataType], size: int
) -> Iterator[tuple[pa.Table, int]]:
    """Tables of `size` rows, or of MOST_BYTES, with `__malformed`; and the bytes that they took.

    A row of more than 2 MB is a row of nulls with its beginning in `__malformed`.
    """
    made: list[pa.Table] = []
    block, rows, taken = _Block(), 0, 0
    for message in messages:
        block.add(bytes(message))
        rows, taken = rows + 1, taken + len(message)
        is_full = rows == size or taken >= MOST_BYTES
        if is_full or block.size >= _BLOCK:
            made.append(block.table(columns))
            block = _Block()
        if is_full:
            yield pa.concat_tables(made), taken
            made, rows, taken = [], 0, 0
    if rows:
        yield pa.concat_tables([*made, block.table(columns)]), taken
