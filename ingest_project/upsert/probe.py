"""The probe: all keys of an activation compared with core.items, in one join or in one per range of keys.

Its result says for each row whether it is to be inserted, updated and so on; nothing is written yet.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ingest_project.branches.work import Work
from ingest_project.errors import DatabaseUnreachable
from ingest_project.item import KEY
from ingest_project.postgres.connection import Connection, fetch_value, is_pooled, one_snapshot, shared_snapshot
from ingest_project.telemetry import log
from ingest_project.upsert.binary import copy_binary
from ingest_project.upsert.item_statements import classify_statement, statement
from ingest_project.upsert.key_ranges import ALL_KEYS, POSITION, KeyRange, PartSpans, split_keys
from ingest_project.upsert.missing import (
    Missing,
    count_missing,
    count_rejected_only,
    find_missing,
    should_tombstone_missing,
)
from ingest_project.upsert.parallel import in_parallel, session_count
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.rank import kind_expression
from ingest_project.upsert.saved_plan import NO_LIVE_ROWS, LiveFingerprint, fingerprint_live_rows

_WORTH_COPYING = 1_000  # new rows of a part
Positions = np.ndarray[tuple[int], np.dtype[np.int32]]


@dataclass(frozen=True)
class Hits:
    """The rows of a part that are to be written, by position, and counts by kind (`rank.py`), stale rows included."""

    positions: Positions
    kinds: dict[str, int]

    @classmethod
    def all_new(cls, part: ValidPart) -> "Hits":
        """Every row of a part, for a source that has no items yet."""
        return cls(np.arange(part.valid, dtype=np.int32), {"i": part.valid})

    @property
    def stale(self) -> int:
        return self.kinds.get("s", 0)

    @property
    def are_many_and_new(self) -> bool:
        """Whether it pays to copy them straight in."""
        return len(self.positions) >= _WORTH_COPYING and self.kinds.get("i", 0) == len(self.positions)


@dataclass(frozen=True)
class Probe:
    """What an activation would do: four bytes a hit in memory, nothing for rows that stay as they are."""

    hits: dict[int, Hits] = field(default_factory=dict)
    missing: Missing = field(default_factory=Missing)
    source_is_new: bool = False
    live: LiveFingerprint = field(default_factory=NO_LIVE_ROWS.copy)  # only where it was asked for

    @property
    def kinds(self) -> Counter[str]:
        """Rows by kind, over all parts; empty where the source is new."""
        return sum((Counter(hits.kinds) for hits in self.hits.values()), Counter[str]())

    def hits_of(self, part: ValidPart) -> Hits:
        return Hits.all_new(part) if self.source_is_new else self.hits.get(part.number, _NO_HITS)


_NO_HITS = Hits(np.empty(0, np.int32), {})


def probe(work: Work, parts: Sequence[ValidPart], *, with_fingerprint: bool = False) -> Probe:
    """Compare all parts with core.items, in one transaction or in one for each range of keys.

    `with_fingerprint` also takes the fingerprint of the live rows that they are compared with.
    """
    if fetch_value(work.connection, statement("source_is_new"), {"source_id": work.branch.source_id}):
        return Probe(source_is_new=True)
    key_ranges = _key_ranges(work, parts, with_fingerprint=with_fingerprint)
    if key_ranges != [ALL_KEYS]:
        try:
            return _probe_in_parallel(work, parts, key_ranges)
        except DatabaseUnreachable as error:
            log.warning("keys are probed in one session: there is none for more (%s)", error.what)
    keys = PartSpans().within(ALL_KEYS, parts)
    return _combine([_probe_range(work, keys, ALL_KEYS, with_fingerprint=with_fingerprint)])


def _key_ranges(work: Work, parts: Sequence[ValidPart], *, with_fingerprint: bool) -> list[KeyRange]:
    # The ids of missing items and the fingerprint need a probe table of all keys; and behind a pooler sessions cannot
    # share a snapshot.
    if with_fingerprint or should_tombstone_missing(work) or is_pooled(work.connection):
        return [ALL_KEYS]
    return split_keys(parts, session_count(work, sum(part.valid for part in parts)))


def _probe_in_parallel(work: Work, parts: Sequence[ValidPart], key_ranges: Sequence[KeyRange]) -> Probe:
    """Probe each range in a session of its own; all of them and the count of missing items see one snapshot."""
    spans = PartSpans()
    with shared_snapshot(work.connection) as (connection, snapshot):

        def probe_range(work: Work, key_range: KeyRange) -> _RangeResult:
            return _probe_range(work, spans.within(key_range, parts), key_range, snapshot=snapshot)

        with closing(in_parallel(work, key_ranges, probe_range, len(key_ranges))) as probed:
            results = list(probed)
        carried = sum(result.carried for result in results)
        return _combine(results, count_missing(replace(work, connection=connection), carried))


@dataclass(frozen=True)
class _RangeResult:
    """The probe of one range of keys; `carried` live items of the branch are in it, valid or rejected.

    `missing` is None unless the range is all keys.
    """

    hits: "dict[int, _PartHits]"
    carried: int
    missing: Missing | None
    live: LiveFingerprint


def _probe_range(
    work: Work,
    keys: Iterable[tuple[ValidPart, pa.Table]],
    key_range: KeyRange,
    *,
    with_fingerprint: bool = False,
    snapshot: str | None = None,
) -> _RangeResult:
    with one_snapshot(work.connection, snapshot):  # so that the plan and its fingerprint are of the same rows
        rows = fill_probe(work.connection, keys)
        live = fingerprint_live_rows(work) if with_fingerprint else NO_LIVE_ROWS.copy()
        hits = _classify(work, key_range)
        held = rows - sum(part_hits.not_held for part_hits in hits.values())
        if should_tombstone_missing(work):
            return _RangeResult(hits, held, find_missing(work), live)
        carried = held + count_rejected_only(work, key_range)
        return _RangeResult(hits, carried, count_missing(work, carried) if key_range == ALL_KEYS else None, live)


def _combine(results: Sequence[_RangeResult], missing: Missing | None = None) -> Probe:
    by_part: dict[int, _PartHits] = {}
    for result in results:
        for number, part_hits in result.hits.items():
            by_part.setdefault(number, _PartHits()).add(part_hits)
    hits = {number: part_hits.hits() for number, part_hits in by_part.items()}
    return Probe(hits, missing or results[0].missing or Missing(), live=results[0].live)


def fill_probe(connection: Connection, keys: Iterable[tuple[ValidPart, pa.Table]]) -> int:
    """Create and fill the probe table of the open transaction; return how many rows it has."""
    rows = 0
    connection.execute(statement("widen_memory"))
    connection.execute(statement("make_probe"))
    with connection.cursor() as cursor:
        for part, table in keys:
            copy_binary(cursor, statement("copy_probe"), _probe_rows(part, table))
            rows += table.num_rows
    connection.execute(statement("analyze_probe"))
    return rows


def _probe_rows(part: ValidPart, keys: pa.Table) -> pa.Table:
    table = pa.table({"part": np.full(keys.num_rows, part.number, np.int32)})
    for name in (POSITION, "content_hash", "source_updated_at", KEY):
        table = table.append_column(name, keys[name])
    return table


def _classify(work: Work, key_range: KeyRange) -> "dict[int, _PartHits]":
    text = classify_statement("classify_probe", kind_expression(work), work.branch, within=key_range.condition)
    by_part: dict[int, _PartHits] = {}
    with work.connection.cursor(binary=True) as cursor:
        for part, kind, rows, held, positions in cursor.execute(text):
            part_hits = by_part.setdefault(part, _PartHits())
            part_hits.not_held += rows - held
            if kind != "n":
                part_hits.kinds[kind] += rows
            if positions:
                part_hits.positions.append(np.frombuffer(positions, ">i4").astype(np.int32))
    return by_part


@dataclass
class _PartHits:
    """The hits of one part while they are collected."""

    positions: list[Positions] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    not_held: int = 0  # rows under whose key the branch has no live item

    def add(self, other: "_PartHits") -> None:
        self.positions += other.positions
        self.kinds += other.kinds

    def hits(self) -> Hits:
        return Hits(np.sort(np.concatenate([_NO_HITS.positions, *self.positions])), dict(self.kinds))
