"""Probe: the whole activation against core.items in one join. What it tells is the plan."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv

from ingest_project.branches.work import Work
from ingest_project.postgres.connection import Connection
from ingest_project.upsert.copying import copy_table
from ingest_project.upsert.rank import kind_of
from ingest_project.upsert.texts import judging, statement

Positions = np.ndarray[tuple[int], np.dtype[np.int64]]


class ValidPart(Protocol):
    """A part to be upserted."""

    @property
    def number(self) -> int: ...

    @property
    def valid(self) -> int:
        """How many rows it has."""
        ...

    def load(self) -> pa.Table:
        """All columns of `item_schema()`."""
        ...

    def keys(self) -> pa.Table:
        """external_id, content_hash and source_updated_at, in the row order of `load`."""
        ...


@dataclass(frozen=True)
class Hits:
    """Rows of a part that have something to do, by position; `stale` ones do not."""

    positions: Positions
    kinds: dict[str, int]

    @property
    def stale(self) -> int:
        return self.kinds.get("s", 0)


@dataclass(frozen=True)
class Probe:
    """What an activation would do: nine bytes a hit in memory, nothing for rows that stay as they are."""

    hits: dict[int, Hits] = field(default_factory=dict)
    missing: int = 0
    source_is_new: bool = False


NONE = Hits(np.empty(0, np.int64), {})
_KINDS = {"part": pa.int32(), "position": pa.int64(), "kind": pa.string()}


def probe(work: Work, parts: Sequence[ValidPart]) -> Probe:
    """Compare all parts with core.items in one transaction of its own; no table outlives it."""
    connection = work.connection
    values = {"source_id": work.branch.source_id}
    row = connection.execute(statement("source_is_new"), values).fetchone()
    if row and row[0]:
        return Probe(source_is_new=True)
    with connection.transaction():
        fill(connection, parts)
        return Probe(_classified(work), _missing(work))


def fill(connection: Connection, parts: Iterable[ValidPart]) -> None:
    """Make the probe table of the open transaction."""
    connection.execute(statement("make_probe"))
    with connection.cursor() as cursor:
        for part in parts:
            copy_table(cursor, statement("copy_probe"), _placed(part))
    connection.execute(statement("analyze_probe"))


def _placed(part: ValidPart) -> pa.Table:
    keys = part.keys()
    table = pa.table(
        {
            "part": pa.repeat(pa.scalar(part.number), keys.num_rows),
            "position": pa.array(np.arange(keys.num_rows)),
        }
    )
    for name in ("external_id", "content_hash", "source_updated_at"):
        table = table.append_column(name, keys[name])
    return table


def _classified(work: Work) -> dict[int, Hits]:
    text = judging("classify_probe", kind_of(work), work.branch.source_id)
    with work.connection.cursor() as cursor, cursor.copy(text) as copy:
        data = b"".join(bytes(block) for block in copy)
    if not data:
        return {}
    table = pc_csv.read_csv(
        io.BytesIO(data),
        read_options=pc_csv.ReadOptions(column_names=list(_KINDS)),
        convert_options=pc_csv.ConvertOptions(column_types=_KINDS),
    )
    return _by_part(table)


def _by_part(table: pa.Table) -> dict[int, Hits]:
    parts = table["part"].to_numpy()
    numbers, starts = np.unique(parts, return_index=True)  # ordered by part
    ends = [*starts[1:], len(parts)]
    return {
        int(number): _hits(table.slice(int(start), int(end - start)))
        for number, start, end in zip(numbers, starts, ends, strict=True)
    }


def _hits(rows: pa.Table) -> Hits:
    kinds = rows["kind"].to_numpy(zero_copy_only=False)
    counted = {str(kind): int(count) for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True)}
    return Hits(rows["position"].to_numpy()[kinds != "s"], counted)


def _missing(work: Work) -> int:
    row = work.connection.execute(statement("count_missing"), {"branch_id": work.branch.branch_id}).fetchone()
    return row[0] if row else 0
