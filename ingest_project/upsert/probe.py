"""Probe: the whole activation against core.items, in one join or in one per range of keys. Its result is the plan."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ingest_project.branches.work import Work
from ingest_project.errors import DatabaseUnreachable
from ingest_project.item import KEY
from ingest_project.postgres.connection import Connection, is_pooled, one_snapshot, shared_snapshot
from ingest_project.telemetry import log
from ingest_project.upsert.binary import copy_binary
from ingest_project.upsert.item_statements import judging, statement
from ingest_project.upsert.key_ranges import ALL_KEYS, POSITION, KeyRange, PartSpans, split_keys
from ingest_project.upsert.missing import Missing, are_tombstoned, counted, named, set_aside
from ingest_project.upsert.parallel import in_parallel, session_count
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.rank import kind_of
from ingest_project.upsert.saved_plan import NO_ROWS, Live, live_rows

_MANY = 1_000
Positions = np.ndarray[tuple[int], np.dtype[np.int32]]


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


def probe(work: Work, parts: Sequence[ValidPart], *, live: bool = False) -> Probe:
    """Compare all parts with core.items: in one transaction, or one for each range of keys. No table outlives it.

    `live` asks for the fingerprint of the rows that it was compared with.
    """
    values = {"source_id": work.branch.source_id}
    row = work.connection.execute(statement("source_is_new"), values).fetchone()
    if row and row[0]:
        return Probe(source_is_new=True)
    key_ranges = _key_ranges(work, parts, live=live)
    if key_ranges != [ALL_KEYS]:
        try:
            return _in_parallel(work, parts, key_ranges)
        except DatabaseUnreachable as error:
            log.warning("keys are probed in one session: there is none for more (%s)", error.what)
    return _put_together([_looked(work, PartSpans().within(ALL_KEYS, parts), ALL_KEYS, live=live)])


def _key_ranges(work: Work, parts: Sequence[ValidPart], *, live: bool) -> list[KeyRange]:
    # What is missing by name, and a fingerprint of all that is live, are told beside a table of all keys; and what
    # others see behind a pooler is not to be had.
    if live or are_tombstoned(work) or is_pooled(work.connection):
        return [ALL_KEYS]
    return split_keys(parts, session_count(work, sum(part.valid for part in parts)))


def _in_parallel(work: Work, parts: Sequence[ValidPart], key_ranges: Sequence[KeyRange]) -> Probe:
    """A look at each range; all of them, and the count of what is missing, see one snapshot."""
    spans = PartSpans()
    with shared_snapshot(work.connection) as (connection, moment):

        def look(work: Work, key_range: KeyRange) -> _Look:
            return _looked(work, spans.within(key_range, parts), key_range, moment=moment)

        with closing(in_parallel(work, key_ranges, look, len(key_ranges))) as looks:
            found = list(looks)
        return _put_together(found, counted(replace(work, connection=connection), sum(one.carried for one in found)))


@dataclass(frozen=True)
class _Look:
    """What was found in a range of the keys; `carried` of the branch's live items are in it, good or bad.

    `missing` is known only where the range is all keys.
    """

    found: "dict[int, _Collected]"
    carried: int
    missing: Missing | None
    live: Live


def _looked(
    work: Work,
    keys: Iterable[tuple[ValidPart, pa.Table]],
    key_range: KeyRange,
    *,
    live: bool = False,
    moment: str | None = None,
) -> _Look:
    with one_snapshot(work.connection, moment):  # or a plan would be of one moment and its fingerprint of another
        rows = fill(work.connection, keys)
        seen = live_rows(work) if live else NO_ROWS.copy()
        found = _classified(work, key_range)
        held = rows - sum(one.not_held for one in found.values())
        if are_tombstoned(work):
            return _Look(found, held, named(work), seen)
        carried = held + set_aside(work, key_range)
        return _Look(found, carried, counted(work, carried) if key_range == ALL_KEYS else None, seen)


def _put_together(looks: Sequence[_Look], missing: Missing | None = None) -> Probe:
    found: dict[int, _Collected] = {}
    for look in looks:
        for number, one in look.found.items():
            found.setdefault(number, _Collected()).add(one)
    hits = {number: one.hits() for number, one in found.items()}
    return Probe(hits, missing or looks[0].missing or Missing(), live=looks[0].live)


def fill(connection: Connection, keys: Iterable[tuple[ValidPart, pa.Table]]) -> int:
    """Make the probe table of the open transaction; return how many rows it has."""
    rows = 0
    connection.execute(statement("widen_memory"))
    connection.execute(statement("make_probe"))
    with connection.cursor() as cursor:
        for part, table in keys:
            copy_binary(cursor, statement("copy_probe"), _placed(part, table))
            rows += table.num_rows
    connection.execute(statement("analyze_probe"))
    return rows


def _placed(part: ValidPart, keys: pa.Table) -> pa.Table:
    table = pa.table({"part": np.full(keys.num_rows, part.number, np.int32)})
    for name in (POSITION, "content_hash", "source_updated_at", KEY):
        table = table.append_column(name, keys[name])
    return table


def _classified(work: Work, key_range: KeyRange) -> "dict[int, _Collected]":
    text = judging("classify_probe", kind_of(work), work.branch, within=key_range.condition)
    found: dict[int, _Collected] = {}
    with work.connection.cursor(binary=True) as cursor:
        for part, kind, rows, held, positions in cursor.execute(text):
            collected = found.setdefault(part, _Collected())
            collected.not_held += rows - held
            if kind != "n":
                collected.kinds[kind] += rows
            if positions:
                collected.positions.append(np.frombuffer(positions, ">i4").astype(np.int32))
    return found


@dataclass
class _Collected:
    positions: list[Positions] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    not_held: int = 0  # rows under whose key the branch has no live item

    def add(self, other: "_Collected") -> None:
        self.positions += other.positions
        self.kinds += other.kinds

    def hits(self) -> Hits:
        return Hits(np.sort(np.concatenate([_NONE.positions, *self.positions])), dict(self.kinds))
