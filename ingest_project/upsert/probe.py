"""Probe: the whole activation against core.items in one join. What it tells is the plan."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from ingest_project.branches.work import Work
from ingest_project.postgres.connection import Connection
from ingest_project.upsert.binary import copy_binary
from ingest_project.upsert.missing import Missing, missing_items
from ingest_project.upsert.rank import kind_of
from ingest_project.upsert.saved_plan import NO_ROWS, Live, live_rows
from ingest_project.upsert.texts import judging, statement

_MANY = 1_000
Positions = np.ndarray[tuple[int], np.dtype[np.int32]]


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

    @classmethod
    def all_new(cls, part: ValidPart) -> "Hits":
        """Every row of a part, for a source that has none yet."""
        return cls(np.arange(part.valid, dtype=np.int32), {"i": part.valid})

    @property
    def stale(self) -> int:
        return self.kinds.get("s", 0)

    @property
    def are_many_and_new(self) -> bool:
        """Whether they are worth the way that is for new rows alone; it is taken again where one is not."""
        return len(self.positions) >= _MANY and self.kinds.get("i", 0) == len(self.positions)


@dataclass(frozen=True)
class Probe:
    """What an activation would do: four bytes a hit in memory, nothing for rows that stay as they are."""

    hits: dict[int, Hits] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)
    source_is_new: bool = False
    live: Live = field(default_factory=NO_ROWS.copy)  # only where it is asked for

    def of(self, part: ValidPart) -> Hits:
        return Hits.all_new(part) if self.source_is_new else self.hits.get(part.number, _NONE)


_NONE = Hits(np.empty(0, np.int32), {})
_COLUMNS = {"part": pa.int32(), "position": pa.int32(), "kind": pa.string(), "held": pa.int8()}
_BLOCK = 4 << 20


def probe(work: Work, parts: Sequence[ValidPart], *, live: bool = False) -> Probe:
    """Compare all parts with core.items in one transaction of its own; no table outlives it.

    `live` asks for the fingerprint of the rows that it was compared with.
    """
    connection = work.connection
    values = {"source_id": work.branch.source_id}
    row = connection.execute(statement("source_is_new"), values).fetchone()
    if row and row[0]:
        return Probe(source_is_new=True)
    with connection.transaction():
        fill(connection, parts)
        seen = live_rows(work) if live else NO_ROWS.copy()
        found = _classified(work)
        held = sum(part.valid for part in parts) - sum(one.not_held for one in found.values())
        hits = {number: one.hits() for number, one in found.items()}
        return Probe(hits, missing_items(work, held), live=seen)


def fill(connection: Connection, parts: Iterable[ValidPart]) -> None:
    """Make the probe table of the open transaction."""
    connection.execute(statement("widen_memory"))
    connection.execute(statement("make_probe"))
    with connection.cursor() as cursor:
        for part in parts:
            copy_binary(cursor, statement("copy_probe"), _placed(part))
    connection.execute(statement("analyze_probe"))


def _placed(part: ValidPart) -> pa.Table:
    keys = part.keys()
    rows = keys.num_rows
    table = pa.table({"part": np.full(rows, part.number, np.int32), "position": np.arange(rows, dtype=np.int32)})
    for name in ("external_id", "content_hash", "source_updated_at"):
        table = table.append_column(name, keys[name])
    return table


def _classified(work: Work) -> "dict[int, _Collected]":
    text = judging("classify_probe", kind_of(work), work.branch)
    found: dict[int, _Collected] = {}
    with work.connection.cursor() as cursor, cursor.copy(text) as copy:
        for table in _tables(copy):
            _collect(found, table)
    return found


def _tables(copy: psycopg.Copy) -> Iterator[pa.Table]:
    # Whole lines at a time: what comes back of a large change must not be in memory as text.
    held = bytearray()
    for block in copy:
        held += block
        if len(held) >= _BLOCK:
            end = held.rindex(b"\n") + 1
            yield _read(bytes(held[:end]))
            del held[:end]
    if held:
        yield _read(bytes(held))


def _read(data: bytes) -> pa.Table:
    return pc_csv.read_csv(
        io.BytesIO(data),
        read_options=pc_csv.ReadOptions(column_names=list(_COLUMNS), use_threads=False),
        convert_options=pc_csv.ConvertOptions(column_types=_COLUMNS),
    )


@dataclass
class _Collected:
    positions: list[Positions] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    not_held: int = 0  # rows under whose key the branch has no live item

    def hits(self) -> Hits:
        return Hits(np.concatenate(self.positions), dict(self.kinds))


def _collect(found: dict[int, _Collected], table: pa.Table) -> None:
    parts = table["part"].to_numpy()
    numbers, starts = np.unique(parts, return_index=True)  # ordered by part
    for number, start, end in zip(numbers, starts, [*starts[1:], len(parts)], strict=True):
        rows = table.slice(int(start), int(end - start))
        collected = found.setdefault(int(number), _Collected())
        collected.not_held += rows.num_rows - pc.sum(rows["held"]).as_py()
        rows = rows.filter(pc.not_equal(rows["kind"], "n"))
        collected.positions.append(rows.filter(pc.not_equal(rows["kind"], "s"))["position"].to_numpy())
        counted = rows["kind"].value_counts().to_pylist()
        collected.kinds.update({one["values"]: one["counts"] for one in counted})
