"""Rows that are compared in their place are the same by the raw hash too, whatever their types."""

from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.extract.manifest import ListedPart
from ingest_project.extract.store import PartStore
from ingest_project.normalize.raw_hash import raw_hashes
from ingest_project.normalize.unchanged_rows import BaselinePages, same_rows
from ingest_project_tests.normalize.pages import numbered

KEYS = st.sampled_from([None, "", "1", "2", "3"])
TEXTS = st.sampled_from([None, "", "a", "1"])
ODD = st.sampled_from([None, 0.0, -0.0, float("nan"), 1.5])
TABLES = st.lists(st.tuples(KEYS, TEXTS, ODD), max_size=7)
Row = tuple[str | None, str | None, float | None]


def table(rows: list[Row]) -> pa.Table:
    columns = [list(one) for one in zip(*rows, strict=True)] or [[], [], []]
    kinds = zip(("id", "text", "number"), columns, (pa.string(), pa.string(), pa.float64()), strict=True)
    return numbered(pa.table({name: pa.array(values, kind) for name, values, kind in kinds}))


@given(TABLES, TABLES, st.sets(st.integers(0, 6)))
def test_what_is_found_has_the_same_hash_and_nothing_else_has(
    now: list[Row], before: list[Row], some: set[int]
) -> None:
    page, base = table(now), table(before)
    places = np.array(sorted(at for at in some if at < len(now)), np.int64)
    found, left = same_rows(page, base, places, "id", 7)
    keys, hashes, known = [one[0] for one in before], raw_hashes(page).to_pylist(), raw_hashes(base).to_pylist()
    numbers = page["__row"].to_pylist()
    wanted: list[dict[str, Any]] = []
    for at in places:
        first = keys.index(now[at][0]) if now[at][0] in keys else None
        if first is not None and known[first] == hashes[at]:
            base_row = base["__row"][first].as_py()
            wanted.append({"row": numbers[at], "base_part": 7, "base_row": base_row})
    assert found.to_pylist() == wanted
    assert left.tolist() == [at for at in places if now[at][0] not in keys]


def listed(store: PartStore, number: int, page: pa.Table) -> ListedPart:
    stored = store.put(uuid4().hex, page)
    return ListedPart(number, stored.path, stored.rows, stored.bytes, stored.digest, None)


def rows_of(first: int, last: int, number: float = 1.0) -> list[Row]:
    return [(str(at), "a", number) for at in range(first, last)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (rows_of(4, 8), {1: 4}),
        ([("new", "a", 1.0), *rows_of(3, 6)], {0: 1, 1: 2}),
        (rows_of(6, 10), {1: 2, 2: 2}),
        ([*rows_of(4, 7), ("7", "changed", 1.0)], {1: 3}),
        ([*rows_of(4, 6), *rows_of(6, 8, 2.0)], {1: 2}),
        (rows_of(40, 44), {}),
        (rows_of(3, 4) + rows_of(12, 15), {0: 1}),
    ],
)
def test_rows_are_found_in_the_part_of_their_number_and_beside_it(
    tmp_path: Path, now: list[Row], expected: dict[int, int]
) -> None:
    store = PartStore(str(tmp_path))
    pages = {number: listed(store, number, table(rows_of(4 * number, 4 * number + 4))) for number in range(4)}
    found = BaselinePages(store, pages, "id").unchanged(table(now), 1)
    assert Counter(found["base_part"].to_pylist()) == expected
    assert found["row"].to_pylist() == sorted(found["row"].to_pylist())


def test_parts_of_other_columns_or_damaged_ones_are_not_compared(tmp_path: Path) -> None:
    store = PartStore(str(tmp_path))
    page = table(rows_of(0, 4))
    other = listed(store, 0, table(rows_of(0, 4)).rename_columns(["id", "words", "number", "__row", "__malformed"]))
    assert BaselinePages(store, {0: other}, "id").unchanged(page, 0).num_rows == 0
    gone = ListedPart(0, "nowhere.parquet", 4, 1, "0", None)
    assert BaselinePages(store, {0: gone}, "id").unchanged(page, 0).num_rows == 0
    assert BaselinePages(store, {}, "id").unchanged(page, 0).num_rows == 0


def test_for_a_few_rows_no_other_part_is_read(tmp_path: Path) -> None:
    store = PartStore(str(tmp_path))
    pages = {0: listed(store, 0, table(rows_of(0, 60))), 1: listed(store, 1, table(rows_of(60, 62)))}
    few = BaselinePages(store, pages, "id").unchanged(table([*rows_of(0, 58), *rows_of(60, 62)]), 0)
    assert (few.num_rows, set(few["base_part"].to_pylist())) == (58, {0})
    more = BaselinePages(store, pages, "id").unchanged(table([*rows_of(0, 5), *rows_of(60, 62)]), 0)
    assert (more.num_rows, set(more["base_part"].to_pylist())) == (7, {0, 1})
