"""Keys split into ranges: together all of them, none twice, and in Postgres the same as in Python."""

# pyright: reportPrivateUsage=false
# The probe of this many rows is made to go by ranges.

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from threading import Barrier, Lock

import psycopg
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres import connection as connection_module
from ingest_project.postgres.connection import Connection
from ingest_project.upsert import parallel
from ingest_project.upsert import probe as probe_module
from ingest_project.upsert.key_ranges import ALL_KEYS, KeyRange, PartSpans, split_keys
from ingest_project.upsert.probe import Probe, probe
from ingest_project_tests.upsert.making import Line, Part, Row, Source, item, parts_of, table_of
from ingest_project_tests.upsert.meeting import PATIENCE

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1, max_size=8)
KEYS = st.lists(TEXT, min_size=1, max_size=40, unique=True)


@dataclass
class Counted:
    """A part that counts how often its keys are read."""

    part: Part
    read: list[int] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.part.number

    @property
    def valid(self) -> int:
        return self.part.valid

    def load(self) -> pa.Table:
        return self.part.load()

    def keys(self) -> pa.Table:
        self.read.append(self.number)
        return self.part.keys()


def keys_of(key_range: KeyRange, parts: Sequence[Part | Counted], spans: PartSpans | None = None) -> list[str]:
    found = (spans or PartSpans()).within(key_range, parts)
    return [key for _, table in found for key in table["external_id"].to_pylist()]


@hypothesis_settings(max_examples=40)
@given(keys=KEYS, count=st.integers(1, 6), size=st.integers(1, 9))
def test_every_key_is_in_exactly_one_stretch(keys: list[str], count: int, size: int) -> None:
    parts = parts_of([item(key) for key in keys], size)
    spans, key_ranges = PartSpans(), split_keys(parts, count)
    assert len(key_ranges) <= count
    assert sorted(key for key_range in key_ranges for key in keys_of(key_range, parts, spans)) == sorted(keys)


@hypothesis_settings(max_examples=40)
@given(keys=KEYS, count=st.integers(2, 6), size=st.integers(1, 9))
def test_positions_are_those_of_the_part(keys: list[str], count: int, size: int) -> None:
    parts = parts_of([item(key) for key in keys], size)
    for key_range in split_keys(parts, count):
        for part, table in PartSpans().within(key_range, parts):
            assert part.load().take(table["position"])["external_id"].to_pylist() == table["external_id"].to_pylist()


@hypothesis_settings(max_examples=40)
@given(keys=KEYS, low=st.none() | TEXT, high=st.none() | TEXT)
@example(keys=["50 %", "%s"], low="%", high="%%s")
def test_postgres_tells_the_same_keys_apart(
    any_source: Source, keys: list[str], low: str | None, high: str | None
) -> None:
    key_range = KeyRange(low, high)
    text = 'select external_id from (select unnest({}::text[]) collate "C" as external_id) i where true'
    query = sql.SQL(text).format(sql.Literal(keys)) + key_range.condition
    found = any_source.connection.execute(query).fetchall()  # as the probe asks: without parameters
    assert sorted(key for (key,) in found) == sorted(keys_of(key_range, parts_of([item(key) for key in keys])))


@hypothesis_settings(max_examples=40)
@given(keys=KEYS, low=st.none() | TEXT, high=st.none() | TEXT)
def test_a_stretch_that_lacks_a_span_has_none_of_its_keys(keys: list[str], low: str | None, high: str | None) -> None:
    key_range = KeyRange(low, high)
    if key_range.excludes(min(keys), max(keys)):
        assert keys_of(key_range, parts_of([item(key) for key in keys])) == []


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("is_sorted", [True, False], ids=["sorted", "shuffled"])
def test_stretches_are_about_as_long_as_each_other(count: int, is_sorted: bool) -> None:
    rows = [item(f"{at:05}") for at in range(6_000)]
    parts = parts_of(rows if is_sorted else Random(7).sample(rows, len(rows)), 250)
    lengths = [len(keys_of(key_range, parts)) for key_range in split_keys(parts, count)]
    assert len(lengths) == count
    assert max(lengths) < 1.5 * 6_000 / count


def test_one_key_cannot_be_cut_and_no_key_neither() -> None:
    assert split_keys(parts_of([item("a")]), 4) in ([ALL_KEYS], [KeyRange(None, "a"), KeyRange("a", None)])
    assert split_keys([Part(0, table_of([])), Part(1, table_of([]))], 4) == [ALL_KEYS]
    assert split_keys([], 4) == [ALL_KEYS]


def test_of_a_sorted_source_none_reads_what_another_has_read() -> None:
    parts = [Counted(part) for part in parts_of([item(f"{at:03}") for at in range(100)], 10)]
    low, high = KeyRange(None, "050"), KeyRange("050", None)
    spans = PartSpans()
    first, last = spans.within(low, parts), spans.within(high, parts)
    for _ in range(5):
        next(first)
        next(last)
    assert (list(first), list(last)) == ([], [])
    assert Counter(at for part in parts for at in part.read) == Counter(range(10)), "each part once"


# ── the probe by ranges ──────────────────────────────────────────────────────────────────────────────────


LIVE = [item(f"{at:02}", at=5) for at in range(60)]
NEXT = [
    *(item(f"{at:02}", at=5) for at in range(0, 40, 2)),  # unchanged, and each second one is missing
    *(item(f"{at:02}", "Changed", at=6) for at in range(40, 48)),
    *(item(f"{at:02}", at=6) for at in range(48, 52)),  # touched
    *(item(f"{at:02}", "Older", at=4) for at in range(52, 56)),  # stale
    *(item(f"new {at}") for at in range(4)),
]


def told(found: Probe) -> tuple[dict[int, tuple[list[int], dict[str, int]]], int, bool]:
    hits = {part: (one.positions.tolist(), one.kinds) for part, one in found.hits.items()}
    return hits, found.missing.count, found.source_is_new


def set_aside(connection: Connection, activation: int, keys: Sequence[str]) -> None:
    for at, key in enumerate(keys):
        connection.execute(
            """insert into ingest.rejects (activation_id, part, "row", external_id, errors, raw)
               values (%s, 0, %s, %s, '[{"field": "name", "code": "name_missing", "message": "is blank"}]', '')""",
            (activation, at, key),
        )


def both(line: Line, rows: Sequence[Row], size: int, patch: pytest.MonkeyPatch) -> tuple[Probe, Probe, int]:
    """The same rows probed in one, and by ranges; and how many looks that were."""
    work, looks, real = line.work(len(rows)), Counter[str](), probe_module._probe_range

    def looked(*given: object, **named: object) -> object:
        looks["taken"] += 1
        return real(*given, **named)  # pyright: ignore[reportArgumentType]

    set_aside(line.connection, work.activation.activation_id, ["01", "03", "39", "unknown"])
    with patch.context() as alone:
        alone.setattr(parallel, "_ROWS_PER_SESSION", 1_000_000)
        whole = probe(work, parts_of(rows, size))
    patch.setattr(probe_module, "_probe_range", looked)
    return whole, probe(work, parts_of(rows, size)), looks["taken"]


@pytest.mark.usefixtures("three_sessions")
@pytest.mark.parametrize("size", [4, 11, 100])
@pytest.mark.parametrize("is_sorted", [True, False], ids=["sorted", "shuffled"])
def test_stretches_find_what_one_join_finds(
    source: Source, size: int, is_sorted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, other = source.line(), source.line(1)
    line.ingest(LIVE)
    other.ingest([item("10", at=9), item("58", at=9)])  # taken over: not missing, and not ours
    rows = NEXT if is_sorted else Random(3).sample(NEXT, len(NEXT))
    whole, cut_up, looks = both(line, rows, size, monkeypatch)
    assert looks == 3
    assert told(cut_up) == told(whole)
    assert whole.missing.count == 20 + 4 - 1 - 3, "half of the first forty and the last four; one taken, three rejects"


@pytest.mark.usefixtures("three_sessions")
@pytest.mark.parametrize("way", ["tombstones", "a saved plan", "within a transaction"])
def test_what_is_told_of_all_keys_at_once_is_asked_at_once(
    source: Source, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = source.line(missing="tombstone" if way == "tombstones" else "keep")
    line.ingest(LIVE)
    work, looks, real = line.work(len(NEXT)), list[KeyRange](), probe_module._probe_range

    def looked(work: object, keys: object, key_range: KeyRange, *, with_fingerprint: bool = False) -> object:
        looks.append(key_range)
        return real(work, keys, key_range, with_fingerprint=with_fingerprint)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(probe_module, "_probe_range", looked)
    if way == "within a transaction":
        with source.connection.transaction():
            probe(work, parts_of(NEXT, 11))
    else:
        found = probe(work, parts_of(NEXT, 11), with_fingerprint=way == "a saved plan")
        assert len(found.missing.ids) == (24 if way == "tombstones" else 0)
    assert looks == [ALL_KEYS]


@pytest.mark.usefixtures("three_sessions")
def test_they_are_looked_at_in_three_sessions_at_once_and_one_failing_ends_all(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = source.line()
    line.ingest(LIVE)
    work, together, lock, real = line.work(len(NEXT)), Barrier(3, timeout=PATIENCE), Lock(), probe_module._classify
    pids: set[int] = set()

    def classified(work: probe_module.Work, key_range: KeyRange) -> object:
        with lock:
            pids.add(work.connection.info.backend_pid)
        together.wait()
        if key_range.low is None:
            work.connection.execute("select 1 / 0")
        return real(work, key_range)

    monkeypatch.setattr(probe_module, "_classify", classified)
    with pytest.raises(psycopg.errors.DivisionByZero):
        probe(work, parts_of(NEXT, 11))
    assert len(pids) == 3
    assert source.connection.info.backend_pid not in pids, "it stays free for what parts have to ask"


TAKEN = ["01", "03", "10", "31", "57"]  # some that the activation lacks, some that it has


def taking_over(source: Source, classified: Callable[..., object], branch_id: int) -> Callable[..., object]:
    """As `classified`, but before the first look another branch takes some items over."""
    lock, taken = Lock(), list[str]()

    def meanwhile(work: probe_module.Work, key_range: KeyRange) -> object:
        with lock:
            if not taken:
                taken.extend(TAKEN)
                with closing(connection_module.open_another(source.connection)) as elsewhere:
                    elsewhere.execute(
                        "update core.items set branch_id = %s where source_id = %s and external_id = any(%s)",
                        (branch_id, work.branch.source_id, TAKEN),
                    )
        return classified(work, key_range)

    return meanwhile


@pytest.mark.usefixtures("three_sessions")
@pytest.mark.parametrize("worth", [5, 1_000_000], ids=["by ranges", "whole"])
def test_what_another_branch_takes_over_meanwhile_is_not_counted_twice(
    source: Source, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, others = source.line(), source.line(1).work(0).branch.branch_id
    line.ingest(LIVE)
    work = line.work(len(NEXT))
    before = probe(work, parts_of(NEXT, 11))
    monkeypatch.setattr(parallel, "_ROWS_PER_SESSION", worth)
    monkeypatch.setattr(probe_module, "_classify", taking_over(source, probe_module._classify, others))
    assert told(probe(work, parts_of(NEXT, 11))) == told(before)
    assert before.missing.count == 24
    assert probe(work, parts_of(NEXT, 11)).missing.count == 24 - 4, "those that it lacked are others' by now"


@pytest.mark.usefixtures("three_sessions")
def test_where_no_session_is_to_be_had_for_more_one_does_it(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = line.work(len(NEXT))
    before = told(probe(work, parts_of(NEXT, 11)))

    def none_left(connection: Connection) -> Connection:
        raise DatabaseUnreachable("Postgres has no place left")

    monkeypatch.setattr(connection_module, "open_another", none_left)
    assert told(probe(work, parts_of(NEXT, 11))) == before
