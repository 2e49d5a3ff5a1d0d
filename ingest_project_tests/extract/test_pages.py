"""Resuming: whatever the sizes of the pages before, those after a cursor are the ones of a reading without a stop."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_project.branches.spec import BranchSpec
from ingest_project.extract import csv as ours
from ingest_project.extract import files, jsonl
from ingest_project.extract.source import Cursor, Page, ReadMetrics, measured
from ingest_project.extract.store import PartStore
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, table_of, write_csv

KINDS = ("csv", "jsonl", "parquet")


def make_csv(folder: Path) -> None:
    rng = random.Random(4)
    for number, count in enumerate((40, 1, 0, 55)):
        kinds = [f"{at},n{at}\n" for at in range(count)]
        lines = [rng.choice([line, line, "bad\n", f'{number},"a\nb"\n', "\n"]) for line in kinds]
        write_csv(folder / f"{number}.csv", "id,name\n" + "".join(lines))


def make_jsonl(folder: Path) -> None:
    rng = random.Random(4)
    for number, count in enumerate((40, 1, 0, 55)):
        kinds = [f'{{"id": {at}, "name": "n{at}"}}\n' for at in range(count)]
        lines = [
            rng.choice([line, line, '{"id": 1\n', f'{{"id": {number}, "x": [1, {{}}]}}\n', "\n"]) for line in kinds
        ]
        (folder / f"{number}.jsonl").write_text("".join(lines) or "\n")


def make_parquet(folder: Path) -> None:
    for number, count in enumerate((40, 1, 0, 55)):
        table = pa.table(
            {"id": pa.array(range(count), pa.int64()), "name": pa.array(map(str, range(count)), pa.string())}
        )
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=13)


@pytest.fixture(scope="module", params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BranchSpec:
    folder = tmp_path_factory.mktemp(request.param)
    {"csv": make_csv, "jsonl": make_jsonl, "parquet": make_parquet}[request.param](folder)
    return BranchSpec(name="b", source="s", location=str(folder), key="id", mapping={"name": "name"})


@given(first=st.integers(1, 60), second=st.integers(1, 60), stop=st.integers(1, 200), block=st.integers(24, 200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resume_equals_reading_without_a_stop(
    source: BranchSpec, first: int, second: int, stop: int, block: int
) -> None:
    whole = pages_of(source, 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "_BLOCK", block)
        patch.setattr(jsonl, "BLOCK", block)
        before = pages_of(source, first)[:stop]
        after = pages_of(source, second, before[-1].cursor)
    assert all(page.table.num_rows == second for page in after[:-1])
    assert table_of([*before, *after]) == table_of(whole)
    assert [*before, *after][-1].cursor.rows == whole[-1].cursor.rows


@given(size=st.integers(1, 60), stop=st.integers(1, 200))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parts_of_a_resumed_reading_are_the_same_bytes(
    source: BranchSpec, size: int, stop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = PartStore(str(tmp_path_factory.mktemp("store")))
    whole = pages_of(source, size)
    resumed = pages_of(source, size, whole[min(stop, len(whole)) - 1].cursor)
    for page, again in zip(whole[stop:], resumed, strict=True):
        assert page.cursor == again.cursor
        assert store.put("a", page.table).digest == store.put("b", again.table).digest


@given(most=st.integers(20, 2_000), size=st.integers(1, 60), stop=st.integers(1, 200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_heavy_rows_make_pages_of_fewer_and_the_same_rows(source: BranchSpec, most: int, size: int, stop: int) -> None:
    whole = pages_of(source, 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "MAX_PAGE_BYTES", most)
        before = pages_of(source, size)[:stop]
        after = pages_of(source, size, before[-1].cursor)
    light = [page for page in (*before, *after) if page.table.num_rows > 1]
    # Without the numbers of the rows, which are ours, and the offsets of one more text a column.
    assert all(page.table.drop_columns(["__row"]).nbytes <= 2 * most + 64 for page in light)
    assert all(0 < page.table.num_rows <= size for page in (*before, *after))
    assert table_of([*before, *after]) == table_of(whole)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([f"{at:04}" * 100 for at in range(400)], pa.string_view()),
        pa.array([[f"{at:04}" * 100] for at in range(400)], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
    ],
    ids=["views", "nested dictionary"],
)
def test_heavy_values_that_rows_share_end_too(tmp_path: Path, spec: MakeSpec, values: pa.Array) -> None:
    pq.write_table(pa.table({"id": range(400), "name": values}), tmp_path / "a.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "MAX_PAGE_BYTES", 40_000)
        pages = pages_of(spec(tmp_path / "a.parquet"), 1000)
    sizes = [page.table.num_rows for page in pages]
    assert sum(sizes) == 400
    assert min(sizes[:-1]) > 30, "none is cut smaller and smaller"


def test_many_small_files(tmp_path: Path, spec: MakeSpec) -> None:
    for number in range(300):
        write_csv(tmp_path / f"{number:03}.csv", f"id,name\n{number},x\n")
    pages = pages_of(spec(tmp_path), 250)
    assert [page.table.num_rows for page in pages] == [250, 50]
    assert table_of(pages)["id"].to_pylist() == [str(number) for number in range(300)]
    assert pages[0].cursor == Cursor(249, 1, 250)


def test_a_cursor_survives_json() -> None:
    cursor = Cursor(1, 2, 3)
    assert Cursor.from_json(cursor.to_json()) == cursor


def test_pages_are_measured() -> None:
    table = pa.table({"id": ["1", "2"]})
    metrics = ReadMetrics()
    pages = [Page(table, Cursor(0, 2, 2), 10), Page(table, Cursor(0, 4, 4), 5)]
    assert list(measured(iter(pages), metrics)) == pages
    assert (metrics.pages, metrics.rows, metrics.bytes) == (2, 4, 15)
    assert 0 <= metrics.page_p95_seconds <= metrics.seconds < 1


def test_leaving_early_leaves_nothing_open(tmp_path: Path, spec: MakeSpec) -> None:
    from ingest_project.extract import preflight  # noqa: PLC0415

    path = write_csv(tmp_path / "a.csv", "id,name\n" + "1,abcdefghijklmnopqrstuvwxyz\n" * 700_000)
    source, pin = preflight.check(spec(path))
    pages = source.pages(pin, 10, None)
    next(pages)
    pages.close()  # type: ignore[attr-defined]
